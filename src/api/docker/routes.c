/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/quote.h"
#include "engine/system.h"

/* clang-format off */
const struct http_route docker_routes[] = {
	{ "HEAD", "/_ping", docker_ping, 0 },
	{ "GET", "/_ping", docker_ping, 0 },
	{ "GET", "/version", docker_version, 0 },
	{ "GET", "/info", docker_info, 0 },
	{ "POST", "/auth", docker_auth, 0 },
	{ "GET", "/events", docker_events, 0 },
	{ "GET", "/system/df", docker_disk_usage, 0 },

	{ "GET", "/containers/json", docker_container_list, 0 },
	{ "POST", "/containers/create", docker_container_create, 0 },
	{ "POST", "/containers/prune", docker_container_prune, 0 },
	{ "GET", "/containers/{id...}/json", docker_container_inspect, 0 },
	{ "GET", "/containers/{id...}/top", docker_container_top, 0 },
	{ "GET", "/containers/{id...}/logs", docker_container_logs, 0 },
	{ "POST", "/containers/{id...}/start", docker_container_start, 0 },
	{ "POST", "/containers/{id...}/stop", docker_container_stop, 0 },
	{ "POST", "/containers/{id...}/restart", docker_container_restart, 0 },
	{ "POST", "/containers/{id...}/kill", docker_container_kill, 0 },
	{ "POST", "/containers/{id...}/pause", docker_container_pause, 0 },
	{ "POST", "/containers/{id...}/unpause", docker_container_unpause, 0 },
	{ "POST", "/containers/{id...}/rename", docker_container_rename, 0 },
	{ "POST", "/containers/{id...}/resize", docker_container_resize, 0 },
	{ "POST", "/containers/{id...}/wait", docker_container_wait, 0 },
	{ "POST", "/containers/{id...}/attach", docker_container_attach, 0 },
	{ "POST", "/containers/{id...}/exec", docker_exec_create, 0 },
	{ "GET", "/containers/{id...}/attach/ws", docker_container_attach_ws, 0 },
	{ "GET", "/containers/{id...}/changes", docker_container_changes, 0 },
	{ "GET", "/containers/{id...}/export", docker_container_export, 0 },
	{ "GET", "/containers/{id...}/stats", docker_container_stats, 0 },
	{ "POST", "/containers/{id...}/update", docker_container_update, 0 },
	{ "HEAD", "/containers/{id...}/archive", docker_archive_stat, 0 },
	{ "GET", "/containers/{id...}/archive", docker_archive_get, 0 },
	{ "PUT", "/containers/{id...}/archive", docker_archive_put, HTTP_BODY_STREAM },
	{ "GET", "/containers/{id...}/checkpoints", docker_checkpoint_list, 0 },
	{ "POST", "/containers/{id...}/checkpoints", docker_checkpoint_create, 0 },
	{ "DELETE", "/containers/{id}/checkpoints/{checkpoint}", docker_checkpoint_remove, 0 },
	{ "DELETE", "/containers/{id...}", docker_container_remove, 0 },
	{ "POST", "/commit", docker_commit, 0 },

	{ "POST", "/exec/{id}/start", docker_exec_start, 0 },
	{ "POST", "/exec/{id}/resize", docker_exec_resize, 0 },
	{ "GET", "/exec/{id}/json", docker_exec_inspect, 0 },

	{ "GET", "/images/json", docker_image_list, 0 },
	{ "POST", "/images/create", docker_image_create, HTTP_BODY_STREAM },
	{ "POST", "/images/prune", docker_image_prune, 0 },
	{ "GET", "/images/search", docker_image_search, 0 },
	{ "GET", "/images/get", docker_image_save_all, 0 },
	{ "POST", "/images/load", docker_image_load, HTTP_BODY_STREAM },
	{ "GET", "/images/{name...}/json", docker_image_inspect, 0 },
	{ "GET", "/images/{name...}/history", docker_image_history, 0 },
	{ "GET", "/images/{name...}/get", docker_image_save, 0 },
	{ "POST", "/images/{name...}/tag", docker_image_tag, 0 },
	{ "POST", "/images/{name...}/push", docker_image_push, 0 },
	{ "DELETE", "/images/{name...}", docker_image_remove, 0 },
	{ "GET", "/distribution/{name...}/json", docker_distribution, 0 },

	{ "GET", "/debug/vars", docker_debug_vars, 0 },
	{ "GET", "/debug/threads", docker_debug_threads, 0 },

	{ "POST", "/store/check", docker_store_check, 0 },

	{ "GET", "/volumes", docker_volume_list, 0 },
	{ "POST", "/volumes/create", docker_volume_create, 0 },
	{ "POST", "/volumes/prune", docker_volume_prune, 0 },
	{ "GET", "/volumes/{name...}", docker_volume_inspect, 0 },
	{ "PUT", "/volumes/{name...}", docker_volume_update, 0 },
	{ "DELETE", "/volumes/{name...}", docker_volume_remove, 0 },

	{ "GET", "/networks", docker_network_list, 0 },
	{ "GET", "/networks/", docker_network_list, 0 },
	{ "POST", "/networks/create", docker_network_create, 0 },
	{ "POST", "/networks/prune", docker_network_prune, 0 },
	{ "POST", "/networks/{id}/connect", docker_network_connect, 0 },
	{ "POST", "/networks/{id}/disconnect", docker_network_disconnect, 0 },
	{ "GET", "/networks/{id}/doctor", docker_network_doctor, 0 },
	{ "GET", "/networks/{id...}", docker_network_inspect, 0 },
	{ "DELETE", "/networks/{id...}", docker_network_remove, 0 },

	{ "POST", "/build", docker_build, HTTP_BODY_STREAM },
	{ "GET", "/build/history", docker_build_history, 0 },
	{ "POST", "/build/look", docker_build_look, 0 },
	{ "POST", "/build/prune", docker_build_prune, 0 },
	{ "POST", "/build/cancel", docker_build_cancel, 0 },
	{ "POST", "/session", docker_session, 0 },
	{ "POST", "/grpc", docker_grpc, 0 },

	{ "GET", "/plugins", docker_plugin_list, 0 },
	{ "GET", "/plugins/{name...}/json", docker_plugin_none, 0 },
	{ "GET", "/plugins/privileges", docker_unsupported, 0 },
	{ "POST", "/plugins/pull", docker_unsupported, 0 },
	{ "POST", "/plugins/create", docker_unsupported, 0 },
	{ "POST", "/plugins/{name...}/enable", docker_plugin_none, 0 },
	{ "POST", "/plugins/{name...}/disable", docker_plugin_none, 0 },
	{ "POST", "/plugins/{name...}/push", docker_plugin_none, 0 },
	{ "POST", "/plugins/{name...}/set", docker_plugin_none, 0 },
	{ "POST", "/plugins/{name...}/upgrade", docker_plugin_none, 0 },
	{ "DELETE", "/plugins/{name...}", docker_plugin_none, 0 },

	{ "GET", "/swarm", docker_swarm, 0 },
	{ "POST", "/swarm/leave", docker_swarm_leave, 0 },
	{ "POST", "/swarm/{rest...}", docker_swarm, 0 },
	{ "GET", "/swarm/{rest...}", docker_swarm, 0 },
	{ "GET", "/services", docker_swarm, 0 },
	{ "POST", "/services/{rest...}", docker_swarm, 0 },
	{ "GET", "/services/{rest...}", docker_swarm, 0 },
	{ "DELETE", "/services/{rest...}", docker_swarm, 0 },
	{ "GET", "/nodes", docker_swarm, 0 },
	{ "POST", "/nodes/{rest...}", docker_swarm, 0 },
	{ "GET", "/nodes/{rest...}", docker_swarm, 0 },
	{ "DELETE", "/nodes/{rest...}", docker_swarm, 0 },
	{ "GET", "/tasks", docker_swarm, 0 },
	{ "GET", "/tasks/{rest...}", docker_swarm, 0 },
	{ "GET", "/secrets", docker_swarm, 0 },
	{ "POST", "/secrets/{rest...}", docker_swarm, 0 },
	{ "GET", "/secrets/{rest...}", docker_swarm, 0 },
	{ "DELETE", "/secrets/{rest...}", docker_swarm, 0 },
	{ "GET", "/configs", docker_swarm, 0 },
	{ "POST", "/configs/{rest...}", docker_swarm, 0 },
	{ "GET", "/configs/{rest...}", docker_swarm, 0 },
	{ "DELETE", "/configs/{rest...}", docker_swarm, 0 },
	{ NULL, NULL, NULL, 0 },
};
/* clang-format on */

