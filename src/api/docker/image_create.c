/* SPDX-License-Identifier: Apache-2.0 */
/* POST /images/create: a pull, or an import of the tar in the body. */
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/quote.h"
#include "engine/image.h"

/* The status line goes out with the first progress message: what fails before is an ordinary error. */
static void send_progress(void *arg, const char *json)
{
	struct http_response *response = arg;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *line = xasprintf("%s\r\n", json);

	if (!http_started(response) && http_start(response, 200, "application/json", &err) < 0)
		return;
	/* A client that is gone is seen by the cancel descriptor. */
	http_write(response, line, strlen(line), &err);
}

/* Failures after the first message go into the stream. */
static int finish(struct http_response *response, int result, struct error *err)
{
	AUTO(text_fini) struct text json = { 0 };
	const char *message = text_or_empty(err->message);

	if (result >= 0) {
		if (!http_started(response))
			http_reply(response, 200, "application/json", "", 0);
		return 0;
	}
	if (!http_started(response))
		return -1;
	text_add(&json, "{\"errorDetail\":{\"message\":");
	quote_json(&json, message, strlen(message));
	text_add(&json, "},\"error\":");
	quote_json(&json, message, strlen(message));
	text_add(&json, "}");
	send_progress(response, json.data);
	error_clear(err);
	return 0;
}

static int pull(struct docker_api *api, struct http_request *request, struct http_response *response, struct error *err)
{
	const char *header = http_header(request, "X-Registry-Auth");
	AUTO_FREE char *auth = NULL;
	size_t auth_size;
	struct image_pull_options options = {
		.image = http_query(request, "fromImage"),
		.tag = text_or_empty(http_query(request, "tag")),
		.platform = text_or_empty(http_query(request, "platform")),
		.registry = api->registry,
		.progress = send_progress,
		.progress_arg = response,
		.cancel_fd = http_cancel_fd(request),
	};
	int r;

	/* dockerd reads a broken header as none: old clients send odd ones when they have no credentials. */
	if (!text_empty(header) && base64_decode(&auth, &auth_size, header) == 0)
		options.auth = auth;
	r = image_pull(api->engine, &options, err);
	/* A 401 would make docker's client ask for a user name on the terminal; dockerd answers 500. */
	if (r < 0 && err->kind == ERR_UNAUTHORIZED)
		err->kind = ERR_INTERNAL;
	return finish(response, r, err);
}

static int body_is_whole(void *arg, struct error *err)
{
	return http_body_whole(arg, err);
}

static int import(struct docker_api *api, struct http_request *request, struct http_response *response,
		  struct error *err)
{
	AUTO(text_list_fini) struct text_list changes = { 0 };
	struct image_import_options options = {
		.repo = text_or_empty(http_query(request, "repo")),
		.tag = text_or_empty(http_query(request, "tag")),
		.message = text_or_empty(http_query(request, "message")),
		.platform = text_or_empty(http_query(request, "platform")),
		.changes = &changes,
		.whole = body_is_whole,
		.whole_arg = request,
		.progress = send_progress,
		.progress_arg = response,
		.cancel_fd = -1,
	};
	struct digest id;
	const char *change;

	for (size_t i = 0; (change = http_query_at(request, "changes", i)); i++)
		text_list_add(&changes, change);
	options.stream_fd = http_body_fd(request);
	return finish(response, image_import(&id, api->engine, &options, err), err);
}

DOCKER_HANDLER(docker_image_create)
{
	struct docker_api *api = context;
	const char *source = http_query(request, "fromSrc");

	if (!text_empty(http_query(request, "fromImage")))
		return pull(api, request, response, err);
	if (text_equal(source, "-"))
		return import(api, request, response, err);
	if (!text_empty(source))
		return error_set(err, ERR_UNSUPPORTED,
				 "import from %s: only fromSrc=- (the tar in the request body) is supported", source);
	return error_set(err, ERR_INVALID, "neither fromImage nor fromSrc is given");
}
