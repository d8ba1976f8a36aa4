/* SPDX-License-Identifier: Apache-2.0 */
/* build, commit, diff: how images come from files and containers. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "cli/build_debug.h"
#include "cli/build_output.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/members.h"
#include "cli/progress.h"
#include "cli/spec.h"
#include "oci/reference.h"

/* As in BuildKit. */
#define SECRET_MAX (500 * 1024)
/* They travel in a header, and the engine takes 32 KiB of those. */
#define SECRETS_SENT_MAX 24000

struct build_options {
	struct text_list build_args;
	struct text_list cache_from;
	const char *isolation;
	bool compress; /* taken: the context goes over a local socket, where that would cost time */
	bool squash;
	struct optional_bool no_trust;
	struct text_list extra_hosts;
	struct text_list labels;
	struct text_list security_opts;
	struct text_list tags;
	struct build_wanted wanted;
	struct text attests; /* JSON object under construction */
	struct text secrets; /* JSON object under construction */
	struct text ulimits;
	const char *call; /* "build", or a question */
	const char *cgroup_parent;
	const char *cpuset_cpus;
	const char *cpuset_mems;
	const char *file;
	const char *iid_file;
	const char *metadata_file;
	const char *network;
	const char *platform;
	const char *script;
	const char *target;
	int64_t cpu_period;
	int64_t cpu_quota;
	int64_t cpu_shares;
	int64_t memory;
	int64_t memory_swap;
	int64_t shm_size;
	bool check;
	bool debug;
	bool force_remove;
	bool no_cache;
	bool pull;
	bool push;
	bool quiet;
	struct optional_bool remove;
};

static int read_ulimit(void *target, const char *value, struct error *err)
{
	struct build_options *options = target;

	return spec_ulimit(&options->ulimits, value, err);
}

/* The fields of --secret: id, src (source), env, type. */
static int read_secret_fields(struct text_map *map, const char *value, struct error *err)
{
	static const char *const known[] = { "id", "src", "source", "env", "type", NULL };
	AUTO(text_list_fini) struct text_list fields = { 0 };

	if (spec_csv(&fields, value, err) < 0)
		return -1;
	for (size_t i = 0; i < fields.count; i++) {
		const char *text;
		AUTO_FREE char *key = spec_cut(fields.items[i], &text);
		size_t at = 0;

		while (known[at] && !text_equal(known[at], key))
			at++;
		if (!text || !known[at])
			return error_set(err, ERR_INVALID, "unexpected key '%s' in '%s'", key, fields.items[i]);
		text_map_set(map, text_equal(key, "source") ? "src" : key, text);
	}
	return text_empty(text_map_get(map, "id")) ? error_set(err, ERR_INVALID, "a secret needs an id") : 0;
}

/* From a variable or a file; if nothing is said, from what is called as the secret is. */
static int load_secret(char **out_data, size_t *out_size, const struct text_map *map, struct error *err)
{
	const char *id = text_map_get(map, "id");
	const char *variable = text_map_get(map, "env");
	const char *path = text_map_get(map, "src");
	int r;

	if (!variable && !path && getenv(id))
		variable = id;
	if (variable) {
		*out_data = xstrdup(text_or_empty(getenv(variable)));
		*out_size = strlen(*out_data);
		return 0;
	}
	path = path ? path : id;
	r = file_read(out_data, out_size, AT_FDCWD, path, SECRET_MAX);
	return r < 0 ? error_set_errno(err, ERR_INVALID, r, "secret %s: read %s", id, path) : 0;
}

/* --secret id=x[,src=file|,env=VARIABLE] */
static int read_secret(void *target, const char *value, struct error *err)
{
	struct build_options *options = target;
	AUTO(text_map_fini) struct text_map map = { 0 };
	AUTO_FREE char *encoded = NULL;
	AUTO_FREE char *data = NULL;
	size_t size = 0;

	if (read_secret_fields(&map, value, err) < 0 || load_secret(&data, &size, &map, err) < 0)
		return -1;
	encoded = base64_encode(data, size);
	if (options->secrets.size == 0)
		text_add_char(&options->secrets, '{');
	members_text(&options->secrets, text_map_get(&map, "id"), encoded);
	return 0;
}

