/* SPDX-License-Identifier: Apache-2.0 */
/* dockerfile.v0: one build, what it asks of its client's session, and what it tells the job. */
#include <string.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/quote.h"
#include "base/random.h"
#include "engine/settings.h"
#include "oci/platform.h"
#include "oci/reference.h"

/* ---- progress ---- */

static void on_vertex(void *arg, const struct build_vertex *vertex)
{
	struct frontend *frontend = arg;
	struct bk_vertex item = {
		.digest = (char *)(uintptr_t)vertex->id,
		.name = (char *)(uintptr_t)vertex->name,
		.cached = vertex->cached,
		.started = vertex->started_ns,
		.completed = vertex->completed_ns,
		.error = (char *)(uintptr_t)vertex->error,
	};
	const struct bk_status_response event = { .vertices = { &item, 1 } };

	job_add_event(frontend->job, &event);
}

static void on_progress(void *arg, const struct build_progress *progress)
{
	struct frontend *frontend = arg;
	struct bk_vertex_status item = {
		.id = (char *)(uintptr_t)progress->name,
		.vertex = (char *)(uintptr_t)progress->vertex,
		.current = progress->current,
		.total = progress->total,
		.timestamp = clock_wall_ns(),
		.started = progress->started_ns,
		.completed = progress->completed_ns,
	};
	const struct bk_status_response event = { .statuses = { &item, 1 } };

	job_add_event(frontend->job, &event);
}

static void on_log(void *arg, const char *vertex, int stream, const void *data, size_t size)
{
	struct frontend *frontend = arg;
	struct bk_vertex_log item = {
		.vertex = (char *)(uintptr_t)vertex,
		.timestamp = clock_wall_ns(),
		.stream = stream,
		.data = { (uint8_t *)(uintptr_t)data, size },
	};
	const struct bk_status_response event = { .logs = { &item, 1 } };

	job_add_event(frontend->job, &event);
}

static struct proto_bytes bytes_of(const char *text)
{
	return (struct proto_bytes){ (uint8_t *)(uintptr_t)text, strlen(text) };
}

static void on_warning(void *arg, const struct build_warning *warning)
{
	struct frontend *frontend = arg;
	struct bk_range range = { { (int32_t)warning->first }, { (int32_t)warning->last } };
	struct bk_warning item = {
		.vertex = (char *)(uintptr_t)warning->vertex,
		.level = 1,
		.text = bytes_of(warning->text),
		.detail = bytes_of(warning->detail),
		.url = (char *)(uintptr_t)warning->url,
		.info = { .filename = (char *)(uintptr_t)warning->path,
			  .data = bytes_of(warning->dockerfile),
			  .language = (char *)(uintptr_t) "Dockerfile" },
		.ranges = { &range, 1 },
	};
	const struct bk_status_response event = { .warnings = { &item, 1 } };

	job_add_event(frontend->job, &event);
}

/* ---- what the client is asked for ---- */

static int on_fill(void *arg, const struct build_fill *fill, struct error *err)
{
	struct frontend *frontend = arg;

	return filesync_fill(frontend->session, fill, err);
}

static int on_secret(void *arg, const char *id, int cancel_fd, char **out_data, size_t *out_size, struct error *err)
{
	struct frontend *frontend = arg;
	const struct grpc_call call = { .path = "/moby.buildkit.secrets.v1.Secrets/GetSecret", .cancel_fd = cancel_fd };
	const struct bk_secret_request request = { .id = (char *)(uintptr_t)id };
	struct bk_bytes answer = { 0 };
	const struct grpc_message message = { &request, bk_secret_request_fields, &answer, bk_bytes_fields };
	AUTO(error_clear) struct error problem = { 0 };

	if (grpc_exchange(session_connection(frontend->session), &call, &message, &problem) < 0) {
		if (problem.kind == ERR_NOT_FOUND || problem.kind == ERR_UNSUPPORTED)
			return 0;
		return error_move(err, &problem);
	}
	*out_size = answer.data.size;
	*out_data = xcalloc(1, answer.data.size + 1);
	if (answer.data.size > 0)
		memcpy(*out_data, answer.data.data, answer.data.size);
	proto_free(&answer, bk_bytes_fields);
	return 1;
}

static int on_agent(void *arg, const char *id, int listen_fd, int cancel_fd, void **out_agent, struct error *err)
{
	struct frontend *frontend = arg;

	return agent_start(out_agent, frontend->session, id, listen_fd, cancel_fd, err);
}

