/* SPDX-License-Identifier: Apache-2.0 */
#include "api/peer/peer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/byte_range.h"
#include "oci/manifest.h"
#include "store/image_name.h"
#include "store/image_record.h"

#define BLOB_TYPE "application/octet-stream"

static struct store *store_of(void *context)
{
	struct engine *const *engine = context;

	return engine_store(*engine);
}

static int refuse(struct http_response *response, int status, const char *code, const char *message)
{
	struct text body = { 0 };

	text_addf(&body, "{\"errors\":[{\"code\":\"%s\",\"message\":", code);
	quote_json(&body, message, strlen(message));
	text_add(&body, "}]}");
	http_reply_take(response, status, "application/json", text_take(&body));
	return 0;
}

static int ping(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)err;
	http_set_header(response, "Docker-Distribution-Api-Version", "registry/2.0");
	http_reply_text(response, 200, "application/json", "{}");
	return 0;
}

int peer_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)err;
	return refuse(response, 404, "UNSUPPORTED", "only images are served here, read-only");
}

void peer_failed(void *context, struct http_request *request, struct http_response *response, const struct error *err)
{
	(void)context;
	(void)request;
	refuse(response, http_status_of(err->kind), "UNKNOWN", err->message);
}

static bool is_head(const struct http_request *request)
{
	return text_equal(http_method(request), "HEAD");
}

static void set_digest(struct http_response *response, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];

	http_set_header(response, "Docker-Content-Digest", digest_text(digest, text));
}

/* ---- blobs ---- */

static int send_blob(struct http_request *request, struct http_response *response, int fd, uint64_t size)
{
	uint64_t offset = 0;
	uint64_t count = size;
	enum range_result range = range_parse(&offset, &count, http_header(request, "Range"), size);
	AUTO_CLOSE int file = fd;
	AUTO_FREE char *header = NULL;

	if (range == RANGE_UNSATISFIABLE)
		return refuse(response, 416, "RANGE_INVALID", "the range is outside of the blob");
	if (range == RANGE_PART) {
		header = xasprintf("bytes %llu-%llu/%llu", (unsigned long long)offset,
				   (unsigned long long)(offset + count - 1), (unsigned long long)size);
		http_set_header(response, "Content-Range", header);
	}
	http_reply_file_take_fd(response, range == RANGE_PART ? 206 : 200, BLOB_TYPE, take_fd(&file), offset, count);
	return 0;
}

static int get_blob(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct blob_store *blobs = store_blobs(store_of(context));
	AUTO(error_clear) struct error problem = { 0 };
	AUTO_CLOSE int fd = -1;
	struct digest digest;
	uint64_t size;
	int r;

	if (digest_parse(&digest, http_param(request, "digest"), &problem) < 0)
		return refuse(response, 400, "DIGEST_INVALID", problem.message);
	/* Open first: the collector may be at work. */
	fd = blob_open(blobs, &digest, &problem);
	r = fd < 0 ? 0 : blob_size(&size, blobs, &digest, err);
	if (fd < 0 && problem.kind != ERR_NOT_FOUND)
		return error_move(err, &problem);
	if (r <= 0)
		return r < 0 ? -1 : refuse(response, 404, "BLOB_UNKNOWN", "this engine does not have the blob");
	set_digest(response, &digest);
	http_set_header(response, "Accept-Ranges", "bytes");
	if (!is_head(request))
		return send_blob(request, response, take_fd(&fd), size);
	http_reply_head(response, 200, BLOB_TYPE, size);
	return 0;
}

/* ---- manifests ---- */

/* What a tag names here: 1, or 0 if nothing or if the image has no manifest (it was built here). */
static int find_tag(struct digest *out_manifest, struct store *store, const char *ns, const char *name, const char *tag,
		    struct error *err)
{
	AUTO_FREE char *text = xasprintf("%s%s%s:%s", text_or_empty(ns), text_empty(ns) ? "" : "/", name, tag);
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	struct image_record image;
	struct digest id;
	int r;

	if (reference_parse(&reference, text, &ignored) < 0)
		return 0;
	r = image_name_find(&id, store, &reference, err);
	if (r > 0)
		r = image_record_find(&image, store, &id, err);
	if (r <= 0 || !digest_is_set(&image.manifest))
		return r < 0 ? -1 : 0;
	*out_manifest = image.manifest;
	return 1;
}

static const char *type_of(const struct manifest *manifest)
{
	if (manifest->media_type)
		return manifest->media_type;
	return manifest->kind == MANIFEST_INDEX ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
}

static int unknown_manifest(struct http_response *response)
{
	return refuse(response, 404, "MANIFEST_UNKNOWN", "this engine does not have the manifest");
}

static int get_manifest(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct store *store = store_of(context);
	const char *reference = http_param(request, "reference");
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	AUTO_FREE char *text = NULL;
	struct digest digest;
	size_t size;
	int r = 1;

	if (!strchr(reference, ':'))
		r = find_tag(&digest, store, http_query(request, "ns"), http_param(request, "name"), reference, err);
	else if (digest_parse(&digest, reference, &problem) < 0)
		return refuse(response, 400, "DIGEST_INVALID", problem.message);
	if (r <= 0)
		return r < 0 ? -1 : unknown_manifest(response);
	/* What is no manifest is not served as one: the config, a layer. */
	if (blob_read(&text, &size, store_blobs(store), &digest, MANIFEST_SIZE_MAX, &problem) < 0 ||
	    manifest_decode(&manifest, text, size, NULL, &problem) < 0)
		return unknown_manifest(response);
	set_digest(response, &digest);
	if (is_head(request))
		http_reply_head(response, 200, type_of(&manifest), size);
	else
		http_reply(response, 200, type_of(&manifest), text, size);
	return 0;
}

const struct http_route peer_routes[] = {
	{ "GET", "/v2/", ping, 0 },
	{ "GET", "/v2", ping, 0 },
	{ "GET", "/v2/{name...}/blobs/{digest}", get_blob, 0 },
	{ "HEAD", "/v2/{name...}/blobs/{digest}", get_blob, 0 },
	{ "GET", "/v2/{name...}/manifests/{reference}", get_manifest, 0 },
	{ "HEAD", "/v2/{name...}/manifests/{reference}", get_manifest, 0 },
	{ 0 },
};
