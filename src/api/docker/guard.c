/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask for what: the policy of the socket a request came by, then the authorization plugins. How it works: a
 * policy without `privileged` also looks at the container a request makes, or gets into.
 */
#include "api/docker/authorization.h"
#include "api/docker/docker.h"
#include "api/docker/policy.h"
#include "api/docker/request.h"
#include "engine/container.h"
#include "engine/exec.h"
#include "engine/volume.h"
#include "json/value.h"

struct guarded {
	struct docker_api *api;
	const struct policy *policy;
	const struct http_request *request;
};

static int check_stored(const struct guarded *guarded, const char *name, struct error *err)
{
	AUTO(error_clear) struct error missing = { 0 };
	struct container_inspect inspect = { 0 };
	int r;

	/* What is not there is the handler's to say. */
	if (container_inspect(&inspect, guarded->api->engine, name, false, &missing) < 0)
		return 0;
	r = policy_check_container(guarded->policy, &inspect.host, true, err);
	json_free_fields(&inspect, container_inspect_fields);
	return r;
}

static int check_target(const struct guarded *guarded, struct error *err)
{
	return check_stored(guarded, http_param(guarded->request, "id"), err);
}

static int check_create(const struct guarded *guarded, struct error *err)
{
	struct container_create_request body = { 0 };
	size_t size;
	const char *text = http_body(guarded->request, &size);
	int r;

	if (container_create_request_decode(&body, text, size, err) < 0)
		return -1;
	r = policy_check_container(guarded->policy, &body.host, false, err);
	container_create_request_fini(&body);
	return r;
}

static int refuse_privileged_exec(struct error *err)
{
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow privileged execs");
}

static int check_exec_create(const struct guarded *guarded, struct error *err)
{
	struct exec_config config = { 0 };
	bool privileged;

	if (body_decode(&config, exec_config_fields, guarded->request, err) < 0)
		return -1;
	privileged = config.privileged;
	json_free_fields(&config, exec_config_fields);
	return privileged ? refuse_privileged_exec(err) : check_target(guarded, err);
}

static int check_exec_start(const struct guarded *guarded, struct error *err)
{
	AUTO(error_clear) struct error missing = { 0 };
	struct exec_inspect inspect = { 0 };
	int r;

	if (exec_inspect(&inspect, guarded->api->engine, http_param(guarded->request, "id"), &missing) < 0)
		return 0;
	r = optional_bool_or(inspect.process.privileged, false) ? refuse_privileged_exec(err)
								: check_stored(guarded, inspect.container_id, err);
	json_free_fields(&inspect, exec_inspect_fields);
	return r;
}

static int check_volume(const struct guarded *guarded, struct error *err)
{
	struct volume_create_request body = { 0 };
	size_t options;

	if (body_decode(&body, volume_create_request_fields, guarded->request, err) < 0)
		return -1;
	options = body.driver_options.count;
	json_free_fields(&body, volume_create_request_fields);
	if (options == 0)
		return 0;
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow volumes with driver options");
}

static int check_network(const struct guarded *guarded, struct error *err)
{
	AUTO(json_value_freep) struct json_value *body = NULL;
	size_t size;
	const char *text = http_body(guarded->request, &size);
	const char *driver;

	if (json_value_parse(&body, text, size, err) < 0)
		return -1;
	driver = json_value_text(json_value_get(body, "Driver"));
	if (text_empty(driver) || text_equal(driver, "bridge") || text_equal(driver, "default"))
		return 0;
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow networks of driver %s", driver);
}

static int check_build(const struct guarded *guarded, struct error *err)
{
	const char *network = text_or_empty(http_query(guarded->request, "networkmode"));

	if (!text_equal(network, "host") && !text_has_prefix(network, "container:") &&
	    text_empty(http_query(guarded->request, "cgroupparent")))
		return 0;
	return error_set(err, ERR_FORBIDDEN,
			 "the policy of this socket does not allow builds in another network or cgroup");
}

/* These streams carry requests that are not looked into. */
static int refuse_stream(const struct guarded *guarded, struct error *err)
{
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow %s",
			 http_path(guarded->request));
}

static int guard_unprivileged(const struct guarded *guarded, struct error *err)
{
	static const struct {
		const char *method;
		const char *pattern;
		int (*check)(const struct guarded *guarded, struct error *err);
	} rules[] = {
		{ "POST", "/containers/create", check_create },
		{ "POST", "/containers/{id...}/start", check_target },
		{ "POST", "/containers/{id...}/restart", check_target },
		{ "POST", "/containers/{id...}/rename", check_target },
		{ "POST", "/containers/{id...}/attach", check_target },
		{ "GET", "/containers/{id...}/attach/ws", check_target },
		{ "PUT", "/containers/{id...}/archive", check_target },
		{ "POST", "/containers/{id...}/exec", check_exec_create },
		{ "POST", "/exec/{id}/start", check_exec_start },
		{ "POST", "/volumes/create", check_volume },
		{ "POST", "/networks/create", check_network },
		{ "POST", "/build", check_build },
		{ "POST", "/session", refuse_stream },
		{ "POST", "/grpc", refuse_stream },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (text_equal(rules[i].method, http_method(guarded->request)) &&
		    text_equal(rules[i].pattern, http_pattern(guarded->request)))
			return rules[i].check(guarded, err);
	return 0;
}

int docker_guard(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct docker_api *api = context;
	const struct policy_set *set = __atomic_load_n(&api->policies, __ATOMIC_ACQUIRE);
	const struct guarded guarded = { api, policy_find(set, http_listener(request)), request };

	(void)response;
	if (guarded.policy) {
		if (policy_check_request(guarded.policy, http_method(request), http_path(request), err) < 0)
			return -1;
		if (!policy_is_privileged(guarded.policy) && guard_unprivileged(&guarded, err) < 0)
			return -1;
	}
	return authorization_ask(&engine_settings(api->engine)->authorization, request, err);
}

int docker_review(void *context, struct http_request *request, const struct http_answer *answer, struct error *err)
{
	struct docker_api *api = context;

	return authorization_review(&engine_settings(api->engine)->authorization, request, answer, err);
}
