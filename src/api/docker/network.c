/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "engine/engine_network.h"

DOCKER_HANDLER(docker_network_list)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	AUTO(engine_networks_fini) struct engine_networks networks = { 0 };

	if (query_filters(&filters, request, network_filter_keys, err) < 0 ||
	    engine_network_list(&networks, api->engine, &filters, err) < 0)
		return -1;
	reply_json_array(response, 200, &networks, engine_network_fields, sizeof(*networks.items));
	return 0;
}

static int check_scope(const struct http_request *request, const char *name, struct error *err)
{
	const char *scope = http_query(request, "scope");

	/* There is no swarm: its networks are not there either. */
	if (text_empty(scope) || text_equal(scope, "local"))
		return 0;
	return error_set(err, ERR_NOT_FOUND, "network %s not found", name);
}

DOCKER_HANDLER(docker_network_inspect)
{
	struct docker_api *api = context;
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	const char *name = http_param(request, "id");

	if (check_scope(request, name, err) < 0 || engine_network_inspect(&network, api->engine, name, err) < 0)
		return -1;
	reply_json(response, 200, &network, engine_network_fields);
	return 0;
}

struct create_answer {
	char *id;
	char *warning;
};

static const struct json_field create_answer_fields[] = {
	JSON_TEXT("Id", struct create_answer, id, 0),
	JSON_TEXT("Warning", struct create_answer, warning, 0),
	JSON_END,
};

DOCKER_HANDLER(docker_network_create)
{
	struct docker_api *api = context;
	struct network_create_request body = { 0 };
	struct create_answer answer = { 0 };
	int r;

	if (body_decode(&body, network_create_request_fields, request, err) < 0)
		return -1;
	r = engine_network_create(&answer.id, api->engine, &body, err);
	json_free_fields(&body, network_create_request_fields);
	if (r < 0)
		return -1;
	reply_json(response, 201, &answer, create_answer_fields);
	json_free_fields(&answer, create_answer_fields);
	return 0;
}

DOCKER_HANDLER(docker_network_connect)
{
	struct docker_api *api = context;
	struct network_connect_request body = { 0 };
	int r;

	if (body_decode(&body, network_connect_request_fields, request, err) < 0)
		return -1;
	r = engine_network_connect(api->engine, http_param(request, "id"), &body, http_cancel_fd(request), err);
	json_free_fields(&body, network_connect_request_fields);
	if (r == 0)
		http_reply_empty(response, 200);
	return r;
}

DOCKER_HANDLER(docker_network_disconnect)
{
	struct docker_api *api = context;
	struct network_disconnect_request body = { 0 };
	int r;

	if (body_decode(&body, network_disconnect_request_fields, request, err) < 0)
		return -1;
	r = engine_network_disconnect(api->engine, http_param(request, "id"), &body, http_cancel_fd(request), err);
	json_free_fields(&body, network_disconnect_request_fields);
	if (r == 0)
		http_reply_empty(response, 200);
	return r;
}

DOCKER_HANDLER(docker_network_remove)
{
	struct docker_api *api = context;

	if (engine_network_remove(api->engine, http_param(request, "id"), err) < 0)
		return -1;
	http_reply_empty(response, 204);
	return 0;
}

/* Ours, not docker's: GET /networks/{name or container}/doctor. */
DOCKER_HANDLER(docker_network_doctor)
{
	struct docker_api *api = context;
	struct doctor_report report = { 0 };

	if (engine_network_doctor(&report, api->engine, http_param(request, "id"), err) < 0)
		return -1;
	reply_json(response, 200, &report, doctor_report_fields);
	json_free_fields(&report, doctor_report_fields);
	return 0;
}

DOCKER_HANDLER(docker_network_prune)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct network_prune_report report = { 0 };

	if (query_filters(&filters, request, network_prune_filter_keys, err) < 0 ||
	    engine_network_prune(&report, api->engine, &filters, err) < 0)
		return -1;
	reply_json(response, 200, &report, network_prune_report_fields);
	json_free_fields(&report, network_prune_report_fields);
	return 0;
}