static char *on_credentials(void *arg, const char *host, int cancel_fd)
{
	struct frontend *frontend = arg;
	AUTO(error_clear) struct error ignored = { 0 };
	const struct grpc_call call = { .path = "/moby.filesync.v1.Auth/Credentials", .cancel_fd = cancel_fd };
	const struct bk_credentials_request request = { .host = (char *)(uintptr_t)reference_api_host(host) };
	struct bk_credentials answer = { 0 };
	const struct grpc_message message = { &request, bk_credentials_request_fields, &answer, bk_credentials_fields };
	struct text json = { 0 };

	/* Without credentials the registry says itself what it wants. */
	if (grpc_exchange(session_connection(frontend->session), &call, &message, &ignored) < 0)
		return NULL;
	if (!text_empty(answer.secret)) {
		bool token = text_empty(answer.username);

		text_add(&json, "{\"username\":");
		quote_json(&json, text_or_empty(answer.username), strlen(text_or_empty(answer.username)));
		text_add(&json, token ? ",\"identitytoken\":" : ",\"password\":");
		quote_json(&json, answer.secret, strlen(answer.secret));
		text_add_char(&json, '}');
	}
	proto_free(&answer, bk_credentials_fields);
	return json.size > 0 ? text_take(&json) : NULL;
}

char *frontend_credentials(struct frontend *frontend, const char *host, int cancel_fd)
{
	return on_credentials(frontend, host, cancel_fd);
}

/* ---- life ---- */

void frontend_free(struct frontend *frontend)
{
	if (!frontend)
		return;
	for (size_t i = frontend->build_count; i-- > 0;)
		build_free(frontend->builds[i]);
	free(frontend->builds);
	free(frontend->more_options);
	upload_free(frontend->upload);
	session_put(frontend->session);
	text_map_fini(&frontend->labels);
	text_map_fini(&frontend->args);
	text_map_fini(&frontend->contexts);
	build_caches_fini(&frontend->cache_from);
	text_list_fini(&frontend->no_cache_stages);
	json_free_fields(&frontend->host, host_config_fields);
	free(frontend->dockerfile);
	free(frontend->target);
	text_list_fini(&frontend->platforms);
	attestation_options_fini(&frontend->attestations);
	text_map_fini(&frontend->vcs);
	free(frontend->context);
	free(frontend->remote);
	free(frontend->id);
	free(frontend);
}

static struct frontend *frontend_new(struct job *job)
{
	struct frontend *frontend = xcalloc(1, sizeof(*frontend));
	char hex[33];

	random_hex(hex, 16);
	frontend->id = xstrdup(hex);
	frontend->job = job;
	frontend->watch = (struct build_watch){
		.arg = frontend, .vertex = on_vertex, .progress = on_progress, .log = on_log, .warning = on_warning
	};
	frontend->client = (struct build_client){ .arg = frontend,
						  .fill = on_fill,
						  .secret = on_secret,
						  .agent_start = on_agent,
						  .agent_stop = agent_stop,
						  .credentials = on_credentials,
						  .open_folder = content_open };
	frontend->options.watch = &frontend->watch;
	frontend->options.client = &frontend->client;
	frontend->options.registry = &engine_settings(job->buildkit->engine)->registry;
	return frontend;
}

/* A message's text as JSON, for the details of an error. */
static void add_position(struct text *json, const char *name, unsigned line)
{
	text_addf(json, "\"%s\":{\"line\":%u}", name, line);
}

static void add_source(const struct frontend *frontend, struct grpc_stream *stream)
{
	const char *path;
	const char *dockerfile = frontend->build ? build_dockerfile(frontend->build, &path) : NULL;
	AUTO(text_fini) struct text json = { 0 };
	AUTO_FREE char *encoded = NULL;

	if (!dockerfile || frontend->failure.first == 0)
		return;
	encoded = base64_encode(dockerfile, strlen(dockerfile));
	text_add(&json, "{\"info\":{\"filename\":");
	quote_json(&json, path, strlen(path));
	text_addf(&json, ",\"data\":\"%s\",\"language\":\"Dockerfile\"},\"ranges\":[{", encoded);
	add_position(&json, "start", frontend->failure.first);
	text_add_char(&json, ',');
	add_position(&json, "end", frontend->failure.last);
	text_add(&json, "}]}");
	grpc_add_detail(stream, "github.com/moby/buildkit/errdefs.Source+json", json.data, json.size);
}

static int is_whole(void *arg, struct error *err)
{
	return upload_whole(arg, err);
}

/* The whole context comes as one tar, Dockerfile and all. */
static int take_upload(struct frontend *frontend, struct error *err)
{
	struct build_options *options = &frontend->options;

	if (upload_start(&frontend->upload, frontend->session, frontend->context, options->cancel_fd, err) < 0)
		return -1;
	options->context_fd = upload_fd(frontend->upload);
	options->whole = is_whole;
	options->whole_arg = frontend->upload;
	frontend->client.fill = NULL;
	return 0;
}

