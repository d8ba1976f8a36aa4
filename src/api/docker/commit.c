/* SPDX-License-Identifier: Apache-2.0 */
/* POST /commit and GET /containers/{id}/changes. */
#include "engine/commit.h"

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"

DOCKER_HANDLER(docker_commit)
{
	struct docker_api *api = context;
	AUTO(text_list_fini) struct text_list changes = { 0 };
	struct container_config config = { 0 };
	struct commit_options options = {
		.container = text_or_empty(http_query(request, "container")),
		.repo = http_query(request, "repo"),
		.tag = http_query(request, "tag"),
		.author = http_query(request, "author"),
		.comment = http_query(request, "comment"),
		.pause = !http_query(request, "pause") || query_bool(request, "pause"),
		.changes = &changes,
		.config = &config,
		.cancel_fd = http_cancel_fd(request),
	};
	char text[DIGEST_TEXT_MAX];
	struct digest id;
	const char *change;
	int r;

	/* One instruction a line, or one a parameter. */
	for (size_t i = 0; (change = http_query_at(request, "changes", i)); i++)
		text_list_split(&changes, change, '\n');
	if (body_is_json(request, err) < 0 || body_decode(&config, container_config_fields, request, err) < 0)
		return -1;
	r = container_commit(&id, api->engine, &options, err);
	json_free_fields(&config, container_config_fields);
	if (r == 0)
		reply_id(response, 201, digest_text(&id, text));
	return r;
}

DOCKER_HANDLER(docker_container_changes)
{
	struct docker_api *api = context;
	struct path_changes changes = { 0 };

	if (container_changes(&changes, api->engine, http_param(request, "id"), http_cancel_fd(request), err) < 0)
		return -1;
	if (changes.count == 0)
		reply_json_take(response, 200, xstrdup("null"));
	else
		reply_json_array(response, 200, &changes, path_change_fields, sizeof(*changes.items));
	json_free_array(&changes, path_change_fields, sizeof(*changes.items));
	return 0;
}
