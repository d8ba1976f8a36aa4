/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "transfer/refusal.h"
#include "json/json.h"

#define PAGE_BYTES_MAX (8 * 1024 * 1024)
/* Bounds a registry that never ends: also what fits into one answer. */
#define NAMES_MAX 200000

struct page {
	struct text_list tags;
	struct text_list repositories;
};

static const struct json_field page_fields[] = {
	JSON_TEXT_LIST("tags", struct page, tags, 0),
	JSON_TEXT_LIST("repositories", struct page, repositories, 0),
	JSON_END,
};

/* RFC 8288: </v2/_catalog?last=b&n=2>; rel="next". */
char *listing_next_page(const struct remote_response *response)
{
	const char *link = remote_header(response, "link");
	const char *start = link ? strchr(link, '<') : NULL;
	const char *end = start ? strchr(start, '>') : NULL;
	AUTO_FREE char *target = NULL;

	if (!end || !strstr(end, "next"))
		return NULL;
	target = xstrndup(start + 1, (size_t)(end - start - 1));
	return remote_url_resolve(response->url, target);
}

static int take_page(struct text_list *names, const struct remote_response *response, struct error *err)
{
	struct page page = { 0 };
	size_t before = names->count;

	if (json_decode(&page, page_fields, (const char *)response->body.data, response->body.size, err) < 0)
		return error_prefix(err, "%s", response->url);
	text_list_add_all(names, &page.tags);
	text_list_add_all(names, &page.repositories);
	json_free_fields(&page, page_fields);
	if (names->count > NAMES_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s lists more than %d names", response->url, NAMES_MAX);
	return names->count > before;
}

static int list_pages(struct text_list *out_names, const struct source *source, struct remote *remote, const char *path,
		      const char *scope, struct error *err)
{
	AUTO_FREE char *url = NULL;
	int more = 1;

	while (more > 0) {
		AUTO(remote_response_fini) struct remote_response response = { 0 };

		if (registry_send(&response, source->registry, remote,
				  &(struct registry_call){ .path = url ? NULL : path,
							   .url = url,
							   .scope = scope,
							   .body_limit = PAGE_BYTES_MAX },
				  err) < 0)
			return -1;
		if (response.status != 200)
			return refusal_error(&response, NULL, err);
		more = take_page(out_names, &response, err);
		free(url);
		url = listing_next_page(&response);
		if (more > 0 && !url)
			more = 0;
	}
	return more;
}

int listing_tags(struct text_list *out_names, const struct source *source, struct remote *remote, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/tags/list?n=1000", source->repository);

	return list_pages(out_names, source, remote, path, source->scope, err);
}

int listing_catalog(struct text_list *out_names, const struct source *source, struct remote *remote, struct error *err)
{
	return list_pages(out_names, source, remote, "_catalog?n=1000", "registry:catalog:*", err);
}

/* ---- search ---- */

int listing_search(char **out_text, const struct source *source, struct remote *remote, const char *domain,
		   const char *term, uint64_t limit, struct error *err)
{
	AUTO(remote_response_fini) struct remote_response response = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	AUTO_FREE char *hub = NULL;

	text_add(&path, "v1/search?q=");
	text_add_escaped(&path, term, false);
	text_addf(&path, "&n=%llu", (unsigned long long)limit);
	/* Its images are served elsewhere. */
	if (text_equal(domain, "docker.io"))
		hub = xasprintf("https://index.docker.io/%s", path.data);
	if (registry_send(
		    &response, source->registry, remote,
		    &(struct registry_call){
			    .path = hub ? NULL : path.data, .url = hub, .is_root = true, .body_limit = PAGE_BYTES_MAX },
		    err) < 0)
		return -1;
	if (response.status == 404 || response.status == 405 || response.status == 410 || response.status == 501)
		return 0;
	if (response.status != 200)
		return refusal_error(&response, NULL, err);
	*out_text = xstrdup(buffer_text(&response.body));
	return 0;
}
