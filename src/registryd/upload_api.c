/* SPDX-License-Identifier: Apache-2.0 */
/* Pushing blobs: distribution-spec, "Pushing blobs". */
#include "base/alloc.h"
#include "base/text.h"
#include "http/byte_range.h"
#include "registryd/api.h"

#define CHUNK_SIZE (256 * 1024)

/* ---- answers ---- */

static int created(struct http_response *response, const char *repository, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *location = xasprintf("/v2/%s/blobs/%s", repository, digest_text(digest, text));

	http_set_header(response, "Location", location);
	http_set_header(response, "Docker-Content-Digest", text);
	http_reply_empty(response, 201);
	return 0;
}

/* Where to go on and how much is here. Range of nothing is written 0-0, as docker's clients expect. */
static void set_place(struct http_response *response, const char *repository, const char *id, uint64_t size)
{
	AUTO_FREE char *location = xasprintf("/v2/%s/blobs/uploads/%s", repository, id);
	AUTO_FREE char *range = xasprintf("0-%llu", (unsigned long long)(size ? size - 1 : 0));

	http_set_header(response, "Location", location);
	http_set_header(response, "Range", range);
	http_set_header(response, "Docker-Upload-UUID", id);
}

static void set_progress(struct http_response *response, const struct upload *upload)
{
	set_place(response, upload->repository, upload->id, upload->size);
}

/* ---- bytes ---- */

/* What does not fit is refused before it is sent, if its length is told. */
static int check_room(const struct upload *upload, uint64_t more, struct error *err)
{
	if (more <= upload->room - upload->size)
		return 0;
	return error_set(err, ERR_FORBIDDEN, "quota of %s exceeded: %llu bytes more do not fit", upload->repository,
			 (unsigned long long)(upload->size + more));
}

static int receive_body(struct upload *upload, struct http_request *request, struct error *err)
{
	AUTO_FREE char *chunk = xmalloc(CHUNK_SIZE);
	int64_t length = http_body_length(request);
	ssize_t got;

	if (length > 0 && check_room(upload, (uint64_t)length, err) < 0)
		return -1;
	while ((got = http_body_read(request, chunk, CHUNK_SIZE, err)) > 0) {
		if (check_room(upload, (uint64_t)got, err) < 0 ||
		    blob_writer_write(upload->writer, chunk, (size_t)got, err) < 0)
			return -1;
		upload->size += (uint64_t)got;
	}
	return got < 0 ? -1 : 0;
}

/* A chunk must go on where the last one ended. false: the refusal has been sent. */
static bool is_next_chunk(const struct upload *upload, const struct http_request *request,
			  struct http_response *response)
{
	const char *header = http_header(request, "Content-Range");
	int64_t length = http_body_length(request);
	uint64_t first;
	uint64_t last;

	if (!header)
		return true;
	if (range_parse_content(&first, &last, header) < 0) {
		api_refuse(response, 400, "BLOB_UPLOAD_INVALID", "Content-Range is not \"first-last\"");
		return false;
	}
	if (first != upload->size || (length >= 0 && (uint64_t)length != last - first + 1)) {
		set_progress(response, upload);
		api_refuse(response, 416, "RANGE_INVALID", "the chunk does not go on where the last one ended");
		return false;
	}
	return true;
}

/* from: mounted from there; NULL: pushed. */
static void tell(struct api *api, const struct http_request *request, const char *repository,
		 const struct digest *digest, uint64_t size, const char *from)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = xasprintf("/v2/%s/blobs/%s", repository, digest_text(digest, text));

	api_tell(api, request,
		 &(struct event){ .action = from ? "mount" : "push",
				  .repository = repository,
				  .from_repository = from,
				  .media_type = "application/octet-stream",
				  .digest = text,
				  .size = (int64_t)size,
				  .path = path });
}

/* Drops the upload, whatever comes out. */
static int finish(struct api *api, struct upload *upload, const struct digest *digest, struct http_request *request,
		  struct http_response *response, struct error *err)
{
	AUTO_FREE char *repository = xstrdup(upload->repository);
	uint64_t size = upload->size;
	int r = blob_writer_commit(upload->writer, digest, err);

	upload_drop(api->uploads, upload);
	if (r < 0 && err->kind == ERR_INVALID) {
		api_refuse(response, 400, "DIGEST_INVALID", err->message);
		error_clear(err);
		return 0;
	}
	if (r < 0)
		return -1;
	if (catalog_link_blob(api->catalog, repository, digest, err) < 0) {
		AUTO(error_clear) struct error ignored = { 0 };

		catalog_drop_unused(api->catalog, digest, &ignored);
		return -1;
	}
	tell(api, request, repository, digest, size, NULL);
	return created(response, repository, digest);
}

/* ---- handlers ---- */

