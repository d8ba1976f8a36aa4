/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "http/byte_range.h"
#include "registryd/api.h"
#include "registryd/objects.h"

#define BLOB_TYPE "application/octet-stream"

static int unknown(struct http_response *response)
{
	return api_refuse(response, 404, "BLOB_UNKNOWN", "blob unknown to registry");
}

static void tell(struct api *api, const struct http_request *request, const char *action, const struct digest *digest,
		 uint64_t size)
{
	char text[DIGEST_TEXT_MAX];

	api_tell(api, request,
		 &(struct event){ .action = action,
				  .repository = http_param(request, "name"),
				  .media_type = BLOB_TYPE,
				  .digest = digest_text(digest, text),
				  .size = (int64_t)size,
				  .path = http_path(request) });
}

struct wanted {
	struct digest digest;
	uint64_t size;
	struct cache_blob *stream; /* it is being fetched from another registry; else it is stored */
	int fd;			   /* its file, or -1 */
};

static void wanted_fini(struct wanted *wanted)
{
	cache_blob_unref(wanted->stream);
	if (wanted->fd >= 0)
		close(wanted->fd);
}

/* From the registry that ours is a cache of. As find_blob(). */
static int find_elsewhere(struct wanted *wanted, struct api *api, const char *repository, bool head, struct error *err)
{
	int r;

	if (head)
		return cache_blob_ask(&wanted->size, api->cache, repository, &wanted->digest, err);
	r = cache_blob_open(&wanted->stream, api->cache, repository, &wanted->digest, err);
	if (r == 1)
		wanted->size = cache_blob_size(wanted->stream);
	if (r == 2)
		r = catalog_blob_size(&wanted->size, api->catalog, &wanted->digest, err);
	return r;
}

/* 1 if the repository has it and its size is known; 0: the refusal has been sent. */
static int find_blob(struct wanted *wanted, struct api *api, struct http_request *request,
		     struct http_response *response, struct error *err)
{
	const char *repository = api_repository(request, response);
	char text[DIGEST_TEXT_MAX];
	int r;

	if (!repository || !api_digest(&wanted->digest, http_param(request, "digest"), response))
		return 0;
	r = catalog_has_blob(api->catalog, repository, &wanted->digest, err);
	if (r > 0)
		r = catalog_blob_size(&wanted->size, api->catalog, &wanted->digest, err);
	if (r == 0 && cache_has(api->cache, repository))
		r = find_elsewhere(wanted, api, repository, text_equal(http_method(request), "HEAD"), err);
	if (r == 0)
		unknown(response);
	if (r > 0) {
		http_set_header(response, "Docker-Content-Digest", digest_text(&wanted->digest, text));
		http_set_header(response, "Accept-Ranges", "bytes");
		http_set_header(response, "Cache-Control", "max-age=31536000");
	}
	return r;
}

int api_blob_head(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	AUTO(wanted_fini) struct wanted wanted = { .fd = -1 };
	int r = find_blob(&wanted, api, request, response, err);

	/* Who asks before a push will not send it again. */
	if (r > 0 && !api_config(api)->read_only &&
	    catalog_touch_blob(api->catalog, http_param(request, "name"), &wanted.digest, err) < 0)
		return -1;
	if (r > 0)
		http_reply_head(response, 200, BLOB_TYPE, wanted.size);
	return r < 0 ? -1 : 0;
}

/* ---- bytes that are on their way ---- */

struct reading {
	struct cache_blob *blob;
	uint64_t offset;
	uint64_t left;
};

static ssize_t read_stream(void *arg, void *data, size_t room)
{
	struct reading *reading = arg;
	ssize_t got = cache_blob_read(reading->blob, data, room < reading->left ? room : (size_t)reading->left,
				      reading->offset);

	if (got > 0) {
		reading->offset += (uint64_t)got;
		reading->left -= (uint64_t)got;
	}
	return got;
}

static void drop_stream(void *arg)
{
	struct reading *reading = arg;

	cache_blob_unref(reading->blob);
	free(reading);
}

static void reply_stream(struct http_response *response, int status, struct wanted *wanted, uint64_t offset,
			 uint64_t count)
{
	struct reading *reading = xcalloc(1, sizeof(*reading));

	*reading = (struct reading){ take_ptr(wanted->stream), offset, count };
	http_reply_reader(response, status, BLOB_TYPE, count, read_stream, drop_stream, reading);
}

static int open_stored(struct wanted *wanted, struct api *api, struct error *err)
{
	wanted->fd = blob_open(catalog_blobs(api->catalog), &wanted->digest, err);
	return wanted->fd < 0 ? -1 : 0;
}

/* From the object storage: 1, the client was sent there; 0, it is a stream or an open file. */
static int fetch_object(struct wanted *wanted, struct api *api, struct http_response *response, struct error *err)
{
	struct objects *objects = catalog_objects(api->catalog);
	AUTO_FREE char *url = objects_url(objects, "GET", &wanted->digest);
	int r;

	if (objects_config(objects)->redirect) {
		http_set_header(response, "Location", url);
		http_reply_empty(response, 307);
		return 1;
	}
	r = cache_object_open(&wanted->stream, api->cache, objects_upstream(objects), url, &wanted->digest, err);
	if (r == 0)
		return error_set(err, ERR_UNAVAILABLE, "the object storage has lost this blob");
	return r == 2 ? open_stored(wanted, api, err) : r < 0 ? -1 : 0;
}

/* As fetch_object(). Opened, not looked at: the folder of an object storage may lose it at any moment. */
static int open_bytes(struct wanted *wanted, struct api *api, struct http_response *response, struct error *err)
{
	AUTO(error_clear) struct error gone = { 0 };

	if (wanted->stream || open_stored(wanted, api, &gone) == 0)
		return 0;
	if (gone.kind != ERR_NOT_FOUND || !catalog_objects(api->catalog))
		return error_move(err, &gone);
	return fetch_object(wanted, api, response, err);
}

int api_blob_get(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	AUTO(wanted_fini) struct wanted wanted = { .fd = -1 };
	AUTO_FREE char *header = NULL;
	enum range_result range;
	uint64_t offset = 0;
	uint64_t count;
	int status;
	int r = find_blob(&wanted, api, request, response, err);

	if (r <= 0)
		return r;
	r = open_bytes(&wanted, api, response, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	count = wanted.size;
	range = range_parse(&offset, &count, http_header(request, "Range"), wanted.size);
	if (range == RANGE_UNSATISFIABLE) {
		header = xasprintf("bytes */%llu", (unsigned long long)wanted.size);
		http_set_header(response, "Content-Range", header);
		return api_refuse(response, 416, "RANGE_INVALID", "the range is outside of the blob");
	}
	if (range == RANGE_PART) {
		header = xasprintf("bytes %llu-%llu/%llu", (unsigned long long)offset,
				   (unsigned long long)(offset + count - 1), (unsigned long long)wanted.size);
		http_set_header(response, "Content-Range", header);
	}
	tell(api, request, "pull", &wanted.digest, wanted.size);
	status = range == RANGE_PART ? 206 : 200;
	if (!wanted.stream)
		http_reply_file_take_fd(response, status, BLOB_TYPE, take_fd(&wanted.fd), offset, count);
	else
		reply_stream(response, status, &wanted, offset, count);
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
	tell(api, request, "delete", &digest, 0);
	http_reply_empty(response, 202);
	return 0;
}
