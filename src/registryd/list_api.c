/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "oci/media_type.h"
#include "oci/reference.h"
#include "registryd/api.h"
#include "json/json.h"

#define JSON_TYPE "application/json"
#define PAGE_MAX 10000

/* ---- pages ---- */

struct page {
	const char *last; /* borrowed, or NULL */
	int64_t size;
	bool limited; /* the client asked for a size */
};

/* false: the refusal has been sent. */
static bool read_page(struct page *out_page, const struct http_request *request, struct http_response *response)
{
	const char *n = http_query(request, "n");
	uint64_t size = PAGE_MAX;

	if (n && text_parse_u64(&size, n, INT64_MAX) < 0) {
		api_refuse(response, 400, "PAGINATION_NUMBER_INVALID", "n is not a number");
		return false;
	}
	*out_page = (struct page){ .last = http_query(request, "last"),
				   .size = size < PAGE_MAX ? (int64_t)size : PAGE_MAX,
				   .limited = n != NULL };
	return true;
}

/* The list was asked for one more than the page holds: if that came, there is a next page. */
static void end_page(struct text_list *names, const struct page *page, const char *path, struct http_response *response)
{
	AUTO_FREE char *link = NULL;

	if (names->count <= (size_t)page->size)
		return;
	text_list_remove(names, names->count - 1);
	if (page->size == 0)
		return;
	link = xasprintf("<%s?n=%lld&last=%s>; rel=\"next\"", path, (long long)page->size,
			 names->items[names->count - 1]);
	http_set_header(response, "Link", link);
}

/* ---- lists of other registries ---- */

/* Their next page is ours, under our name: the query of their Link header. */
static void copy_link(struct http_response *response, const char *link, const char *path)
{
	const char *query = link ? strchr(link, '?') : NULL;
	AUTO_FREE char *ours = NULL;

	if (!query)
		return;
	ours = xasprintf("<%s%.*s>; rel=\"next\"", path, (int)strcspn(query, ">"), query);
	http_set_header(response, "Link", ours);
}

/* 1: answered with what the other registry says. If it cannot be asked, what is here must do. */
static int ask_elsewhere(struct api *api, const char *repository, const char *what, const char *query,
			 struct http_response *response)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	AUTO_FREE char *page = xasprintf("%s%s", what, query);
	AUTO_FREE char *path = xasprintf("/v2/%s/%s", repository, what);
	AUTO_FREE char *text = NULL;

	if (!cache_has(api->cache, repository) ||
	    cache_document(&text, &head, api->cache, repository, page, &ignored) <= 0)
		return 0;
	copy_link(response, head.link, path);
	if (head.filters)
		http_set_header(response, "OCI-Filters-Applied", head.filters);
	http_reply_take(response, 200, head.media_type, take_ptr(text));
	return 1;
}

/* ---- tags and repositories ---- */

struct tag_list {
	char *name;
	struct text_list tags;
};

static const struct json_field tag_list_fields[] = {
	JSON_TEXT("name", struct tag_list, name, 0),
	JSON_TEXT_LIST("tags", struct tag_list, tags, 0),
	JSON_END,
};

int api_tags(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	const char *repository = api_repository(request, response);
	struct tag_list list = { .name = (char *)(uintptr_t)repository };
	AUTO_FREE char *path = NULL;
	struct page page;
	int r;

	if (!repository || !read_page(&page, request, response))
		return 0;
	path = page.limited || page.last ? xasprintf("?n=%lld%s%s", (long long)page.size, page.last ? "&last=" : "",
						     text_or_empty(page.last))
					 : xstrdup("");
	if (reference_is_tag(page.last ? page.last : "x") &&
	    ask_elsewhere(api, repository, "tags/list", path, response))
		return 0;
	free(take_ptr(path));
	r = catalog_has_repository(api->catalog, repository, err);
	if (r < 0)
		return -1;
	if (r == 0)
		return api_refuse(response, 404, "NAME_UNKNOWN", "repository name not known to registry");
	r = catalog_tags(&list.tags, api->catalog, repository, page.last, page.size + 1, err);
	path = xasprintf("/v2/%s/tags/list", repository);
	if (r == 0) {
		end_page(&list.tags, &page, path, response);
		http_reply_take(response, 200, JSON_TYPE, json_encode(&list, tag_list_fields));
	}
	text_list_fini(&list.tags);
	return r;
}