static int read_cache_to(void *target, const char *value, struct error *err)
{
	struct build_options *options = target;

	if (text_equal(value, "type=inline") || text_equal(value, "type=inline,mode=min")) {
		text_list_add(&options->build_args, "BUILDKIT_INLINE_CACHE=1");
		return 0;
	}
	return build_caches_add(&options->wanted.caches, value, err);
}

static int add_attest(struct build_options *options, const char *kind, const char *value)
{
	/* --provenance=true says no more than that it is wanted. */
	AUTO_FREE char *text = text_equal(value, "false")  ? xstrdup("disabled=true")
			       : text_equal(value, "true") ? xstrdup("")
							   : xstrdup(value);

	if (options->attests.size == 0)
		text_add_char(&options->attests, '{');
	members_text(&options->attests, kind, text);
	return 0;
}

static int read_provenance(void *target, const char *value, struct error *err)
{
	(void)err;
	return add_attest(target, "provenance", value);
}

static int read_sbom(void *target, const char *value, struct error *err)
{
	(void)err;
	return add_attest(target, "sbom", value);
}

/* --attest type=provenance,mode=max */
static int read_attest(void *target, const char *value, struct error *err)
{
	const char *kind = text_after(value, "type=");
	size_t size = kind ? strcspn(kind, ",") : 0;
	AUTO_FREE char *name = kind ? xstrndup(kind, size) : NULL;

	if (!kind || !*name)
		return error_set(err, ERR_INVALID,
				 "attestation type not specified: type=provenance or type=sbom first");
	return add_attest(target, name, kind[size] ? kind + size + 1 : "");
}

static int read_output(void *target, const char *value, struct error *err)
{
	struct build_options *options = target;

	return build_outputs_add(&options->wanted.outputs, value, err);
}

static int read_host(void *target, const char *value, struct error *err)
{
	struct build_options *options = target;

	return spec_add_host(&options->extra_hosts, value, err);
}

#define T struct build_options

