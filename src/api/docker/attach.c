/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/attach.h"

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "api/docker/stream.h"

DOCKER_HANDLER(docker_container_attach)
{
	struct docker_api *api = context;
	const struct attach_options options = {
		.stdin_wanted = query_bool(request, "stdin"),
		.stdout_wanted = query_bool(request, "stdout"),
		.stderr_wanted = query_bool(request, "stderr"),
		.stream = query_bool(request, "stream"),
		.logs = query_bool(request, "logs"),
		.detach_keys = http_query(request, "detachKeys"),
	};
	struct attach *attach;

	if (container_attach(&attach, api->engine, http_param(request, "id"), &options, err) < 0)
		return -1;
	stream_hijack_take(request, response, attach);
	return 0;
}
