/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "registryd/api.h"
#include "registryd/range.h"

#define BLOB_TYPE "application/octet-stream"

static int unknown(struct http_response *response)
{
	return api_refuse(response, 404, "BLOB_UNKNOWN", "blob unknown to registry");
}

/* 1 if the repository has it and its size is known; 0: the refusal has been sent. */
static int find_blob(struct digest *out_digest, uint64_t *out_size, struct api *api, struct http_request *request,
		     struct http_response *response, struct error *err)
{
	const char *repository = api_repository(request, response);
	char text[DIGEST_TEXT_MAX];
	int r;

	if (!repository || !api_digest(out_digest, http_param(request, "digest"), response))
		return 0;
	r = catalog_has_blob(api->catalog, repository, out_digest, err);
	if (r > 0)
		r = blob_size(out_size, catalog_blobs(api->catalog), out_digest, err);
	if (r == 0)
		unknown(response);
	if (r > 0) {
		http_set_header(response, "Docker-Content-Digest", digest_text(out_digest, text));
		http_set_header(response, "Accept-Ranges", "bytes");
		http_set_header(response, "Cache-Control", "max-age=31536000");
	}
	return r;
}

int api_blob_head(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	struct digest digest;
	uint64_t size;
	int r = find_blob(&digest, &size, api, request, response, err);

	/* Who asks before a push will not send it again. */
	if (r > 0 && !api->config->read_only &&
	    catalog_touch_blob(api->catalog, http_param(request, "name"), &digest, err) < 0)
		return -1;
	if (r > 0)
		http_reply_head(response, 200, BLOB_TYPE, size);
	return r < 0 ? -1 : 0;
}

int api_blob_get(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	struct digest digest;
	uint64_t size;
	uint64_t offset = 0;
	uint64_t count;
	enum range_result range;
	AUTO_FREE char *header = NULL;
	AUTO_CLOSE int fd = -1;
	int r = find_blob(&digest, &size, api, request, response, err);

	if (r <= 0)
		return r;
	count = size;
	range = range_parse(&offset, &count, http_header(request, "Range"), size);
	if (range == RANGE_UNSATISFIABLE) {
		header = xasprintf("bytes */%llu", (unsigned long long)size);
		http_set_header(response, "Content-Range", header);
		return api_refuse(response, 416, "RANGE_INVALID", "the range is outside of the blob");
	}
	fd = blob_open(catalog_blobs(api->catalog), &digest, err);
	if (fd < 0)
		return -1;
	if (range == RANGE_PART) {
		header = xasprintf("bytes %llu-%llu/%llu", (unsigned long long)offset,
				   (unsigned long long)(offset + count - 1), (unsigned long long)size);
		http_set_header(response, "Content-Range", header);
	}
	http_reply_file_take_fd(response, range == RANGE_PART ? 206 : 200, BLOB_TYPE, take_fd(&fd), offset, count);
	return 0;
}

int api_blob_delete(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	const char *repository = api_repository(request, response);
	struct digest digest;
	int r;

	if (!repository || !api_digest(&digest, http_param(request, "digest"), response))
		return 0;
	r = catalog_unlink_blob(api->catalog, repository, &digest, err);
	if (r < 0)
		return -1;
	if (r == 0)
		return unknown(response);
	http_reply_empty(response, 202);
	return 0;
}
