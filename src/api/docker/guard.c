/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask for what: the policy of the socket a request came by, then the authorization plugins. How it works: a
 * policy without `privileged` also looks at the container a request makes, or gets into.
 */
#include <string.h>

#include "api/docker/authorization.h"
#include "api/docker/docker.h"
#include "api/docker/policy.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/path.h"
#include "engine/container.h"
#include "engine/engine_network.h"
#include "engine/exec.h"
#include "engine/volume.h"

struct guarded {
	struct docker_api *api;
	const struct policy *policy;
	struct http_request *request;
};

/* A volume that somebody made of a folder of the host. One that is not there is made, without options. */
static int check_used_volume(const struct guarded *guarded, const char *name, struct error *err)
{
	AUTO(error_clear) struct error missing = { 0 };
	struct volume volume = { 0 };
	const char *device;
	int r = 0;

	if (text_empty(name) ||
	    volume_inspect(&volume, guarded->api->engine, name, http_cancel_fd(guarded->request), &missing) < 0)
		return 0;
	device = text_map_get(&volume.options, "device");
	if (policy_check_volume_driver(volume.driver, err) < 0)
		r = -1;
	else if (device && path_is_absolute(device))
		r = policy_check_source(guarded->policy, device, err);
	json_free_fields(&volume, volume_fields);
	return r < 0 ? error_prefix(err, "volume %s", name) : 0;
}

static int check_used_volumes(const struct guarded *guarded, const struct host_config *host, struct error *err)
{
	for (size_t i = 0; i < host->binds.count; i++) {
		const char *bind = host->binds.items[i];
		AUTO_FREE char *name = xstrndup(bind, strcspn(bind, ":"));

		if (!path_is_absolute(name) && check_used_volume(guarded, name, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < host->mounts.count; i++)
		if (text_equal(host->mounts.items[i].type, "volume") &&
		    check_used_volume(guarded, host->mounts.items[i].source, err) < 0)
			return -1;
	return 0;
}

static int check_container(const struct guarded *guarded, const struct host_config *host, bool stored,
			   struct error *err)
{
	if (policy_check_container(guarded->policy, host, stored, err) < 0)
		return -1;
	return check_used_volumes(guarded, host, err);
}

/* `out_id` may be NULL. */
static int check_stored(const struct guarded *guarded, const char *name, char **out_id, struct error *err)
{
	AUTO(error_clear) struct error missing = { 0 };
	struct container_inspect inspect = { 0 };
	int r;

	/* What is not there is the handler's to say. */
	if (container_inspect(&inspect, guarded->api->engine, name, false, &missing) < 0)
		return 0;
	r = check_container(guarded, &inspect.host, true, err);
	if (out_id)
		*out_id = take_ptr(inspect.id);
	json_free_fields(&inspect, container_inspect_fields);
	return r;
}

/* The handler gets the very container that was looked at, whatever bears its name by then. */
static int check_target(const struct guarded *guarded, struct error *err)
{
	AUTO_FREE char *id = NULL;

	if (check_stored(guarded, http_param(guarded->request, "id"), &id, err) < 0)
		return -1;
	if (id)
		http_set_param(guarded->request, "id", id);
	return 0;
}

static int refuse_folder(struct error *err)
{
	return error_set(err, ERR_FORBIDDEN,
			 "the policy of this socket does not allow checkpoints in a folder of the host");
}

static int check_start(const struct guarded *guarded, struct error *err)
{
	if (!text_empty(http_query(guarded->request, "checkpoint-dir")))
		return refuse_folder(err);
	return check_target(guarded, err);
}

static int check_checkpoint(const struct guarded *guarded, struct error *err)
{
	struct checkpoint_folder {
		char *path;
	} body = { 0 };
	static const struct json_field fields[] = {
		JSON_TEXT("CheckpointDir", struct checkpoint_folder, path, 0),
		JSON_END,
	};
	bool is_named;

	if (!text_empty(http_query(guarded->request, "dir")))
		return refuse_folder(err);
	if (!text_equal(http_method(guarded->request), "POST"))
		return 0;
	if (body_decode(&body, fields, guarded->request, err) < 0)
		return -1;
	is_named = !text_empty(body.path);
	json_free_fields(&body, fields);
	return is_named ? refuse_folder(err) : 0;
}

static bool is_host_network(const struct guarded *guarded, const char *name)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO(error_clear) struct error missing = { 0 };

	return !text_empty(name) && engine_network_inspect(&network, guarded->api->engine, name, &missing) == 0 &&
	       text_equal(network.driver, "host");
}

static int refuse_network(struct error *err)
{
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow another network namespace");
}

static int check_create(const struct guarded *guarded, struct error *err)
{
	struct container_create_request body = { 0 };
	size_t size;
	const char *text = http_body(guarded->request, &size);
	int r;

	if (container_create_request_decode(&body, text, size, err) < 0)
		return -1;
	r = is_host_network(guarded, body.host.network_mode) ? refuse_network(err)
							     : check_container(guarded, &body.host, false, err);
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
	r = optional_bool_or(inspect.process.privileged, false)
		    ? refuse_privileged_exec(err)
		    : check_stored(guarded, inspect.container_id, NULL, err);
	json_free_fields(&inspect, exec_inspect_fields);
	return r;
}

static int check_volume(const struct guarded *guarded, struct error *err)
{
	struct volume_create_request body = { 0 };
	size_t options;
	int r;

	if (body_decode(&body, volume_create_request_fields, guarded->request, err) < 0)
		return -1;
	options = body.driver_options.count;
	r = policy_check_volume_driver(body.driver, err);
	json_free_fields(&body, volume_create_request_fields);
	if (r < 0 || options == 0)
		return r;
	return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow volumes with driver options");
}

static int check_network(const struct guarded *guarded, struct error *err)
{
	struct network_create_request body = { 0 };
	const char *driver;
	int r = 0;

	if (body_decode(&body, network_create_request_fields, guarded->request, err) < 0)
		return -1;
	driver = body.driver;
	if (!text_empty(driver) && !text_equal(driver, "bridge") && !text_equal(driver, "default"))
		r = error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow networks of driver %s",
			      driver);
	json_free_fields(&body, network_create_request_fields);
	return r;
}

