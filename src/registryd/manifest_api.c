/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "oci/reference.h"
#include "registryd/api.h"
#include "registryd/manifest_look.h"

static int unknown(struct http_response *response)
{
	return api_refuse(response, 404, "MANIFEST_UNKNOWN", "manifest unknown");
}

/* A tag or a digest; false: the refusal has been sent. */
static bool is_reference(const char *text, struct http_response *response)
{
	struct digest digest;

	if (strchr(text, ':'))
		return api_digest(&digest, text, response);
	if (reference_is_tag(text))
		return true;
	api_refuse(response, 400, "TAG_INVALID", "manifest tag did not match the grammar of tags");
	return false;
}

static void tell(struct api *api, const struct http_request *request, const char *action,
		 const struct catalog_manifest *row)
{
	const char *repository = http_param(request, "name");
	const char *reference = http_param(request, "reference");
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = xasprintf("/v2/%s/manifests/%s", repository, digest_text(&row->digest, text));

	api_tell(api, request,
		 &(struct event){ .action = action,
				  .repository = repository,
				  .media_type = row->media_type,
				  .digest = digest_is_set(&row->digest) ? text : NULL,
				  .size = row->size,
				  .tag = strchr(reference, ':') ? NULL : reference,
				  .path = path });
}

/* ---- get ---- */

/* Of another registry: here as it is there, if that can be found out. */
static int freshen(struct api *api, const char *repository, const char *reference, struct http_response *response,
		   struct error *err)
{
	int r = cache_has(api->cache, repository) ? cache_manifest(api->cache, repository, reference, err)
						  : CACHE_FRESH;

	if (r == CACHE_STALE)
		http_set_header(response, "Warning", "110 kist-registry \"its registry did not answer\"");
	return r;
}

/* 1: found, its headers are set; 0: the refusal has been sent. */
static int find(struct catalog_manifest *out_manifest, struct api *api, struct http_request *request,
		struct http_response *response, struct error *err)
{
	const char *repository = api_repository(request, response);
	const char *reference = http_param(request, "reference");
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *tag = NULL;
	int r;

	if (!repository || !is_reference(reference, response))
		return 0;
	r = freshen(api, repository, reference, response, err);
	if (r > 0)
		r = catalog_find_manifest(out_manifest, api->catalog, repository, reference, err);
	if (r == 0)
		unknown(response);
	if (r <= 0)
		return r;
	http_set_header(response, "Docker-Content-Digest", digest_text(&out_manifest->digest, text));
	tag = xasprintf("\"%s\"", text);
	http_set_header(response, "ETag", tag);
	return 1;
}

int api_manifest_head(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	AUTO(catalog_manifest_fini) struct catalog_manifest manifest = { 0 };
	int r = find(&manifest, context, request, response, err);

	if (r > 0)
		http_reply_head(response, 200, manifest.media_type, (uint64_t)manifest.size);
	return r < 0 ? -1 : 0;
}

int api_manifest_get(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	AUTO(catalog_manifest_fini) struct catalog_manifest manifest = { 0 };
	struct api *api = context;
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = find(&manifest, api, request, response, err);

	if (r <= 0)
		return r;
	if (catalog_read(&text, &size, api->catalog, &manifest.digest, API_MANIFEST_MAX, err) < 0)
		return -1;
	tell(api, request, "pull", &manifest);
	http_reply(response, 200, manifest.media_type, text, size);
	return 0;
}

/* ---- put ---- */

struct put {
	struct api *api;
	const char *repository;
	const char *reference;
	const char *text;
	size_t size;
	struct manifest_look look;
};

static void put_fini(struct put *put)
{
	manifest_look_fini(&put->look);
}

