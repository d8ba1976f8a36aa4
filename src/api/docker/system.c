/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/system.h"
#include "builder/cache.h"
#include "engine/log.h"

#include <stdlib.h>
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/quote.h"
#include "engine/container.h"
#include "engine/event.h"
#include "engine/image.h"
#include "engine/volume.h"
#include "store/layer.h"

DOCKER_HANDLER(docker_ping)
{
	(void)context;
	(void)err;
	http_set_header(response, "Builder-Version", "2");
	http_set_header(response, "Cache-Control", "no-cache, no-store, must-revalidate");
	http_set_header(response, "Pragma", "no-cache");
	http_set_header(response, "Swarm", "inactive");
	if (text_equal(http_method(request), "HEAD"))
		http_reply(response, 200, "text/plain; charset=utf-8", "", 0);
	else
		http_reply_text(response, 200, "text/plain; charset=utf-8", "OK");
	return 0;
}

DOCKER_HANDLER(docker_version)
{
	struct docker_api *api = context;
	struct system_version version = { 0 };

	(void)request;
	if (system_version(&version, api->engine, err) < 0)
		return -1;
	reply_json(response, 200, &version, system_version_fields);
	json_free_fields(&version, system_version_fields);
	return 0;
}

DOCKER_HANDLER(docker_info)
{
	struct docker_api *api = context;
	struct system_info info = { 0 };

	(void)request;
	if (system_info(&info, api->engine, err) < 0)
		return -1;
	reply_json(response, 200, &info, system_info_fields);
	json_free_fields(&info, system_info_fields);
	return 0;
}

struct auth_request {
	char *username;
	char *password;
	char *server_address;
	char *identity_token;
	char *registry_token;
};

static const struct json_field auth_request_fields[] = {
	JSON_TEXT("username", struct auth_request, username, 0),
	JSON_TEXT("password", struct auth_request, password, 0),
	JSON_TEXT("serveraddress", struct auth_request, server_address, 0),
	JSON_TEXT("identitytoken", struct auth_request, identity_token, 0),
	JSON_TEXT("registrytoken", struct auth_request, registry_token, 0),
	JSON_END,
};

struct auth_answer {
	char *identity_token;
	char *status;
};

static const struct json_field auth_answer_fields[] = {
	JSON_TEXT("IdentityToken", struct auth_answer, identity_token, 0),
	JSON_TEXT("Status", struct auth_answer, status, 0),
	JSON_END,
};

DOCKER_HANDLER(docker_auth)
{
	struct docker_api *api = context;
	struct auth_request body = { 0 };
	struct session_auth auth;
	struct session_login login = { .auth = &auth, .settings = &engine_settings(api->engine)->registry };
	struct auth_answer answer = { .status = (char *)(uintptr_t) "Login Succeeded" };
	int r;

	if (body_decode(&body, auth_request_fields, request, err) < 0)
		return -1;
	auth = (struct session_auth){ .username = body.username,
				      .password = body.password,
				      .identity_token = body.identity_token,
				      .registry_token = body.registry_token };
	login.server = text_empty(body.server_address) ? "docker.io" : body.server_address;
	login.cancel_fd = http_cancel_fd(request);
	r = session_login(&answer.identity_token, &login, err);
	json_free_fields(&body, auth_request_fields);
	if (r < 0)
		return -1;
	reply_json(response, 200, &answer, auth_answer_fields);
	free(answer.identity_token);
	return 0;
}

/* Clients before API 1.52 look at these three, which newer ones ignore. */
static char *encode_with_legacy_keys(const struct event *event)
{
	AUTO_FREE char *json = event_encode(event);
	const char *image = text_map_get(&event->attributes, "image");
	bool container = text_equal(event->type, "container");
	struct text out = { 0 };

	if (!container && !text_equal(event->type, "image"))
		return xasprintf("%s\n", json);
	text_add(&out, "{\"status\":");
	quote_json(&out, event->action, strlen(event->action));
	text_add(&out, ",\"id\":");
	quote_json(&out, event->actor_id, strlen(event->actor_id));
	if (container && !text_empty(image)) {
		text_add(&out, ",\"from\":");
		quote_json(&out, image, strlen(image));
	}
	text_addf(&out, ",%s\n", json + 1);
	return text_take(&out);
}