static const struct option_spec build_options[] = {
	OPTION_CALL("add-host", 0, read_host, "list", "Add a line to /etc/hosts of RUN steps (host:ip)"),
	OPTION_CALL("attest", 0, read_attest, "stringArray", "What is said with the image (type=provenance,mode=max)"),
	OPTION_LIST("build-arg", 0, T, build_args, "list", "Set a build-time variable"),
	OPTION_LIST("cache-from", 0, T, cache_from, "stringArray",
		    "Cache that may answer for steps (type=registry,ref=IMAGE)"),
	OPTION_CALL("cache-to", 0, read_cache_to, "stringArray",
		    "Where the cache goes (type=inline; type=registry,ref=IMAGE; type=local,dest=DIR; mode=max)"),
	OPTION_TEXT("call", 0, T, call, "string",
		    "Ask instead of building (check, outline, targets; check,format=json)"),
	OPTION_TEXT("cgroup-parent", 0, T, cgroup_parent, "string", "Parent cgroup of RUN steps"),
	OPTION_FLAG("compress", 0, T, compress, NULL),
	OPTION_OPT_BOOL("disable-content-trust", 0, T, no_trust, NULL),
	OPTION_TEXT("isolation", 0, T, isolation, "string", NULL),
	OPTION_FLAG("squash", 0, T, squash, NULL),
	OPTION_FLAG("check", 0, T, check, "Check the Dockerfile instead of building (--call=check)"),
	OPTION_I64("cpu-period", 0, T, cpu_period, "CPU period of the CFS scheduler"),
	OPTION_I64("cpu-quota", 0, T, cpu_quota, "CPU quota of the CFS scheduler"),
	OPTION_I64("cpu-shares", 'c', T, cpu_shares, "CPU shares (relative weight)"),
	OPTION_TEXT("cpuset-cpus", 0, T, cpuset_cpus, "string", "CPUs RUN steps may use (0-3, 0,1)"),
	OPTION_TEXT("cpuset-mems", 0, T, cpuset_mems, "string", "Memory nodes RUN steps may use (0-3, 0,1)"),
	OPTION_FLAG("debug", 0, T, debug, "A shell in the files of the step that failed"),
	OPTION_TEXT("file", 'f', T, file, "string", "Path of the Dockerfile (default: PATH/Dockerfile; - for stdin)"),
	OPTION_FLAG("force-rm", 0, T, force_remove, "Remove the container of a step that failed too"),
	OPTION_TEXT("iidfile", 0, T, iid_file, "string", "Write the image's id to this file"),
	OPTION_LIST("label", 0, T, labels, "list", "Set metadata of the image"),
	OPTION_SIZE("memory", 'm', T, memory, "Memory limit"),
	OPTION_SIZE("memory-swap", 0, T, memory_swap, "Limit of memory plus swap, -1 for unlimited swap"),
	OPTION_TEXT("metadata-file", 0, T, metadata_file, "string", "Write what became of the build to this file"),
	OPTION_TEXT("network", 0, T, network, "string", "Network of RUN steps (default, none, host, NAME)"),
	OPTION_FLAG("no-cache", 0, T, no_cache, "Run every step again"),
	OPTION_CALL("output", 'o', read_output, "stringArray",
		    "What becomes of the result (type=oci|docker|tar|local|image,dest=PATH; DIR; -)"),
	OPTION_TEXT("platform", 0, T, platform, "string", "What to build for (linux/arm64; linux/amd64,linux/arm64)"),
	OPTION_CALL("provenance", 0, read_provenance, "string", "Say how it was made (true, mode=max, version=v1)"),
	OPTION_FLAG("pull", 0, T, pull, "Ask the registry for newer base images"),
	OPTION_FLAG("push", 0, T, push, "Push the image when it is built (-o type=image,push=true)"),
	OPTION_FLAG("quiet", 'q', T, quiet, "Print only the image's id"),
	OPTION_OPT_BOOL("rm", 0, T, remove, "Remove the containers of finished steps (default true)"),
	OPTION_CALL("sbom", 0, read_sbom, "string", "Say which packages are in it (true)"),
	OPTION_TEXT("script", 0, T, script, "string",
		    "Instead of a Dockerfile: a file of steps, a command or an instruction a line (- for stdin)"),
	OPTION_CALL("secret", 0, read_secret, "string", "Secret for RUN --mount=type=secret (id=x,src=file)"),
	OPTION_STRINGS("security-opt", 0, T, security_opts, "Security options of RUN steps"),
	OPTION_SIZE("shm-size", 0, T, shm_size, "Size of /dev/shm"),
	OPTION_LIST("tag", 't', T, tags, "list", "Name of the image (name[:tag])"),
	OPTION_TEXT("target", 0, T, target, "string", "Stage to build"),
	OPTION_CALL("ulimit", 0, read_ulimit, "ulimit", "Resource limits (name=soft[:hard])"),
	OPTION_END,
};

#undef T

static void build_fini(void *target)
{
	struct build_options *options = target;

	build_outputs_fini(&options->wanted.outputs);
	build_outputs_fini(&options->wanted.caches);
	text_fini(&options->attests);
	text_fini(&options->secrets);
	text_fini(&options->ulimits);
	text_list_fini(&options->extra_hosts);
}

/* ---- the request ---- */

/* KEY=VALUE options. from_environment: a KEY alone takes our value, if we have one. */
static void read_args(struct text_map *map, const struct text_list *list, bool from_environment)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *value;
		AUTO_FREE char *name = spec_cut(list->items[i], &value);

		if (!value && from_environment)
			value = getenv(name);
		if (value || !from_environment)
			text_map_set(map, name, text_or_empty(value));
	}
}

