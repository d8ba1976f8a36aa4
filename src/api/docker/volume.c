/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume.h"

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"

DOCKER_HANDLER(docker_volume_list)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct volume_list list = { 0 };

	if (query_filters(&filters, request, volume_filter_keys, err) < 0 ||
	    volume_list(&list, api->engine, &filters, http_cancel_fd(request), err) < 0)
		return -1;
	reply_json(response, 200, &list, volume_list_fields);
	json_free_fields(&list, volume_list_fields);
	return 0;
}

static void reply_volume(struct http_response *response, int status, struct volume *volume)
{
	reply_json(response, status, volume, volume_fields);
	json_free_fields(volume, volume_fields);
}

DOCKER_HANDLER(docker_volume_create)
{
	struct docker_api *api = context;
	struct volume_create_request body = { 0 };
	struct volume volume = { 0 };
	int r;

	if (body_decode(&body, volume_create_request_fields, request, err) < 0)
		return -1;
	r = volume_create(&volume, api->engine, &body, http_cancel_fd(request), err);
	json_free_fields(&body, volume_create_request_fields);
	if (r < 0)
		return -1;
	reply_volume(response, 201, &volume);
	return 0;
}

DOCKER_HANDLER(docker_volume_inspect)
{
	struct docker_api *api = context;
	struct volume volume = { 0 };

	if (volume_inspect(&volume, api->engine, http_param(request, "name"), http_cancel_fd(request), err) < 0)
		return -1;
	reply_volume(response, 200, &volume);
	return 0;
}

DOCKER_HANDLER(docker_volume_remove)
{
	struct docker_api *api = context;

	if (volume_remove(api->engine, http_param(request, "name"), query_bool(request, "force"),
			  http_cancel_fd(request), err) < 0)
		return -1;
	http_reply_empty(response, 204);
	return 0;
}

DOCKER_HANDLER(docker_volume_prune)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct volume_prune_report report = { 0 };

	if (query_filters(&filters, request, volume_prune_filter_keys, err) < 0)
		return -1;
	/* Before 1.42 named volumes went too. */
	if (http_tag(request) < API_VERSION(1, 42) && !filter_has(&filters, "all"))
		filter_set_add(&filters, "all", "true");
	if (volume_prune(&report, api->engine, &filters, err) < 0)
		return -1;
	reply_json(response, 200, &report, volume_prune_report_fields);
	json_free_fields(&report, volume_prune_report_fields);
	return 0;
}