DOCKER_HANDLER(docker_events)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	AUTO(event_unsubscribep) struct event_subscription *subscription = NULL;
	struct event_query query = { .filters = &filters };
	struct event event;
	int r;

	if (query_filters(&filters, request, event_filter_keys, err) < 0 ||
	    query_moment(&query.since_ns, request, "since", err) < 0 ||
	    query_moment(&query.until_ns, request, "until", err) < 0)
		return -1;
	/* The beginning of 1970 is a time as any other here: the stream ends at once. */
	if (text_equal(http_query(request, "until"), "0"))
		query.until_ns = 1;
	if (query.until_ns && query.since_ns > query.until_ns)
		return error_set(err, ERR_INVALID, "`since` time (%s) cannot be after `until` time (%s)",
				 http_query(request, "since"), http_query(request, "until"));
	if (event_subscribe(&subscription, engine_events(api->engine), &query, err) < 0 ||
	    http_start(response, 200, "application/json", err) < 0)
		return -1;
	while ((r = event_next(&event, subscription, http_cancel_fd(request), err)) > 0) {
		AUTO_FREE char *line = encode_with_legacy_keys(&event);

		event_fini(&event);
		if (http_write(response, line, strlen(line), err) < 0)
			return -1;
	}
	return r;
}

/* ---- system df ---- */

static int add_images(struct text *out, struct engine *engine, struct error *err)
{
	const struct image_list_options options = { .all = true, .shared_size = true, .containers = true };
	struct image_summaries list = { 0 };
	AUTO_FREE char *json = NULL;
	uint64_t size = 0;

	/* What images share counts once. */
	if (layer_total_size(&size, engine_store(engine), err) < 0 || image_list(&list, engine, &options, err) < 0)
		return -1;
	json = json_encode_array(&list, image_summary_fields, sizeof(*list.items));
	text_addf(out, "\"LayersSize\":%llu,\"Images\":%s", (unsigned long long)size, json);
	json_free_array(&list, image_summary_fields, sizeof(*list.items));
	return 0;
}

struct container_sizes {
	struct text *out;
	struct engine *engine;
	size_t count;
};

/* Logs are what fills disks unseen: here they count as their container's. (dockerd leaves them out.) */
static void add_container(void *context, struct container_summary *summary)
{
	struct container_sizes *sizes = context;
	int64_t logs = container_logs_size(sizes->engine, summary->id);

	summary->size_rw = (struct optional_i64){ true, optional_i64_or(summary->size_rw, 0) + logs };
	if (sizes->count++)
		text_add_char(sizes->out, ',');
	json_encode_to(sizes->out, summary, container_summary_fields);
}

static int add_containers(struct text *out, struct engine *engine, struct error *err)
{
	const struct list_options options = { .all = true, .size = true };
	struct container_sizes sizes = { .out = out, .engine = engine };

	text_add(out, ",\"Containers\":[");
	if (container_list(engine, &options, add_container, &sizes, err) < 0)
		return -1;
	text_add_char(out, ']');
	return 0;
}

static int add_volumes(struct text *out, struct engine *engine, struct error *err)
{
	struct volume_list list = { 0 };
	AUTO_FREE char *json = NULL;

	if (volume_list_local(&list, engine, err) < 0)
		return -1;
	json = json_encode_array(&list.volumes, volume_fields, sizeof(*list.volumes.items));
	text_addf(out, ",\"Volumes\":%s", json);
	json_free_fields(&list, volume_list_fields);
	return 0;
}

static int add_build_cache(struct text *out, struct engine *engine, struct error *err)
{
	struct cache_records records = { 0 };
	AUTO_FREE char *json = NULL;
	int64_t size = 0;

	if (cache_list(&records, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < records.count; i++)
		size += records.items[i].size;
	json = json_encode_array(&records, cache_record_fields, sizeof(*records.items));
	text_addf(out, ",\"BuildCache\":%s,\"BuilderSize\":%lld", json, (long long)size);
	json_free_array(&records, cache_record_fields, sizeof(*records.items));
	return 0;
}

DOCKER_HANDLER(docker_disk_usage)
{
	struct docker_api *api = context;
	AUTO(text_fini) struct text out = { 0 };

	(void)request;
	text_add(&out, "{");
	if (add_images(&out, api->engine, err) < 0 || add_containers(&out, api->engine, err) < 0 ||
	    add_volumes(&out, api->engine, err) < 0 || add_build_cache(&out, api->engine, err) < 0)
		return -1;
	text_add(&out, "}");
	reply_json_take(response, 200, text_take(&out));
	return 0;
}
