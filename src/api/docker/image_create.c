/* SPDX-License-Identifier: Apache-2.0 */
/* POST /images/create: a pull, or an import of the tar in the body. */
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/image_stream.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "engine/image.h"

static int pull(struct docker_api *api, struct http_request *request, struct http_response *response, struct error *err)
{
	AUTO_FREE char *auth = image_stream_auth(request);
	struct image_pull_options options = {
		.image = http_query(request, "fromImage"),
		.tag = text_or_empty(http_query(request, "tag")),
		.platform = text_or_empty(http_query(request, "platform")),
		.registry = &engine_settings(api->engine)->registry,
		.progress = image_stream_send,
		.progress_arg = response,
		.cancel_fd = http_cancel_fd(request),
	};
	int r;

	options.auth = auth;
	r = query_bool(request, "allPlatforms") ? image_pull_platforms(api->engine, &options, err)
						: image_pull(api->engine, &options, err);
	return image_stream_finish(response, r, err);
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
		.progress = image_stream_send,
		.progress_arg = response,
		.cancel_fd = -1,
	};
	struct digest id;
	const char *change;

	for (size_t i = 0; (change = http_query_at(request, "changes", i)); i++)
		text_list_add(&changes, change);
	options.stream_fd = http_body_fd(request);
	return image_stream_finish(response, image_import(&id, api->engine, &options, err), err);
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
