/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/base64.h"

#define TAR_TYPE "application/x-tar"
#define PIECE ((size_t)64 << 10)

static int path_of(const char **out_path, const struct http_request *request, struct error *err)
{
	*out_path = http_query(request, "path");
	return text_empty(*out_path) ? error_set(err, ERR_INVALID, "bad parameter: 'path' cannot be empty") : 0;
}

static void set_stat(struct http_response *response, const struct archive_stat *stat)
{
	AUTO_FREE char *json = json_encode(stat, archive_stat_fields);
	AUTO_FREE char *encoded = base64_encode(json, strlen(json));

	http_set_header(response, "X-Docker-Container-Path-Stat", encoded);
}

DOCKER_HANDLER(docker_archive_stat)
{
	struct docker_api *api = context;
	struct archive_stat stat = { 0 };
	const char *path;

	if (path_of(&path, request, err) < 0 ||
	    archive_stat(&stat, api->engine, http_param(request, "id"), path, http_cancel_fd(request), err) < 0)
		return -1;
	set_stat(response, &stat);
	json_free_fields(&stat, archive_stat_fields);
	http_reply_empty(response, 200);
	return 0;
}

/* The tar stream to the client; a failure in the middle breaks the answer off. */
static int send_archive(struct archive *archive, struct http_request *request, struct http_response *response,
			struct error *err)
{
	AUTO_FREE char *piece = xmalloc(PIECE);
	ssize_t got;

	if (http_start(response, 200, TAR_TYPE, err) < 0)
		return -1;
	while ((got = read(archive_output_fd(archive), piece, PIECE)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read the archive");
		if (http_write(response, piece, (size_t)got, err) < 0)
			return -1;
	}
	return archive_finish(archive, http_cancel_fd(request), err);
}

DOCKER_HANDLER(docker_archive_get)
{
	struct docker_api *api = context;
	AUTO(archive_freep) struct archive *archive = NULL;
	struct archive_stat stat = { 0 };
	const char *path;

	if (path_of(&path, request, err) < 0 || archive_get(&archive, &stat, api->engine, http_param(request, "id"),
							    path, http_cancel_fd(request), err) < 0)
		return -1;
	set_stat(response, &stat);
	json_free_fields(&stat, archive_stat_fields);
	return send_archive(archive, request, response, err);
}

DOCKER_HANDLER(docker_archive_put)
{
	struct docker_api *api = context;
	const struct archive_put_options options = {
		.keep_kinds = query_bool(request, "noOverwriteDirNonDir"),
		.own = query_bool(request, "copyUIDGID"),
	};
	const char *path;

	if (path_of(&path, request, err) < 0 ||
	    archive_put(api->engine, http_param(request, "id"), path, &options, http_body_fd(request),
			http_cancel_fd(request), err) < 0 ||
	    http_body_whole(request, err) < 0)
		return -1;
	http_reply_empty(response, 200);
	return 0;
}

DOCKER_HANDLER(docker_container_export)
{
	struct docker_api *api = context;
	AUTO(archive_freep) struct archive *archive = NULL;

	if (archive_export(&archive, api->engine, http_param(request, "id"), err) < 0)
		return -1;
	return send_archive(archive, request, response, err);
}