/* The same as a JSON object. */
static void add_object(struct text *path, const char *key, const struct text_list *list, bool from_environment)
{
	AUTO(text_fini) struct text json = { 0 };
	AUTO(text_map_fini) struct text_map map = { 0 };

	read_args(&map, list, from_environment);
	/* Whoever sets it wants reproducible builds. */
	if (from_environment && !text_map_get(&map, "SOURCE_DATE_EPOCH") && getenv("SOURCE_DATE_EPOCH"))
		text_map_set(&map, "SOURCE_DATE_EPOCH", getenv("SOURCE_DATE_EPOCH"));
	if (map.count == 0)
		return;
	text_add_char(&json, '{');
	members_map(&json, key, &map);
	query_add(path, key, json.data + strlen("{\"\":") + strlen(key));
}

static void add_number(struct text *path, const char *key, int64_t value)
{
	AUTO_FREE char *text = value ? xasprintf("%lld", (long long)value) : NULL;

	query_add(path, key, text);
}

static void add_list(struct text *path, const char *key, const struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		query_add(path, key, list->items[i]);
}

static void fill_path(struct text *path, const struct build_options *options, const struct context *context)
{
	text_add(path, "/build");
	if (options->wanted.outputs.count > 0) {
		AUTO(text_fini) struct text outputs = { 0 };

		build_outputs_json(&outputs, &options->wanted.outputs);
		query_add(path, "outputs", outputs.data);
	}
	if (options->wanted.caches.count > 0) {
		AUTO(text_fini) struct text caches = { 0 };

		build_outputs_json(&caches, &options->wanted.caches);
		query_add(path, "cacheto", caches.data);
	}
	query_add(path, "remote", context->remote);
	if (options->attests.size > 0) {
		AUTO_FREE char *json = xasprintf("%s}", options->attests.data);

		query_add(path, "attests", json);
	}
	query_add(path, "dockerfile", context->dockerfile);
	add_list(path, "t", &options->tags);
	add_object(path, "buildargs", &options->build_args, true);
	add_object(path, "labels", &options->labels, false);
	add_list(path, "extrahosts", &options->extra_hosts);
	add_list(path, "securityopt", &options->security_opts);
	query_add(path, "cgroupparent", options->cgroup_parent);
	query_add(path, "cpusetcpus", options->cpuset_cpus);
	query_add(path, "cpusetmems", options->cpuset_mems);
	query_add(path, "networkmode", options->network);
	query_add(path, "platform", options->platform);
	query_add(path, "target", options->target);
	add_number(path, "cpuperiod", options->cpu_period);
	add_number(path, "cpuquota", options->cpu_quota);
	add_number(path, "cpushares", options->cpu_shares);
	add_number(path, "memory", options->memory);
	add_number(path, "memswap", options->memory_swap);
	add_number(path, "shmsize", options->shm_size);
	query_add_flag(path, "forcerm", options->force_remove && !options->debug);
	query_add_flag(path, "nocache", options->no_cache);
	query_add_flag(path, "pull", options->pull);
	query_add_flag(path, "q", options->quiet);
	query_add_flag(path, "squash", options->squash);
	query_add(path, "isolation", options->isolation);
	query_add(path, "rm", optional_bool_or(options->remove, true) ? "1" : "0");
	if (options->ulimits.size > 0) {
		AUTO_FREE char *json = xasprintf("[%s]", options->ulimits.data);

		query_add(path, "ulimits", json);
	}
	if (options->cache_from.count > 0) {
		AUTO(text_fini) struct text names = { 0 };

		text_add_char(&names, '[');
		for (size_t i = 0; i < options->cache_from.count; i++)
			members_text_item(&names, options->cache_from.items[i]);
		text_add_char(&names, ']');
		query_add(path, "cachefrom", names.data);
	}
}

/* The image of a line "FROM [--platform=...] image", yours; NULL for other lines. */
static char *from_image(const char *line)
{
	line += strspn(line, " \t");
	if (strncasecmp(line, "from", 4) != 0 || !strchr(" \t", line[4]))
		return NULL;
	line += 4;
	for (line += strspn(line, " \t"); text_has_prefix(line, "--"); line += strspn(line, " \t"))
		line += strcspn(line, " \t\r");
	return *line ? xstrndup(line, strcspn(line, " \t\r")) : NULL;
}

