/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container.h"
#include "engine/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "engine/checkpoint.h"
#include "engine/image.h"
#include "oci/platform.h"

struct created {
	char *id;
	struct text_list warnings;
};

static const struct json_field created_fields[] = {
	JSON_TEXT("Id", struct created, id, 0),
	JSON_TEXT_LIST("Warnings", struct created, warnings, 0),
	JSON_END,
};

/* --platform: the image must be for that machine. Without it, any that is here will do. */
static int check_platform(struct engine *engine, const char *image, const char *text, struct error *err)
{
	AUTO(platform_fini) struct platform wanted = { 0 };
	struct image_details details = { 0 };
	struct platform offered;
	int rank;

	if (platform_parse(&wanted, text, err) < 0 || image_inspect(&details, engine, text_or_empty(image), err) < 0)
		return -1;
	offered =
		(struct platform){ .architecture = details.architecture, .os = details.os, .variant = details.variant };
	rank = platform_rank(&wanted, &offered, PLATFORM_STRICT);
	json_free_fields(&details, image_details_fields);
	if (rank >= 0)
		return 0;
	return error_set(err, ERR_NOT_FOUND,
			 "image with reference %s was found but does not provide the specified platform (%s)", image,
			 text);
}

static int create(struct created *created, struct docker_api *api, const struct http_request *request,
		  const struct container_create_request *body, struct error *err)
{
	const char *platform = http_query(request, "platform");

	if (!text_empty(platform) && check_platform(api->engine, body->config.image, platform, err) < 0)
		return -1;
	return container_create(&created->id, &created->warnings, api->engine, http_query(request, "name"), body, err);
}

DOCKER_HANDLER(docker_container_create)
{
	struct docker_api *api = context;
	struct container_create_request body = { 0 };
	struct created created = { 0 };
	const char *text;
	size_t size;
	int r;

	if (body_is_json(request, err) < 0)
		return -1;
	text = http_body(request, &size);
	if (container_create_request_decode(&body, text, size, err) < 0)
		return -1;
	body.bind_sources = docker_bind_sources(api, request);
	r = create(&created, api, request, &body, err);
	container_create_request_fini(&body);
	if (r == 0)
		reply_json(response, 201, &created, created_fields);
	json_free_fields(&created, created_fields);
	return r;
}

/* 1: done, 0: was so already. */
static int reply_changed(struct http_response *response, int changed)
{
	if (changed >= 0)
		http_reply_empty(response, changed ? 204 : 304);
	return changed < 0 ? -1 : 0;
}

static int reply_done(struct http_response *response, int result)
{
	if (result >= 0)
		http_reply_empty(response, 204);
	return result < 0 ? -1 : 0;
}

DOCKER_HANDLER(docker_container_start)
{
	struct docker_api *api = context;
	const struct checkpoint_options checkpoint = { .name = http_query(request, "checkpoint"),
						       .folder = http_query(request, "checkpoint-dir") };

	/* Started means started, even if the client does not wait for it: no cancel. */
	return reply_changed(response, container_start_from(api->engine, http_param(request, "id"),
							    text_empty(checkpoint.name) ? NULL : &checkpoint, -1, err));
}

static int stop_options_from(struct stop_options *out_options, const struct http_request *request, struct error *err)
{
	out_options->signal = http_query(request, "signal");
	if (text_empty(out_options->signal))
		out_options->signal = NULL;
	return query_number(&out_options->timeout_s, request, "t", err);
}

DOCKER_HANDLER(docker_container_stop)
{
	struct docker_api *api = context;
	struct stop_options options;

	if (stop_options_from(&options, request, err) < 0)
		return -1;
	return reply_changed(response, container_stop(api->engine, http_param(request, "id"), &options, -1, err));
}

DOCKER_HANDLER(docker_container_restart)
{
	struct docker_api *api = context;
	struct stop_options options;

	if (stop_options_from(&options, request, err) < 0)
		return -1;
	return reply_done(response, container_restart(api->engine, http_param(request, "id"), &options, -1, err));
}

DOCKER_HANDLER(docker_container_kill)
{
	struct docker_api *api = context;

	return reply_done(response, container_kill(api->engine, http_param(request, "id"),
						   http_query(request, "signal"), http_cancel_fd(request), err));
}

