/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/checkpoint.h"
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"

struct create_body {
	char *name;
	char *folder;
	bool exit;
};

static const struct json_field create_fields[] = {
	JSON_TEXT("CheckpointID", struct create_body, name, 0),
	JSON_TEXT("CheckpointDir", struct create_body, folder, 0),
	JSON_BOOL("Exit", struct create_body, exit, 0),
	JSON_END,
};

struct summary {
	char *name;
};

static const struct json_field summary_fields[] = {
	JSON_TEXT("Name", struct summary, name, 0),
	JSON_END,
};

DOCKER_HANDLER(docker_checkpoint_create)
{
	struct docker_api *api = context;
	struct create_body body = { 0 };
	struct checkpoint_options options;
	int r;

	if (body_decode(&body, create_fields, request, err) < 0)
		return -1;
	options = (struct checkpoint_options){ .name = body.name, .folder = body.folder, .exit = body.exit };
	r = checkpoint_create(api->engine, http_param(request, "id"), &options, http_cancel_fd(request), err);
	json_free_fields(&body, create_fields);
	if (r == 0)
		http_reply_empty(response, 201);
	return r;
}

DOCKER_HANDLER(docker_checkpoint_list)
{
	struct docker_api *api = context;
	AUTO(text_list_fini) struct text_list names = { 0 };
	JSON_ARRAY_OF(struct summary) list = { 0 };

	if (checkpoint_list(&names, api->engine, http_param(request, "id"), http_query(request, "dir"), err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		struct summary *item = json_array_add(&list, sizeof(*item));

		item->name = xstrdup(names.items[i]);
	}
	reply_json_array(response, 200, &list, summary_fields, sizeof(struct summary));
	json_free_array(&list, summary_fields, sizeof(struct summary));
	return 0;
}

DOCKER_HANDLER(docker_checkpoint_remove)
{
	struct docker_api *api = context;
	const struct checkpoint_options options = { .name = http_param(request, "checkpoint"),
						    .folder = http_query(request, "dir") };

	if (checkpoint_remove(api->engine, http_param(request, "id"), &options, err) < 0)
		return -1;
	http_reply_empty(response, 204);
	return 0;
}