static int check_version(int64_t version, const char *text, size_t size, struct error *err)
{
	int64_t newest = 0;
	int64_t oldest = 0;

	api_version_parse(&newest, ENGINE_API_VERSION, strlen(ENGINE_API_VERSION));
	api_version_parse(&oldest, ENGINE_MIN_API_VERSION, strlen(ENGINE_MIN_API_VERSION));
	if (version > newest)
		return error_set(err, ERR_INVALID,
				 "client version %.*s is too new. Maximum supported API version is " ENGINE_API_VERSION,
				 (int)size, text);
	if (version < oldest)
		return error_set(
			err, ERR_INVALID,
			"client version %.*s is too old. Minimum supported API version is " ENGINE_MIN_API_VERSION
			", please upgrade your client to a newer version",
			(int)size, text);
	return 0;
}

/* Takes "/v1.41" off the path. */
static int take_version(struct http_request *request, struct error *err)
{
	const char *path = http_path(request);
	const char *text = text_after(path, "/v");
	size_t size = text ? strspn(text, "0123456789.") : 0;
	AUTO_FREE char *rest = NULL;
	int64_t version;

	if (size == 0 || text[size] != '/') {
		api_version_parse(&version, ENGINE_API_VERSION, strlen(ENGINE_API_VERSION));
		http_set_tag(request, version);
		return 0;
	}
	if (api_version_parse(&version, text, size) < 0)
		return error_set(err, ERR_INVALID, "invalid API version %.*s", (int)size, text);
	http_set_tag(request, version);
	if (check_version(version, text, size, err) < 0)
		return -1;
	rest = xstrdup(text + size);
	http_set_path(request, rest);
	return 0;
}