static void open_builds(struct frontend *frontend)
{
	size_t count = frontend->platforms.count > 0 ? frontend->platforms.count : 1;
	struct engine *engine = frontend->job->buildkit->engine;

	frontend->builds = xcalloc(count, sizeof(struct build *));
	frontend->more_options = xcalloc(count, sizeof(*frontend->more_options));
	frontend->build = build_new(engine, &frontend->options, &frontend->failure);
	frontend->builds[0] = frontend->build;
	for (size_t i = 1; i < count; i++) {
		struct build_options *options = &frontend->more_options[i];

		*options = frontend->options;
		options->platform = frontend->platforms.items[i];
		options->first = frontend->build;
		frontend->builds[i] = build_new(engine, options, &frontend->failure);
	}
	frontend->build_count = count;
}

/* Options are complete: the session, and a build that is not run yet. */
static int open_build(struct frontend *frontend, int cancel_fd, struct error *err)
{
	struct job *job = frontend->job;
	AUTO_FREE char *session_id = NULL;

	frontend->options.cancel_fd = cancel_fd;
	frontend->options.allowed = &job->allowed;
	frontend->options.clamp = job->clamp;
	frontend->options.inline_cache = frontend->options.inline_cache || job->inline_cache;
	mutex_lock(&job->mutex);
	session_id = xstrdup(job->session_id);
	mutex_unlock(&job->mutex);
	if (session_get(&frontend->session, job->buildkit, session_id, cancel_fd, err) < 0)
		return -1;
	if (frontend->context && take_upload(frontend, err) < 0)
		return -1;
	frontend->client.folder = session_shared_key(frontend->session);
	open_builds(frontend);
	return 0;
}

/* The one for this machine last: names of base images then mean what they meant. */
static int solve_all(struct frontend *frontend, struct error *err)
{
	AUTO(platform_fini) struct platform host = { 0 };
	size_t last = 0;

	platform_host(&host);
	for (size_t i = 1; i < frontend->build_count; i++) {
		AUTO(platform_fini) struct platform platform = { 0 };
		AUTO(error_clear) struct error ignored = { 0 };

		if (platform_parse(&platform, frontend->platforms.items[i], &ignored) == 0 &&
		    text_equal(platform.architecture, host.architecture))
			last = i;
	}
	/* With a stream the first reads it for all. */
	if (frontend->options.context_fd > 0 && !frontend->client.fill)
		last = frontend->build_count - 1;
	for (size_t i = 0; i < frontend->build_count; i++)
		if (i != last && build_solve(frontend->builds[i], err) < 0)
			return -1;
	return build_solve(frontend->builds[last], err);
}

static int prepare(struct frontend *frontend, const struct text_map *attrs, struct grpc_stream *stream,
		   struct error *err)
{
	if (attributes_read(frontend, attrs, err) < 0)
		return -1;
	return open_build(frontend, grpc_cancel_fd(stream), err);
}

int frontend_solve_options(struct frontend **out_frontend, struct job *job, const struct build_options *options,
			   bool uploaded, int cancel_fd, struct error *err)
{
	AUTO(frontend_freep) struct frontend *frontend = frontend_new(job);
	const struct build_options own = frontend->options;

	frontend->options = *options;
	frontend->options.watch = own.watch;
	frontend->options.client = own.client;
	frontend->options.send = NULL;
	frontend->options.secrets = NULL;
	if (uploaded)
		frontend->client.fill = NULL;
	if (open_build(frontend, cancel_fd, err) < 0 || build_solve(frontend->build, err) < 0)
		return -1;
	*out_frontend = take_ptr(frontend);
	return 0;
}

int frontend_ask(struct build_view *out_view, struct job *job, const struct text_map *attrs, const char *call,
		 struct grpc_stream *stream, struct error *err)
{
	AUTO(frontend_freep) struct frontend *frontend = frontend_new(job);

	if (prepare(frontend, attrs, stream, err) < 0)
		return -1;
	return build_ask(out_view, frontend->build, call, err);
}

int frontend_solve(struct frontend **out_frontend, struct job *job, const struct text_map *attrs,
		   struct grpc_stream *stream, struct error *err)
{
	AUTO(frontend_freep) struct frontend *frontend = frontend_new(job);

	if (prepare(frontend, attrs, stream, err) < 0)
		return -1;
	if (solve_all(frontend, err) < 0) {
		add_source(frontend, stream);
		return -1;
	}
	*out_frontend = take_ptr(frontend);
	return 0;
}
