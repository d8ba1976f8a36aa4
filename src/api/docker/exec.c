/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/exec.h"

#include <stdlib.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "api/docker/stream.h"

DOCKER_HANDLER(docker_exec_create)
{
	struct docker_api *api = context;
	struct exec_config config = { 0 };
	AUTO_FREE char *id = NULL;
	int r;

	if (body_decode(&config, exec_config_fields, request, err) < 0)
		return -1;
	r = exec_create(&id, api->engine, http_param(request, "id"), &config, err);
	json_free_fields(&config, exec_config_fields);
	if (r < 0)
		return -1;
	reply_id(response, 201, id);
	return 0;
}

struct console_cells {
	uint64_t value;
};

struct exec_start_request {
	bool detach;
	bool tty;
	JSON_ARRAY_OF(struct console_cells) console_size; /* height, width */
};

static const struct json_field console_cells_fields[] = {
	JSON_U64("", struct console_cells, value, 0),
	JSON_END,
};

static const struct json_field exec_start_request_fields[] = {
	JSON_BOOL("Detach", struct exec_start_request, detach, 0),
	JSON_BOOL("Tty", struct exec_start_request, tty, 0),
	JSON_ARRAY("ConsoleSize", struct exec_start_request, console_size, console_cells_fields, 0),
	JSON_END,
};

static int options_from(struct exec_start_options *out_options, const struct http_request *request, struct error *err)
{
	struct exec_start_request body = { 0 };

	if (body_decode(&body, exec_start_request_fields, request, err) < 0)
		return -1;
	*out_options = (struct exec_start_options){ .detach = body.detach, .tty = body.tty };
	if (body.console_size.count == 2 && body.console_size.items[0].value <= UINT16_MAX &&
	    body.console_size.items[1].value <= UINT16_MAX) {
		out_options->height = (uint16_t)body.console_size.items[0].value;
		out_options->width = (uint16_t)body.console_size.items[1].value;
	}
	json_free_fields(&body, exec_start_request_fields);
	return 0;
}

DOCKER_HANDLER(docker_exec_start)
{
	struct docker_api *api = context;
	const char *id = http_param(request, "id");
	struct exec_start_options options;
	struct exec_inspect known = { 0 };
	struct attach *attach = NULL;

	if (options_from(&options, request, err) < 0 || exec_inspect(&known, api->engine, id, err) < 0)
		return -1;
	if (options.detach) {
		http_reply_empty(response, 200);
		json_free_fields(&known, exec_inspect_fields);
		return exec_start(&attach, api->engine, id, &options, -1, err);
	}
	stream_hijack_exec(request, response, api->engine, id, &options);
	json_free_fields(&known, exec_inspect_fields);
	return 0;
}

DOCKER_HANDLER(docker_exec_resize)
{
	struct docker_api *api = context;
	uint16_t height;
	uint16_t width;

	if (query_size(&height, &width, request, err) < 0 ||
	    exec_resize(api->engine, http_param(request, "id"), height, width, err) < 0)
		return -1;
	http_reply_empty(response, 200);
	return 0;
}

DOCKER_HANDLER(docker_exec_inspect)
{
	struct docker_api *api = context;
	struct exec_inspect inspect = { 0 };

	if (exec_inspect(&inspect, api->engine, http_param(request, "id"), err) < 0)
		return -1;
	reply_json(response, 200, &inspect, exec_inspect_fields);
	json_free_fields(&inspect, exec_inspect_fields);
	return 0;
}