struct repository_list {
	struct text_list repositories;
};

static const struct json_field repository_list_fields[] = {
	JSON_TEXT_LIST("repositories", struct repository_list, repositories, 0),
	JSON_END,
};

/* One more than the page holds of those the caller may pull from. */
static int list_allowed(struct text_list *out_names, struct api *api, const struct http_request *request,
			const struct page *page, struct error *err)
{
	AUTO_FREE char *last = xstrdup(page->last);

	for (;;) {
		AUTO(text_list_fini) struct text_list names = { 0 };

		if (catalog_repositories(&names, api->catalog, last, page->size + 1, err) < 0)
			return -1;
		for (size_t i = 0; i < names.count && out_names->count <= (size_t)page->size; i++)
			if (api_allows(api, request, names.items[i], ACCESS_PULL))
				text_list_add(out_names, names.items[i]);
		if (names.count <= (size_t)page->size || out_names->count > (size_t)page->size)
			return 0;
		free(last);
		last = xstrdup(names.items[names.count - 1]);
	}
}

int api_repositories(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	struct repository_list list = { 0 };
	struct page page;
	int r;

	if (!read_page(&page, request, response))
		return 0;
	r = list_allowed(&list.repositories, api, request, &page, err);
	if (r == 0) {
		end_page(&list.repositories, &page, "/v2/_catalog", response);
		http_reply_take(response, 200, JSON_TYPE, json_encode(&list, repository_list_fields));
	}
	text_list_fini(&list.repositories);
	return r;
}

/* ---- referrers ---- */

struct referrer {
	char *media_type;
	char *digest;
	int64_t size;
	char *artifact_type;
	char *annotations;
};

struct referrer_list {
	int64_t schema_version;
	char *media_type;
	JSON_ARRAY_OF(struct referrer) manifests;
	const char *only; /* artifact type, or NULL */
};

static const struct json_field referrer_fields[] = {
	JSON_TEXT("mediaType", struct referrer, media_type, 0),
	JSON_TEXT("digest", struct referrer, digest, 0),
	JSON_I64("size", struct referrer, size, 0),
	JSON_TEXT("artifactType", struct referrer, artifact_type, JSON_OMIT_EMPTY),
	JSON_RAW("annotations", struct referrer, annotations, JSON_OMIT_EMPTY),
	JSON_END,
};
static const struct json_field referrer_list_fields[] = {
	JSON_I64("schemaVersion", struct referrer_list, schema_version, 0),
	JSON_TEXT("mediaType", struct referrer_list, media_type, 0),
	JSON_ARRAY("manifests", struct referrer_list, manifests, referrer_fields, 0),
	JSON_END,
};

static void add_referrer(void *arg, const struct catalog_manifest *manifest)
{
	struct referrer_list *list = arg;
	struct referrer *referrer;
	char digest[DIGEST_TEXT_MAX];

	if (list->only && !text_equal(list->only, manifest->artifact_type))
		return;
	referrer = json_array_add(&list->manifests, sizeof(*referrer));
	referrer->media_type = xstrdup(manifest->media_type);
	referrer->digest = xstrdup(digest_text(&manifest->digest, digest));
	referrer->size = manifest->size;
	referrer->artifact_type = xstrdup(manifest->artifact_type);
	referrer->annotations = xstrdup(manifest->annotations);
}

int api_referrers(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	const char *repository = api_repository(request, response);
	struct referrer_list list = { .schema_version = 2, .media_type = xstrdup(MEDIA_OCI_INDEX) };
	struct digest digest;
	int r = 0;

	list.only = http_query(request, "artifactType");
	if (repository && api_digest(&digest, http_param(request, "digest"), response)) {
		AUTO_FREE char *what = xasprintf("referrers/%s", http_param(request, "digest"));

		if (!list.only && ask_elsewhere(api, repository, what, "", response)) {
			json_free_fields(&list, referrer_list_fields);
			return 0;
		}
		r = catalog_referrers(api->catalog, repository, http_param(request, "digest"), add_referrer, &list,
				      err);
		if (r == 0 && list.only)
			http_set_header(response, "OCI-Filters-Applied", "artifactType");
		if (r == 0)
			http_reply_take(response, 200, MEDIA_OCI_INDEX, json_encode(&list, referrer_list_fields));
	}
	json_free_fields(&list, referrer_list_fields);
	return r;
}
