/* SPDX-License-Identifier: Apache-2.0 */
/* POST /build of the classic builder: the context in the body, everything else in the query. */
#include "builder/build.h"

#include <string.h>

#include "api/docker/build_output.h"
#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/quote.h"
#include "base/random.h"
#include "builder/attestation.h"
#include "builder/cache.h"
#include "builder/look.h"
#include "engine/image.h"
#include "json/value.h"

/* What a request says, decoded. */
struct build_query {
	struct text_list tags;
	struct text_map labels;
	struct text_map args;
	struct text_map secrets;
	struct host_config host;
	struct build_caches cache_from;
	struct build_caches cache_to;
	struct attestation_options attestations;
	char *registry_config;
	bool foreign_cache; /* --cache-from names images, and none of them is here */
};

static void build_query_fini(struct build_query *query)
{
	text_list_fini(&query->tags);
	text_map_fini(&query->labels);
	text_map_fini(&query->args);
	text_map_fini(&query->secrets);
	build_caches_fini(&query->cache_from);
	build_caches_fini(&query->cache_to);
	attestation_options_fini(&query->attestations);
	json_free_fields(&query->host, host_config_fields);
	free(query->registry_config);
}

/* {"key": "value", "other": null}: null entries are left out. */
static int parse_map(struct text_map *map, const char *text, const char *key, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(text_list_fini) struct text_list keys = { 0 };

	if (text_empty(text))
		return 0;
	if (json_value_parse(&value, text, strlen(text), err) < 0)
		return error_prefix(err, "error reading %s", key);
	if (json_value_type(value) == JSON_TYPE_NULL)
		return 0;
	if (json_value_type(value) != JSON_TYPE_OBJECT)
		return error_set(err, ERR_INVALID, "error reading %s: expected an object", key);
	json_value_keys(&keys, value, false);
	for (size_t i = 0; i < keys.count; i++) {
		const struct json_value *member = json_value_get(value, keys.items[i]);

		if (json_value_type(member) == JSON_TYPE_NULL)
			continue;
		if (!json_value_text(member))
			return error_set(err, ERR_INVALID, "error reading %s: %s is no string", key, keys.items[i]);
		text_map_set(map, keys.items[i], json_value_text(member));
	}
	return 0;
}

static int read_map(struct text_map *map, const struct http_request *request, const char *key, struct error *err)
{
	return parse_map(map, http_query(request, key), key, err);
}

/* kist's own: what --secret gives is no part of the query, which may be logged. */
static int read_secrets(struct text_map *secrets, const struct http_request *request, struct error *err)
{
	const char *header = http_header(request, "X-Kist-Build-Secrets");
	AUTO_FREE char *text = NULL;
	size_t size;

	if (text_empty(header))
		return 0;
	if (base64_decode(&text, &size, header) < 0)
		return error_set(err, ERR_INVALID, "error reading secrets: not base64");
	return parse_map(secrets, text, "secrets", err);
}

static int read_number(int64_t *target, const struct http_request *request, const char *key, struct error *err)
{
	struct optional_i64 value = { 0 };

	if (query_number(&value, request, key, err) < 0)
		return -1;
	if (value.set)
		*target = value.value;
	return 0;
}

static void read_text(char **target, const struct http_request *request, const char *key)
{
	const char *text = http_query(request, key);

	if (text_empty(text))
		return;
	free(*target);
	*target = xstrdup(text);
}

static void read_repeated(struct text_list *list, const struct http_request *request, const char *key)
{
	const char *text;

	for (size_t i = 0; (text = http_query_at(request, key, i)); i++)
		if (*text)
			text_list_add(list, text);
}

/* The tables of a container's host config know ulimits already. */
static int read_ulimits(struct host_config *host, const struct http_request *request, struct error *err)
{
	const char *text = http_query(request, "ulimits");
	AUTO_FREE char *object = text_empty(text) ? NULL : xasprintf("{\"Ulimits\":%s}", text);

	if (!object)
		return 0;
	if (json_decode(host, host_config_fields, object, strlen(object), err) < 0)
		return error_prefix(err, "error reading ulimits");
	return 0;
}