int docker_before(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	struct docker_api *api = context;
	bool experimental = api->engine && engine_settings(api->engine)->experimental;

	log_debug(api->log, "request", F("method", http_method(request)), F("path", http_path(request)));
	http_set_header(response, "Api-Version", ENGINE_API_VERSION);
	http_set_header(response, "Docker-Experimental", experimental ? "true" : "false");
	http_set_header(response, "Ostype", "linux");
	http_set_header(response, "Server", "Docker/" ENGINE_SERVER_VERSION " (linux)");
	if (take_version(request, err) < 0)
		return -1;
	if (!text_equal(http_method(request), "OPTIONS"))
		return 0;
	http_reply_empty(response, 200);
	return 1;
}

void docker_after(void *context, const struct http_request *request, int status, uint64_t size)
{
	struct docker_api *api = context;

	(void)size;
	if (api->metrics)
		metrics_request(api->metrics, http_method(request), http_path(request), status,
				clock_monotonic_ns() - http_begun_ns(request));
}

int docker_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err)
{
	(void)context;
	(void)request;
	(void)response;
	return error_set(err, ERR_NOT_FOUND, "page not found");
}

void docker_failed(void *context, struct http_request *request, struct http_response *response, const struct error *err)
{
	struct docker_api *api = context;
	const char *message = text_or_empty(err->message);
	/* dockerd knows no 507. */
	int status = err->kind == ERR_EXHAUSTED ? 500 : http_status_of(err->kind);
	struct text body = { 0 };

	if (status >= 500 && status != 501 && status != 503)
		log_error(api->log, "request failed", F("method", http_method(request)), F("path", http_path(request)),
			  F("error", message));
	text_add(&body, "{\"message\":");
	quote_json(&body, message, strlen(message));
	text_add(&body, "}\n");
	http_reply_take(response, status, "application/json", text_take(&body));
}