/* What is no image of the store as it is goes to registries from the build itself. */
static bool engine_pushes(const struct build_options *options)
{
	const struct build_outputs *outputs = &options->wanted.outputs;

	if (!build_outputs_push(outputs))
		return false;
	if (options->attests.size > 0 || strchr(text_or_empty(options->platform), ','))
		return true;
	for (size_t i = 0; i < outputs->count; i++)
		if (outputs->items[i].push && text_map_get(&outputs->items[i].attrs, "compression"))
			return true;
	return false;
}

/* The user's credentials for an image's registry, once. */
static int add_credential(struct text *json, struct text_list *seen, struct cli *cli, const char *image,
			  struct error *err)
{
	AUTO(credential_fini) struct credential auth = { 0 };
	AUTO_FREE char *registry = text_empty(image) ? NULL : config_registry_of(image);
	AUTO_FREE char *member = NULL;
	int r;

	if (!registry || text_list_contains(seen, registry))
		return 0;
	text_list_add(seen, registry);
	r = config_find_auth(&auth, &cli->config, registry, err);
	if (r <= 0)
		return r;
	member = config_auth_json(&auth, registry);
	members_key(json, registry);
	text_add(json, member);
	return 0;
}

/* Of the registries the Dockerfile and the caches name: nobody else needs to know more. */
static int add_credentials(struct text_list *headers, struct cli *cli, const struct build_options *options,
			   const char *dockerfile, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(text_list_fini) struct text_list seen = { 0 };
	AUTO(text_fini) struct text json = { 0 };
	AUTO_FREE char *encoded = NULL;

	text_list_split(&lines, text_or_empty(dockerfile), '\n');
	text_add_char(&json, '{');
	for (size_t i = 0; i < lines.count; i++) {
		AUTO_FREE char *image = from_image(lines.items[i]);

		if (add_credential(&json, &seen, cli, image, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < options->cache_from.count; i++) {
		const char *ref = strstr(options->cache_from.items[i], "ref=");
		AUTO_FREE char *image = ref ? xstrndup(ref + 4, strcspn(ref + 4, ",")) : NULL;

		if (add_credential(&json, &seen, cli, image, err) < 0)
			return -1;
	}
	for (size_t i = 0; engine_pushes(options) && i < options->tags.count; i++)
		if (add_credential(&json, &seen, cli, options->tags.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < options->wanted.caches.count; i++)
		if (add_credential(&json, &seen, cli, text_map_get(&options->wanted.caches.items[i].attrs, "ref"),
				   err) < 0)
			return -1;
	text_add_char(&json, '}');
	encoded = base64_encode_url(json.data, json.size);
	text_list_addf(headers, "X-Registry-Config: %s", encoded);
	return 0;
}

static int write_id(const char *path, const char *id, struct error *err)
{
	int r = file_write_atomic(AT_FDCWD, path, id, strlen(id), 0644, FILE_NO_SYNC);

	return r < 0 ? error_set_errno(err, ERR_INVALID, r, "write %s", path) : 0;
}

/* As docker buildx writes it. */
static int write_metadata(const struct build_options *options, const struct progress_result *result, struct error *err)
{
	AUTO(text_fini) struct text json = { 0 };
	AUTO_FREE char *names = text_list_join(&options->tags, ",");
	const char *written = result->written;

	text_add_char(&json, '{');
	if (written && strlen(written) > 2)
		text_add_bytes(&json, written + 1, strlen(written) - 2);
	if (!written && result->id) {
		members_text(&json, "containerimage.config.digest", result->id);
		members_text(&json, "containerimage.digest", result->id);
	}
	if (*names)
		members_text(&json, "image.name", names);
	text_add(&json, "}\n");
	return write_id(options->metadata_file, json.data, err);
}

/* Where the progress is shown. */
static FILE *out_of(const struct build_options *options)
{
	return build_outputs_use_stdout(&options->wanted.outputs) ? stderr : stdout;
}

static int send(struct progress_result *result, struct cli *cli, const struct build_options *options,
		struct context *context, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO(text_list_fini) struct text_list headers = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	struct progress_meter meter;
	struct local_request request = { .method = "POST",
					 .content_type = "application/x-tar",
					 .has_body_fd = !context->remote,
					 .body_fd = context->stream_fd,
					 .headers = &headers,
					 .sent = progress_meter_add,
					 .sent_arg = &meter };
	struct client *client = cli_client(cli, err);
	int r;

	if (!client || add_credentials(&headers, cli, options, context->text, err) < 0)
		return -1;
	if (options->secrets.size > 0) {
		AUTO_FREE char *json = xasprintf("%s}", options->secrets.data);
		AUTO_FREE char *encoded = base64_encode_url(json, strlen(json));

		if (strlen(encoded) > SECRETS_SENT_MAX)
			return error_set(err, ERR_INVALID,
					 "the secrets are too big: together they may have some %d bytes",
					 SECRETS_SENT_MAX / 2);
		text_list_addf(&headers, "X-Kist-Build-Secrets: %s", encoded);
	}
	fill_path(&path, options, context);
	request.path = path.data;
	progress_meter_begin(&meter, "Sending build context to Docker daemon  ", !options->quiet);
	r = client_send(&response, client, &request, err);
	progress_meter_end(&meter);
	if (r == 0)
		r = progress_show_build(response, out_of(options), result, err);
	return context_finish(context, err) < 0 ? -1 : r;
}

/* ---- questions ---- */

/* "outline,format=json"; an empty call is a build. */
static int read_call(char **out_call, bool *out_json, const struct build_options *options, struct error *err)
{
	const char *text = options->check ? "check" : text_or_empty(options->call);
	AUTO(text_list_fini) struct text_list parts = { 0 };

	text_list_split(&parts, text, ',');
	for (size_t i = 1; i < parts.count; i++) {
		if (text_equal(parts.items[i], "format=json"))
			*out_json = true;
		else if (!text_equal(parts.items[i], "format=text"))
			return error_set(err, ERR_INVALID, "--call: unknown option \"%s\"", parts.items[i]);
	}
	text = parts.count ? parts.items[0] : "";
	if (text_equal(text, "build"))
		text = "";
	if (text_equal(text, "lint"))
		text = "check";
	if (*text && !text_equal(text, "check") && !text_equal(text, "outline") && !text_equal(text, "targets"))
		return error_set(err, ERR_INVALID, "--call: no call \"%s\": build, check, outline or targets", text);
	*out_call = xstrdup(text);
	return 0;
}

static int ask(struct json_value **out_answer, struct cli *cli, const struct build_options *options, const char *call,
	       const struct context *context, struct error *err)
{
	AUTO(text_map_fini) struct text_map args = { 0 };
	AUTO(text_fini) struct text body = { 0 };
	struct client *client = cli_client(cli, err);

	if (!client)
		return -1;
	read_args(&args, &options->build_args, true);
	text_add_char(&body, '{');
	members_text(&body, "Call", call);
	members_text(&body, "Dockerfile", text_or_empty(context->text));
	members_text(&body, "Name", options->file && !text_equal(options->file, "-") ? options->file : "Dockerfile");
	if (context->ignored)
		members_text(&body, "Ignored", context->ignored);
	if (options->platform)
		members_text(&body, "Platform", options->platform);
	if (options->target)
		members_text(&body, "Target", options->target);
	if (args.count)
		members_map(&body, "Args", &args);
	text_add_char(&body, '}');
	return client_call(out_answer, client, "POST", "/build/look", body.data, err);
}

/* Exit code 1 where a check found something. */
static int run_question(struct cli *cli, const struct build_options *options, const char *source, const char *call,
			bool json, struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(text_fini) struct text shown = { 0 };
	struct context context;
	int r = context_look(&context, source, options->file, err);

	if (r == 0)
		r = ask(&answer, cli, options, call, &context, err);
	context_fini(&context);
	if (r < 0)
		return -1;
	if (json)
		json_value_encode(&shown, json_value_get(answer, "Result"), "  ");
	else
		text_add(&shown, text_of(answer, "Text"));
	fputs(text_or_empty(shown.data), stdout);
	if (json)
		putchar('\n');
	return json_value_bool(json_value_get(answer, "Bad")) ? 1 : 0;
}

/* The image of every -t, once it is here. */
static int push_all(struct cli *cli, const struct build_options *options, struct error *err)
{
	if ((!options->push && !build_outputs_push(&options->wanted.outputs)) || engine_pushes(options))
		return 0;
	for (size_t i = 0; i < options->tags.count; i++)
		if (push_image(cli, options->tags.items[i], out_of(options), options->quiet, err) < 0)
			return -1;
	return 0;
}

/* Those of the engine's are told so. */
static void ask_pushes(const struct build_options *options)
{
	const struct build_outputs *outputs = &options->wanted.outputs;

	for (size_t i = 0; engine_pushes(options) && i < outputs->count; i++)
		if (outputs->items[i].push)
			text_map_set(&outputs->items[i].attrs, "push", "true");
}

/* --push: the image, which the engine itself gives to registries if it is more than one. */
static int add_push(struct build_options *options, bool stored, struct error *err)
{
	bool many = options->attests.size > 0 || strchr(text_or_empty(options->platform), ',');

	if (many && !build_outputs_push(&options->wanted.outputs))
		return build_outputs_add(&options->wanted.outputs, "type=image,push=true", err);
	return stored ? 0 : build_outputs_add(&options->wanted.outputs, "type=image", err);
}

static int check_outputs(struct build_options *options, struct error *err)
{
	bool stored = options->wanted.outputs.count == 0;

	if (!options->platform)
		options->platform = getenv("DOCKER_DEFAULT_PLATFORM");
	for (size_t i = 0; i < options->wanted.outputs.count; i++)
		stored = stored || text_equal(options->wanted.outputs.items[i].type, "image");
	if (options->push && add_push(options, stored, err) < 0)
		return -1;
	if (build_outputs_check(&options->wanted.outputs, err) < 0)
		return -1;
	ask_pushes(options);
	if ((options->push || build_outputs_push(&options->wanted.outputs)) && options->tags.count == 0)
		return error_set(err, ERR_INVALID, "tag is needed when pushing to registry");
	return 0;
}

static int build(struct progress_result *result, struct cli *cli, const struct build_options *options,
		 const char *source, struct error *err)
{
	struct context context;
	int r = options->script ? context_start_script(&context, source, options->script, err)
				: context_start(&context, source, options->file, err);

	if (r == 0)
		r = send(result, cli, options, &context, err);
	context_fini(&context);
	if (r == 0 && options->iid_file && result->id)
		r = write_id(options->iid_file, result->id, err);
	if (r == 0 && options->metadata_file)
		r = write_metadata(options, result, err);
	return r == 0 ? push_all(cli, options, err) : r;
}

/* What a step that failed has left is shown, or said how to be seen. The exit code is the step's, as it is docker's. */
static int show_failure(struct cli *cli, const struct build_options *options, const struct progress_result *result,
			struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };

	fprintf(stderr, "%s\n", err->message);
	error_clear(err);
	if (result->container && options->debug && build_debug(cli, result->container, &problem) < 0)
		fprintf(stderr, "%s: --debug: %s\n", cli->program, problem.message);
	else if (result->container && !options->debug)
		fprintf(stderr, "Its files are in container %.12s; kist build --debug gives a shell there\n",
			result->container);
	else if (options->debug && !result->container)
		fprintf(stderr, "%s: --debug: the step has left no container\n", cli->program);
	return (int)result->code;
}

static int run_build(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	struct build_options *options = target;
	AUTO_FREE char *call = NULL;
	bool json = false;
	struct progress_result result = { .output = build_outputs_take, .arg = &options->wanted };
	int r = check_trust(&options->no_trust, err);

	if (r == 0)
		r = read_call(&call, &json, options, err);
	if (r == 0)
		r = check_outputs(options, err);
	if (r < 0)
		return -1;
	if (options->script && (options->file || (call && *call)))
		return error_set(err, ERR_INVALID,
				 "--script takes the place of a Dockerfile: --file, --check and --call have none");
	if (call && *call)
		return run_question(cli, options, operands->items[0], call, json, err);
	r = build(&result, cli, options, operands->items[0], err);
	free(result.id);
	free(result.written);
	if (r < 0 && result.code > 0 && result.code <= 255)
		r = show_failure(cli, options, &result, err);
	free(result.container);
	return r;
}

const struct command command_build = {
	.usage = "[OPTIONS] PATH | URL | -",
	.summary = "Build an image from a Dockerfile",
	.options = build_options,
	.options_size = sizeof(struct build_options),
	.fini = build_fini,
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_build,
};

/* ---- commit ---- */

struct commit_options {
	struct text_list changes;
	const char *author;
	const char *message;
	struct optional_bool pause;
};

static const struct option_spec commit_options[] = {
	OPTION_TEXT("author", 'a', struct commit_options, author, "string",
		    "Author (John Hannibal Smith <hannibal@a-team.com>)"),
	OPTION_LIST("change", 'c', struct commit_options, changes, "list",
		    "Apply a Dockerfile instruction to the image"),
	OPTION_TEXT("message", 'm', struct commit_options, message, "string", "Commit message"),
	OPTION_OPT_BOOL("pause", 'p', struct commit_options, pause, "Pause the container meanwhile (default true)"),
	OPTION_END,
};

static int add_name(struct text *path, const char *name, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *repo = NULL;

	if (reference_parse(&reference, name, err) < 0)
		return -1;
	if (digest_is_set(&reference.digest))
		return error_set(err, ERR_INVALID, "refusing to create a tag with a digest reference");
	repo = reference_name(&reference);
	query_add(path, "repo", repo);
	query_add(path, "tag", reference.tag);
	return 0;
}

static int run_commit(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct commit_options *options = target;
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(text_fini) struct text path = { 0 };
	struct client *client = cli_client(cli, err);

	if (!client)
		return -1;
	text_add(&path, "/commit");
	query_add(&path, "container", operands->items[0]);
	if (operands->count > 1 && add_name(&path, operands->items[1], err) < 0)
		return -1;
	query_add(&path, "author", options->author);
	query_add(&path, "comment", options->message);
	query_add(&path, "pause", optional_bool_or(options->pause, true) ? "1" : "0");
	add_list(&path, "changes", &options->changes);
	if (client_call(&answer, client, "POST", path.data, "{}", err) < 0)
		return -1;
	puts(text_of(answer, "Id"));
	return 0;
}

const struct command command_commit = {
	.usage = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
	.summary = "Create an image from a container's changes",
	.options = commit_options,
	.options_size = sizeof(struct commit_options),
	.min_operands = 1,
	.max_operands = 2,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_commit,
};

/* ---- diff ---- */

static int run_diff(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	static const char kinds[] = { 'C', 'A', 'D' };
	AUTO(json_value_freep) struct json_value *changes = NULL;
	struct client *client = cli_client(cli, err);

	(void)options;
	if (!client || client_get(&changes, client, err, "/containers/%s/changes", operands->items[0]) < 0)
		return -1;
	for (size_t i = 0; i < json_value_count(changes); i++) {
		const struct json_value *change = json_value_at(changes, i);
		int64_t kind = json_value_integer(json_value_get(change, "Kind"));

		printf("%c %s\n", kind >= 0 && kind < 3 ? kinds[kind] : '?', text_of(change, "Path"));
	}
	return 0;
}

const struct command command_diff = {
	.usage = "CONTAINER",
	.summary = "Show what a container changed in its files",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_diff,
};