/* The bytes under the digest of the URL, or sha256. false: refused or err filled. */
static bool store_bytes(struct digest *out_digest, struct put *put, struct http_response *response, struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	struct blob_store *blobs = catalog_blobs(put->api->catalog);
	AUTO(error_clear) struct error problem = { 0 };
	struct digest expected;

	if (!strchr(put->reference, ':'))
		return blob_put(out_digest, blobs, put->text, put->size, err) == 0;
	if (!api_digest(&expected, put->reference, response))
		return false;
	if (blob_writer_new(&writer, blobs, put->size, err) < 0 ||
	    blob_writer_write(writer, put->text, put->size, err) < 0)
		return false;
	if (blob_writer_commit(writer, &expected, &problem) < 0) {
		if (problem.kind == ERR_INVALID)
			api_refuse(response, 400, "DIGEST_INVALID", problem.message);
		else
			error_move(err, &problem);
		return false;
	}
	*out_digest = expected;
	return true;
}

/* ?tag=a&tag=b beside a digest: distribution-spec, development version. */
static int put_tags(struct put *put, const struct catalog_manifest *row, struct http_request *request,
		    struct http_response *response, struct error *err)
{
	AUTO(text_list_fini) struct text_list tags = { 0 };
	AUTO_FREE char *joined = NULL;
	const char *tag;

	for (size_t i = 0; (tag = http_query_at(request, "tag", i)); i++) {
		if (!reference_is_tag(tag))
			continue;
		if (catalog_put_manifest(put->api->catalog, put->repository, row, &put->look.needs, tag, err) < 0)
			return -1;
		text_list_add(&tags, tag);
	}
	joined = text_list_join(&tags, ", ");
	if (tags.count)
		http_set_header(response, "OCI-Tag", joined);
	return 0;
}

static int put_row(struct put *put, struct http_request *request, struct http_response *response, struct error *err)
{
	bool is_digest = strchr(put->reference, ':') != NULL;
	struct catalog_manifest *row = &put->look.row;
	char text[DIGEST_TEXT_MAX];
	AUTO(error_clear) struct error problem = { 0 };
	AUTO_FREE char *location = NULL;

	if (!store_bytes(&row->digest, put, response, err))
		return error_is_set(err) ? -1 : 0;
	if (catalog_put_manifest(put->api->catalog, put->repository, row, &put->look.needs,
				 is_digest ? NULL : put->reference, &problem) < 0) {
		if (catalog_drop_unused(put->api->catalog, &row->digest, err) < 0)
			return -1;
		if (problem.kind == ERR_NOT_FOUND)
			return api_refuse(response, 404, "MANIFEST_BLOB_UNKNOWN", problem.message);
		return error_move(err, &problem);
	}
	if (is_digest && put_tags(put, row, request, response, err) < 0)
		return -1;
	tell(put->api, request, "push", row);
	location = xasprintf("/v2/%s/manifests/%s", put->repository, digest_text(&row->digest, text));
	http_set_header(response, "Location", location);
	http_set_header(response, "Docker-Content-Digest", text);
	if (row->subject)
		http_set_header(response, "OCI-Subject", row->subject);
	http_reply_empty(response, 201);
	return 0;
}

int api_manifest_put(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	AUTO(put_fini) struct put put = { .api = context };
	AUTO(error_clear) struct error problem = { 0 };

	put.repository = api_repository(request, response);
	put.reference = http_param(request, "reference");
	if (!put.repository || !is_reference(put.reference, response))
		return 0;
	put.text = http_body(request, &put.size);
	if (manifest_look(&put.look, put.text, put.size, http_header(request, "Content-Type"), &problem) < 0)
		return api_refuse(response, 400, "MANIFEST_INVALID", problem.message);
	/* An index may be sparse; what an image consists of must be here, unless told. */
	if (api_config(put.api)->sparse)
		put.look.needs.must_exist = 0;
	return put_row(&put, request, response, err);
}

int api_manifest_delete(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	AUTO(catalog_manifest_fini) struct catalog_manifest row = { 0 };
	struct api *api = context;
	const char *repository = api_repository(request, response);
	const char *reference = http_param(request, "reference");
	int r;

	if (!repository || !is_reference(reference, response))
		return 0;
	if (api->events && catalog_find_manifest(&row, api->catalog, repository, reference, err) < 0)
		return -1;
	r = catalog_remove_manifest(api->catalog, repository, reference, err);
	if (r < 0)
		return -1;
	if (r == 0)
		return unknown(response);
	tell(api, request, "delete", &row);
	http_reply_empty(response, 202);
	return 0;
}