/* 1: mounted and answered. */
static int try_mount(struct api *api, const char *repository, struct http_request *request,
		     struct http_response *response, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const char *mount = http_query(request, "mount");
	struct digest digest;
	int r;

	const char *from = http_query(request, "from");

	if (!mount || digest_parse(&digest, mount, &ignored) < 0)
		return 0;
	/* Nobody gets through a mount what they could not pull. */
	if (from ? !api_allows(api, request, from, ACCESS_PULL) : access_is_limited(api->access))
		return 0;
	r = catalog_has_blob(api->catalog, from, &digest, err);
	if (r <= 0)
		return r;
	if (catalog_link_blob(api->catalog, repository, &digest, err) < 0)
		return -1;
	tell(api, request, repository, &digest, 0, from ? from : "");
	created(response, repository, &digest);
	return 1;
}

/* The whole blob in one request. */
static int post_whole(struct api *api, struct upload *upload, struct http_request *request,
		      struct http_response *response, struct error *err)
{
	struct digest digest;

	if (!api_digest(&digest, http_query(request, "digest"), response)) {
		upload_drop(api->uploads, upload);
		return 0;
	}
	if (catalog_room(&upload->room, api->catalog, upload->repository, &digest, err) < 0 ||
	    receive_body(upload, request, err) < 0) {
		upload_drop(api->uploads, upload);
		return -1;
	}
	return finish(api, upload, &digest, request, response, err);
}

int api_upload_post(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	const char *repository = api_repository(request, response);
	const char *algorithm = http_query(request, "digest-algorithm");
	struct upload *upload;
	uint64_t room;
	int r;

	if (!repository)
		return 0;
	if (algorithm && digest_algorithm_parse(algorithm) == DIGEST_NONE)
		return api_refuse(response, 400, "DIGEST_INVALID", "unsupported digest algorithm");
	r = try_mount(api, repository, request, response, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (catalog_room(&room, api->catalog, repository, NULL, err) < 0 ||
	    upload_start(&upload, api->uploads, repository, err) < 0)
		return -1;
	upload->room = room;
	if (http_query(request, "digest"))
		return post_whole(api, upload, request, response, err);
	set_progress(response, upload);
	upload_give(api->uploads, upload);
	http_reply_empty(response, 202);
	return 0;
}

/* An upload that is not there is a refusal of its own form; another error stays for the caller. */
static int refuse_unknown(struct http_response *response, struct error *err)
{
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	api_refuse(response, 404, "BLOB_UPLOAD_UNKNOWN", err->message);
	error_clear(err);
	return 0;
}

/* NULL: the refusal has been sent, or err is filled. */
static struct upload *take(struct api *api, struct http_request *request, struct http_response *response,
			   struct error *err)
{
	const char *repository = api_repository(request, response);
	struct upload *upload;

	if (!repository)
		return NULL;
	if (upload_take(&upload, api->uploads, repository, http_param(request, "id"), err) == 0)
		return upload;
	refuse_unknown(response, err);
	return NULL;
}

static int taken_result(const struct error *err)
{
	return error_is_set(err) ? -1 : 0;
}

int api_upload_get(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	const char *repository = api_repository(request, response);
	const char *id = http_param(request, "id");
	uint64_t size;

	if (!repository)
		return 0;
	if (upload_look(&size, api->uploads, repository, id, err) < 0)
		return refuse_unknown(response, err);
	set_place(response, repository, id, size);
	http_reply_empty(response, 204);
	return 0;
}

/* A cut body can be gone on with; what is too much or finds no room on the disk cannot. */
static int give_up(struct api *api, struct upload *upload, const struct error *err)
{
	if (err->kind == ERR_CANCELED)
		upload_give(api->uploads, upload);
	else
		upload_drop(api->uploads, upload);
	return -1;
}

int api_upload_patch(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	struct upload *upload = take(api, request, response, err);
	int r = 0;

	if (!upload)
		return taken_result(err);
	if (is_next_chunk(upload, request, response)) {
		r = receive_body(upload, request, err);
		if (r < 0)
			return give_up(api, upload, err);
		set_progress(response, upload);
		http_reply_empty(response, 202);
	}
	upload_give(api->uploads, upload);
	return 0;
}

int api_upload_put(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	struct upload *upload = take(api, request, response, err);
	struct digest digest;

	if (!upload)
		return taken_result(err);
	if (!api_digest(&digest, text_or_empty(http_query(request, "digest")), response) ||
	    !is_next_chunk(upload, request, response)) {
		upload_give(api->uploads, upload);
		return 0;
	}
	if (receive_body(upload, request, err) < 0)
		return give_up(api, upload, err);
	return finish(api, upload, &digest, request, response, err);
}

int api_upload_delete(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct api *api = context;
	struct upload *upload = take(api, request, response, err);

	if (!upload)
		return taken_result(err);
	upload_drop(api->uploads, upload);
	http_reply_empty(response, 204);
	return 0;
}
