/* SPDX-License-Identifier: Apache-2.0 */
/* What docker has not: POST /store/check. */
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/image_stream.h"
#include "api/docker/request.h"
#include "engine/store_check.h"

DOCKER_HANDLER(docker_store_check)
{
	struct docker_api *api = context;
	const struct store_check_options options = {
		.repair = query_bool(request, "repair"),
		.registry = &engine_settings(api->engine)->registry,
		.progress = image_stream_send,
		.progress_arg = response,
		.cancel_fd = http_cancel_fd(request),
	};

	return image_stream_finish(response, store_check_run(api->engine, &options, err), err);
}