static int read_host(struct host_config *host, const struct http_request *request, struct error *err)
{
	const struct {
		const char *key;
		int64_t *target;
	} numbers[] = {
		{ "memory", &host->memory },	    { "memswap", &host->memory_swap },
		{ "cpushares", &host->cpu_shares }, { "cpuperiod", &host->cpu_period },
		{ "cpuquota", &host->cpu_quota },   { "shmsize", &host->shm_size },
	};

	/* First: it fills the whole struct. */
	if (read_ulimits(host, request, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (read_number(numbers[i].target, request, numbers[i].key, err) < 0)
			return -1;
	read_text(&host->cpuset_cpus, request, "cpusetcpus");
	read_text(&host->cpuset_mems, request, "cpusetmems");
	read_text(&host->cgroup_parent, request, "cgroupparent");
	read_text(&host->network_mode, request, "networkmode");
	read_repeated(&host->extra_hosts, request, "extrahosts");
	read_repeated(&host->security_opt, request, "securityopt");
	return 0;
}

static bool is_version_2(const struct http_request *request)
{
	return text_equal(http_query(request, "version"), "2");
}

/* The context is in the session, or in another request. */
static bool is_session(const char *remote)
{
	return text_equal(remote, "client-session") || text_equal(remote, "upload-request");
}

/* What cannot be done is said before anything is read. */
static int check_unsupported(const struct http_request *request, struct error *err)
{
	const char *isolation = text_or_empty(http_query(request, "isolation"));
	const char *version = text_or_empty(http_query(request, "version"));
	const char *remote = text_or_empty(http_query(request, "remote"));

	if (*isolation && !text_equal(isolation, "default"))
		return error_set(err, ERR_INVALID, "unsupported isolation: \"%s\"", isolation);
	if (*version && !text_equal(version, "1") && !is_version_2(request))
		return error_set(err, ERR_INVALID, "invalid version %s", version);
	if (text_equal(remote, "client-session") && !is_version_2(request))
		return error_set(err, ERR_INVALID, "remoteURL (%s) could not be recognized as URL", remote);
	return 0;
}

/* 1: "type=registry,ref=x", one of BuildKit's caches; 0: a plain name. */
static int read_cache(struct build_query *query, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	struct build_cache *cache;

	if (!text_has_prefix(text, "type="))
		return 0;
	text_list_split(&fields, text, ',');
	cache = build_caches_add(&query->cache_from, fields.items[0] + strlen("type="));
	for (size_t i = 1; i < fields.count; i++) {
		char *value = strchr(fields.items[i], '=');

		if (value)
			*value++ = '\0';
		text_map_set(&cache->attrs, fields.items[i], text_or_empty(value));
	}
	if (text_equal(cache->type, "local"))
		return error_set(err, ERR_UNSUPPORTED,
				 "cache import type=local is not supported here: type=registry,ref=REPOSITORY is");
	return build_check_cache_import(cache, err) < 0 ? -1 : 1;
}

static void add_image(struct build_query *query, const char *name)
{
	text_map_set(&build_caches_add(&query->cache_from, "registry")->attrs, "ref", name);
}

/* kist's own: [{"Type":"registry","Attrs":{"ref":"x"}}] */
static int read_cache_to(struct build_query *query, const struct http_request *request, struct error *err)
{
	const char *text = http_query(request, "cacheto");
	AUTO(json_value_freep) struct json_value *items = NULL;

	if (text_empty(text))
		return 0;
	if (json_value_parse(&items, text, strlen(text), err) < 0)
		return error_prefix(err, "error reading cache-to");
	for (size_t i = 0; i < json_value_count(items); i++) {
		const struct json_value *item = json_value_at(items, i);
		const struct json_value *attrs = json_value_get(item, "Attrs");
		struct build_cache *cache = build_caches_add(
			&query->cache_to, text_or_empty(json_value_text(json_value_get(item, "Type"))));
		AUTO(text_list_fini) struct text_list keys = { 0 };

		json_value_keys(&keys, attrs, false);
		for (size_t j = 0; j < keys.count; j++)
			text_map_set(&cache->attrs, keys.items[j],
				     text_or_empty(json_value_text(json_value_get(attrs, keys.items[j]))));
		if (build_check_cache_export(cache, err) < 0)
			return -1;
	}
	return 0;
}

/* As in dockerd's builder: with --cache-from, steps are only taken from images that are named. */
static int read_cache_from(struct build_query *query, struct docker_api *api, const struct http_request *request,
			   struct error *err)
{
	const char *text = http_query(request, "cachefrom");
	AUTO(json_value_freep) struct json_value *names = NULL;
	AUTO(text_list_fini) struct text_list local = { 0 };

	if (text_empty(text))
		return 0;
	if (json_value_parse(&names, text, strlen(text), err) < 0)
		return error_prefix(err, "error reading cache-from");
	for (size_t i = 0; i < json_value_count(names); i++) {
		const char *name = text_or_empty(json_value_text(json_value_at(names, i)));
		int r = read_cache(query, name, err);

		if (r < 0)
			return -1;
		/* BuildKit's caches only add to ours. */
		if (r == 0 && is_version_2(request))
			add_image(query, name);
		else if (r == 0)
			text_list_add(&local, name);
	}
	query->foreign_cache = local.count > 0;
	for (size_t i = 0; i < local.count; i++) {
		const char *name = local.items[i];
		AUTO(error_clear) struct error missing = { 0 };
		struct image_details details = { 0 };

		if (image_inspect(&details, api->engine, name, &missing) == 0)
			query->foreign_cache = false;
		json_free_fields(&details, image_details_fields);
	}
	return 0;
}

/* kist's own: {"provenance":"mode=max","sbom":""} */
static int read_attestations(struct build_query *query, const struct http_request *request, struct error *err)
{
	AUTO(text_map_fini) struct text_map map = { 0 };

	if (read_map(&map, request, "attests", err) < 0)
		return -1;
	for (size_t i = 0; i < map.count; i++)
		if (attestation_read(&query->attestations, map.items[i].key, map.items[i].value, err) < 0)
			return -1;
	return 0;
}

static int read_query(struct build_query *query, struct build_options *options, struct docker_api *api,
		      const struct http_request *request, struct error *err)
{
	const char *header = http_header(request, "X-Registry-Config");
	const char *remote = text_or_empty(http_query(request, "remote"));
	size_t size;

	read_repeated(&query->tags, request, "t");
	if (check_unsupported(request, err) < 0 || read_map(&query->labels, request, "labels", err) < 0 ||
	    read_map(&query->args, request, "buildargs", err) < 0 || read_secrets(&query->secrets, request, err) < 0 ||
	    read_host(&query->host, request, err) < 0 || read_cache_from(query, api, request, err) < 0 ||
	    read_cache_to(query, request, err) < 0 || read_attestations(query, request, err) < 0)
		return -1;
	/* A broken header counts as none, as it does for a pull. */
	if (!text_empty(header) && base64_decode(&query->registry_config, &size, header) < 0)
		query->registry_config = NULL;
	options->tags = &query->tags;
	options->labels = &query->labels;
	options->args = &query->args;
	options->secrets = &query->secrets;
	options->cache_from = &query->cache_from;
	options->host = &query->host;
	options->registry_config = query->registry_config;
	options->dockerfile = http_query(request, "dockerfile");
	options->remote = is_session(remote) ? NULL : remote;
	options->target = http_query(request, "target");
	options->attestations = &query->attestations;
	options->platform = http_query(request, "platform");
	/* With SOURCE_DATE_EPOCH files too: one word of the user for all times. BuildKit's clients say it themselves. */
	options->clamp = !is_version_2(request);
	options->no_cache = query_bool(request, "nocache") || query->foreign_cache;
	options->pull = query_bool(request, "pull");
	options->quiet = query_bool(request, "q");
	options->squash = query_bool(request, "squash");
	options->force_remove = query_bool(request, "forcerm");
	options->remove = !http_query(request, "rm") || query_bool(request, "rm");
	return 0;
}

/* ---- the stream ---- */

static void send_message(void *arg, const char *json)
{
	struct http_response *response = arg;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *line = xasprintf("%s\r\n", json);

	if (!http_started(response) && http_start(response, 200, "application/json", &err) < 0)
		return;
	/* A client that is gone is seen by the cancel descriptor. */
	http_write(response, line, strlen(line), &err);
}

static int send_failure(struct http_response *response, const struct build_failure *failure, struct error *err)
{
	AUTO(text_fini) struct text json = { 0 };
	const char *message = text_or_empty(err->message);

	text_add(&json, "{\"errorDetail\":{");
	if (failure->code)
		text_addf(&json, "\"code\":%lld,", (long long)failure->code);
	if (*failure->container)
		text_addf(&json, "\"container\":\"%s\",", failure->container);
	text_add(&json, "\"message\":");
	quote_json(&json, message, strlen(message));
	text_add(&json, "},\"error\":");
	quote_json(&json, message, strlen(message));
	text_add(&json, "}");
	send_message(response, json.data);
	error_clear(err);
	return 0;
}

static int body_is_whole(void *arg, struct error *err)
{
	return http_body_whole(arg, err);
}

static int build_version_2(struct docker_api *api, const struct http_request *request, struct http_response *response,
			   const struct build_options *options, struct error *err)
{
	const char *ref = http_query(request, "buildid");
	const char *uploaded = text_after(text_or_empty(ref), "upload-request:");
	struct buildkit_build build = { .session = http_query(request, "session"),
					.outputs = http_query(request, "outputs"),
					.options = options };
	char name[33];

	if (uploaded && buildkit_upload(api->buildkit, uploaded, options, err) < 0)
		return -1;
	if (uploaded) {
		http_reply_empty(response, 200);
		return 0;
	}
	build.uploaded = text_equal(http_query(request, "remote"), "upload-request");
	random_hex(name, 16);
	build.ref = text_empty(ref) ? name : ref;
	return buildkit_build(api->buildkit, &build, err);
}

static bool has_outputs(const char *text)
{
	return *text && !text_equal(text, "[]") && !text_equal(text, "null");
}

static int build_version_1(struct docker_api *api, const struct http_request *request, struct http_response *response,
			   const struct build_query *query, struct build_options *options,
			   struct build_failure *failure, struct error *err)
{
	const char *outputs = text_or_empty(http_query(request, "outputs"));
	struct job *record = buildkit_record_begin(api->buildkit, options);
	struct build_counts counts = { 0 };
	struct digest id;
	int r;

	options->counts = &counts;
	if (has_outputs(outputs) || query->cache_to.count > 0 || strchr(text_or_empty(options->platform), ',') ||
	    options->attestations->sbom || options->attestations->provenance != PROVENANCE_NONE)
		r = build_with_outputs(api->engine,
				       &(struct build_outputs_wanted){
					       .options = options, .outputs = outputs, .caches = &query->cache_to },
				       response, failure, err);
	else
		r = build_run(&id, failure, api->engine, options, err);
	buildkit_record_end(record, &counts, err);
	return r;
}

DOCKER_HANDLER(docker_build)
{
	struct docker_api *api = context;
	AUTO(build_query_fini) struct build_query query = { 0 };
	struct build_options options = { .whole = body_is_whole,
					 .whole_arg = request,
					 .registry = &engine_settings(api->engine)->registry,
					 .send = send_message,
					 .send_arg = response,
					 .cancel_fd = -1 };
	struct build_failure failure = { 0 };
	int r;

	if (read_query(&query, &options, api, request, err) < 0)
		return -1;
	options.confined = docker_bind_sources(api, request) != NULL;
	options.context_fd = http_body_fd(request);
	options.cancel_fd = http_cancel_fd(request);
	if (is_version_2(request))
		r = build_version_2(api, request, response, &options, err);
	else
		r = build_version_1(api, request, response, &query, &options, &failure, err);
	if (r == 0)
		return 0;
	/* Not its own credentials: a 401 would make docker's client ask for a user name. */
	if (err->kind == ERR_UNAUTHORIZED)
		err->kind = ERR_INTERNAL;
	return http_started(response) ? send_failure(response, &failure, err) : -1;
}

DOCKER_HANDLER(docker_build_prune)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	struct cache_prune_options options = { .all = query_bool(request, "all"), .filters = &filters };
	struct cache_prune_report report = { 0 };
	struct optional_i64 keep = { 0 };
	int r;

	if (query_filters(&filters, request, cache_prune_filter_keys, err) < 0 ||
	    query_number(&keep, request, "keep-storage", err) < 0 ||
	    (!keep.set && query_number(&keep, request, "reserved-space", err) < 0))
		return -1;
	options.keep_bytes = optional_i64_or(keep, 0);
	r = cache_prune(&report, api->engine, &options, err);
	if (r == 0)
		reply_json(response, 200, &report, cache_prune_report_fields);
	json_free_fields(&report, cache_prune_report_fields);
	return r;
}

/* ---- kist's own: questions that build nothing ---- */

struct look_body {
	char *call;
	char *dockerfile;
	char *name;
	char *ignored;
	char *platform;
	char *target;
	struct text_map args;
};

static const struct json_field look_body_fields[] = {
	JSON_TEXT("Call", struct look_body, call, JSON_REQUIRED),
	JSON_TEXT("Dockerfile", struct look_body, dockerfile, JSON_REQUIRED),
	JSON_TEXT("Name", struct look_body, name, 0),
	JSON_TEXT("Ignored", struct look_body, ignored, 0),
	JSON_TEXT("Platform", struct look_body, platform, 0),
	JSON_TEXT("Target", struct look_body, target, 0),
	JSON_TEXT_MAP("Args", struct look_body, args, 0),
	JSON_END,
};

struct look_answer {
	char *result;
	char *text;
	bool is_bad;
};

static const struct json_field look_answer_fields[] = {
	JSON_RAW("Result", struct look_answer, result, 0),
	JSON_TEXT("Text", struct look_answer, text, 0),
	JSON_BOOL("Bad", struct look_answer, is_bad, 0),
	JSON_END,
};

DOCKER_HANDLER(docker_build_look)
{
	struct docker_api *api = context;
	AUTO(build_view_fini) struct build_view view = { 0 };
	struct look_body body = { 0 };
	int r;

	if (body_is_json(request, err) < 0 || body_decode(&body, look_body_fields, request, err) < 0)
		return -1;
	r = build_look(&view, api->engine,
		       &(struct build_look){ .call = body.call,
					     .dockerfile = text_or_empty(body.dockerfile),
					     .name = body.name,
					     .ignored = body.ignored,
					     .args = &body.args,
					     .platform = body.platform,
					     .target = body.target },
		       err);
	if (r == 0)
		reply_json(response, 200,
			   &(struct look_answer){ .result = view.json.data,
						  .text = (char *)text_or_empty(view.text.data),
						  .is_bad = view.is_bad },
			   look_answer_fields);
	json_free_fields(&body, look_body_fields);
	return r;
}

/* ---- BuildKit ---- */

DOCKER_HANDLER(docker_grpc)
{
	struct docker_api *api = context;

	return buildkit_grpc(api->buildkit, request, response, err);
}

DOCKER_HANDLER(docker_build_history)
{
	struct docker_api *api = context;
	struct build_records records = { 0 };

	(void)request;
	(void)err;
	buildkit_records(&records, api->buildkit);
	reply_json_array(response, 200, &records, build_record_fields, sizeof(struct build_record));
	json_free_array(&records, build_record_fields, sizeof(struct build_record));
	return 0;
}

DOCKER_HANDLER(docker_build_cancel)
{
	struct docker_api *api = context;
	const char *id = http_query(request, "id");

	if (text_empty(id))
		return error_set(err, ERR_INVALID, "build ID not provided");
	buildkit_cancel(api->buildkit, id);
	http_reply_empty(response, 200);
	return 0;
}

DOCKER_HANDLER(docker_session)
{
	struct docker_api *api = context;

	return buildkit_session(api->buildkit, request, response, err);
}
