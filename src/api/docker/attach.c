/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/attach.h"

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "api/docker/stream.h"
#include "http/websocket.h"

static int open_attach(struct attach **out_attach, struct docker_api *api, const struct http_request *request,
		       bool stream, struct error *err)
{
	const struct attach_options options = {
		.stdin_wanted = query_bool(request, "stdin"),
		.stdout_wanted = query_bool(request, "stdout"),
		.stderr_wanted = query_bool(request, "stderr"),
		.stream = stream,
		.logs = query_bool(request, "logs"),
		.detach_keys = http_query(request, "detachKeys"),
	};

	return container_attach(out_attach, api->engine, http_param(request, "id"), &options, err);
}

DOCKER_HANDLER(docker_container_attach)
{
	struct docker_api *api = context;
	struct attach *attach;

	if (open_attach(&attach, api, request, query_bool(request, "stream"), err) < 0)
		return -1;
	stream_hijack_take(request, response, attach);
	return 0;
}

/* The same over a websocket. */
DOCKER_HANDLER(docker_container_attach_ws)
{
	struct docker_api *api = context;
	struct attach *attach;

	if (websocket_accept(request, response, err) < 0 || open_attach(&attach, api, request, true, err) < 0)
		return -1;
	stream_hijack_websocket_take(request, response, attach);
	return 0;
}
