/* SPDX-License-Identifier: Apache-2.0 */
/* What kist has not, each with the answer that lets clients go on: dockerd's own where there is one. */
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"

DOCKER_HANDLER(docker_swarm)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_UNAVAILABLE,
			 "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
			 "connect this node to swarm and try again.");
}

DOCKER_HANDLER(docker_swarm_leave)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_UNAVAILABLE, "This node is not part of a swarm");
}

DOCKER_HANDLER(docker_volume_update)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_UNAVAILABLE,
			 "volume update only valid for cluster volumes, but swarm is unavailable");
}

DOCKER_HANDLER(docker_unsupported)
{
	(void)context;
	(void)response;
	return error_set(err, ERR_UNSUPPORTED, "%s %s is not supported by kist " KIST_VERSION, http_method(request),
			 http_path(request));
}

DOCKER_HANDLER(docker_plugin_list)
{
	(void)context;
	(void)request;
	(void)err;
	reply_json_take(response, 200, xstrdup("[]"));
	return 0;
}

DOCKER_HANDLER(docker_plugin_none)
{
	(void)context;
	(void)response;
	return error_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", http_param(request, "name"));
}