DOCKER_HANDLER(docker_container_pause)
{
	struct docker_api *api = context;

	return reply_done(response, container_pause(api->engine, http_param(request, "id"), err));
}

DOCKER_HANDLER(docker_container_unpause)
{
	struct docker_api *api = context;

	return reply_done(response, container_unpause(api->engine, http_param(request, "id"), err));
}

DOCKER_HANDLER(docker_container_rename)
{
	struct docker_api *api = context;
	const char *name = http_query(request, "name");

	if (text_empty(name))
		return error_set(err, ERR_INVALID, "Neither old nor new names may be empty");
	return reply_done(response, container_rename(api->engine, http_param(request, "id"), name, err));
}

DOCKER_HANDLER(docker_container_resize)
{
	struct docker_api *api = context;
	uint16_t height;
	uint16_t width;

	if (query_size(&height, &width, request, err) < 0 ||
	    container_resize(api->engine, http_param(request, "id"), height, width, err) < 0)
		return -1;
	http_reply_empty(response, 200);
	return 0;
}

DOCKER_HANDLER(docker_container_remove)
{
	struct docker_api *api = context;
	const struct remove_options options = {
		.force = query_bool(request, "force"),
		.volumes = query_bool(request, "v"),
		.link = query_bool(request, "link"),
	};

	return reply_done(response, container_remove(api->engine, http_param(request, "id"), &options, -1, err));
}

struct updated {
	struct text_list warnings;
};

static const struct json_field updated_fields[] = {
	JSON_TEXT_LIST("Warnings", struct updated, warnings, JSON_EMPTY_NULL),
	JSON_END,
};

/* The body's keys are HostConfig's. */
DOCKER_HANDLER(docker_container_update)
{
	struct docker_api *api = context;
	const struct updated nothing = { 0 };
	struct host_config wanted = { 0 };
	int r;

	if (body_decode(&wanted, host_config_fields, request, err) < 0)
		return -1;
	r = container_update(api->engine, http_param(request, "id"), &wanted, err);
	json_free_fields(&wanted, host_config_fields);
	if (r < 0)
		return -1;
	reply_json(response, 200, &nothing, updated_fields);
	return 0;
}

struct wait_error {
	char *message;
};

struct wait_answer {
	int64_t status_code;
	struct wait_error *error;
};

static const struct json_field wait_error_fields[] = {
	JSON_TEXT("Message", struct wait_error, message, 0),
	JSON_END,
};

static const struct json_field wait_answer_fields[] = {
	JSON_POINTER("Error", struct wait_answer, error, wait_error_fields, JSON_OMIT_EMPTY),
	JSON_I64("StatusCode", struct wait_answer, status_code, 0),
	JSON_END,
};

static char *encode_wait(const struct wait_result *result)
{
	struct wait_error error = { .message = result->error_message };
	const struct wait_answer answer = { .status_code = result->exit_code,
					    .error = result->error_message ? &error : NULL };
	AUTO_FREE char *json = json_encode(&answer, wait_answer_fields);

	return xasprintf("%s\n", json);
}

/* `docker run` sends its start only after it has seen the headers of this. */
DOCKER_HANDLER(docker_container_wait)
{
	struct docker_api *api = context;
	AUTO(container_waiter_freep) struct container_waiter *waiter = NULL;
	AUTO_FREE char *answer = NULL;
	enum wait_condition condition;
	struct wait_result result = { 0 };

	if (wait_condition_parse(&condition, text_or_empty(http_query(request, "condition")), err) < 0 ||
	    container_wait_begin(&waiter, api->engine, http_param(request, "id"), condition, err) < 0 ||
	    http_start(response, 200, "application/json", err) < 0 ||
	    container_wait_finish(&result, waiter, http_cancel_fd(request), err) < 0)
		return -1;
	answer = encode_wait(&result);
	free(result.error_message);
	return http_write(response, answer, strlen(answer), err);
}

DOCKER_HANDLER(docker_container_prune)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct container_prune_report report = { 0 };

	if (query_filters(&filters, request, container_prune_filter_keys, err) < 0 ||
	    container_prune(&report, api->engine, &filters, http_cancel_fd(request), err) < 0)
		return -1;
	reply_json(response, 200, &report, container_prune_report_fields);
	json_free_fields(&report, container_prune_report_fields);
	return 0;
}