static int check_build(const struct guarded *guarded, struct error *err)
{
	const char *network = text_or_empty(http_query(guarded->request, "networkmode"));

	if (!text_empty(http_query(guarded->request, "securityopt")))
		return error_set(err, ERR_FORBIDDEN, "the policy of this socket does not allow security options");
	if (!text_equal(network, "host") && !text_has_prefix(network, "container:") &&
	    !is_host_network(guarded, network) && text_empty(http_query(guarded->request, "cgroupparent")))
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
		{ "POST", "/containers/{id...}/start", check_start },
		{ "POST", "/containers/{id...}/restart", check_target },
		{ "POST", "/containers/{id...}/rename", check_target },
		{ "POST", "/containers/{id...}/attach", check_target },
		{ "GET", "/containers/{id...}/attach/ws", check_target },
		{ "HEAD", "/containers/{id...}/archive", check_target },
		{ "GET", "/containers/{id...}/archive", check_target },
		{ "PUT", "/containers/{id...}/archive", check_target },
		{ "GET", "/containers/{id...}/checkpoints", check_checkpoint },
		{ "POST", "/containers/{id...}/checkpoints", check_checkpoint },
		{ "DELETE", "/containers/{id}/checkpoints/{checkpoint}", check_checkpoint },
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

static const struct policy *find_policy(struct docker_api *api, const struct http_request *request)
{
	return policy_find(__atomic_load_n(&api->policies, __ATOMIC_ACQUIRE), http_listener(request));
}

const struct text_list *docker_bind_sources(struct docker_api *api, const struct http_request *request)
{
	const struct policy *policy = find_policy(api, request);

	return policy && !policy_is_privileged(policy) ? policy_bind_sources(policy) : NULL;
}

int docker_guard(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct docker_api *api = context;
	const struct guarded guarded = { api, find_policy(api, request), request };

	(void)response;
	if (guarded.policy) {
		if (policy_check_request(guarded.policy, http_method(request), http_path(request), err) < 0)
			return -1;
		if (!policy_is_privileged(guarded.policy) && guard_unprivileged(&guarded, err) < 0)
			return -1;
	}
	return authorization_ask(engine_plugins(api->engine), &engine_settings(api->engine)->authorization, request,
				 err);
}

int docker_review(void *context, struct http_request *request, const struct http_answer *answer, struct error *err)
{
	struct docker_api *api = context;

	return authorization_review(engine_plugins(api->engine), &engine_settings(api->engine)->authorization, request,
				    answer, err);
}
