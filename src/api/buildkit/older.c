/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /build?version=2, as docker CLI 18.09 to 20.10 asks for BuildKit: the
 * options in the query, files from the client's session, progress as Control's
 * Status messages in base64 inside of the classic stream.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "json/value.h"

struct older {
	const struct buildkit_build *build;
	struct job *job;
	int cancel_fd; /* epoll: the client is gone, or POST /build/cancel */
};

static void on_event(void *arg, const void *data, size_t size)
{
	const struct older *older = arg;
	AUTO_FREE char *encoded = base64_encode(data, size);
	AUTO_FREE char *json = xasprintf("{\"id\":\"moby.buildkit.trace\",\"aux\":\"%s\"}", encoded);

	older->build->options->send(older->build->options->send_arg, json);
}

static int join_fds(int first, int second, struct error *err)
{
	AUTO_CLOSE int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, first, &event) < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, second, &event) < 0)
		return error_set_errno(err, ERR_EXHAUSTED, errno, "watch a client");
	return take_fd(&fd);
}

/* [{"Type":"local","Attrs":{...}}]: what is not the image itself. */
static int read_outputs(struct bk_solve_request *request, const char *text, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;

	if (text_empty(text))
		return 0;
	if (json_value_parse(&value, text, strlen(text), err) < 0)
		return error_prefix(err, "error reading outputs");
	if (json_value_count(value) > 16)
		return error_set(err, ERR_INVALID, "error reading outputs: too many");
	request->exporters.items = xcalloc(json_value_count(value) + 1, sizeof(*request->exporters.items));
	for (size_t i = 0; i < json_value_count(value); i++) {
		const struct json_value *attrs = json_value_get(json_value_at(value, i), "Attrs");
		const char *type = json_value_text(json_value_get(json_value_at(value, i), "Type"));
		struct bk_exporter *exporter = &request->exporters.items[request->exporters.count++];
		AUTO(text_list_fini) struct text_list keys = { 0 };

		exporter->type = xstrdup(text_or_empty(type));
		json_value_keys(&keys, attrs, false);
		for (size_t j = 0; j < keys.count; j++)
			text_map_set(&exporter->attrs, keys.items[j],
				     text_or_empty(json_value_text(json_value_get(attrs, keys.items[j]))));
	}
	return exporters_check(request, err);
}

/* Without a word about outputs, the image. */
static void add_image(struct bk_solve_request *request, const struct text_list *tags)
{
	AUTO_FREE char *names = text_list_join(tags, ",");

	request->exporter = xstrdup("moby");
	text_map_set(&request->exporter_attrs, "name", names);
}

static void send_id(const struct older *older, const struct bk_solve_response *response)
{
	const struct build_options *options = older->build->options;
	const char *id = text_map_get(&response->exporter_response, "containerimage.config.digest");
	AUTO_FREE char *json = NULL;
	AUTO_FREE char *plain = NULL;

	if (!id)
		return;
	json = xasprintf("{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"%s\"}}", id);
	options->send(options->send_arg, json);
	/* With -q clients print the stream as it is. */
	plain = xasprintf("{\"stream\":\"%s\\n\"}", id);
	if (options->quiet)
		options->send(options->send_arg, plain);
}

/* ---- a tar from standard input: a request of its own, which only brings the body ---- */

/* Until the job has what is wanted, or the other side is gone. */
static int wait_for(struct job *job, bool (*ready)(const struct job *job), int cancel_fd, struct error *err)
{
	AUTO(job_watcher_fini) struct job_watcher watcher = { 0 };

	if (job_watcher_init(&watcher, job, err) < 0)
		return -1;
	for (;;) {
		bool is_ready;

		mutex_lock(&job->mutex);
		is_ready = ready(job);
		mutex_unlock(&job->mutex);
		if (is_ready)
			return 0;
		if (job_watcher_wait(&watcher, cancel_fd, err) < 0)
			return -1;
	}
}

static bool is_over(const struct job *job)
{
	return job->ended;
}

static bool has_body(const struct job *job)
{
	return job->body != NULL;
}

int buildkit_upload(struct buildkit *buildkit, const char *ref, const struct build_options *body, struct error *err)
{
	AUTO(job_putp) struct job *job = job_get(buildkit, ref);
	int r;

	mutex_lock(&job->mutex);
	r = job->body || job->ended ? -1 : 0;
	if (r == 0)
		job->body = body;
	job_notify_locked(job);
	mutex_unlock(&job->mutex);
	if (r < 0)
		return error_set(err, ERR_CONFLICT, "the context of build %s is there already", ref);
	/* The body is this request's: it stays until the build is over, even if its sender has gone. */
	return wait_for(job, is_over, -1, err);
}

static int take_body(struct build_options *options, struct older *older, struct error *err)
{
	if (wait_for(older->job, has_body, older->cancel_fd, err) < 0)
		return -1;
	mutex_lock(&older->job->mutex);
	options->context_fd = older->job->body->context_fd;
	options->whole = older->job->body->whole;
	options->whole_arg = older->job->body->whole_arg;
	mutex_unlock(&older->job->mutex);
	return 0;
}

static int solve(struct older *older, struct bk_solve_request *request, struct bk_solve_response *response,
		 struct error *err)
{
	AUTO(frontend_freep) struct frontend *frontend = NULL;
	struct build_options options = *older->build->options;

	if (job_start(older->job, request, err) < 0)
		return -1;
	mutex_lock(&older->job->mutex);
	older->job->sink = on_event;
	older->job->sink_arg = older;
	mutex_unlock(&older->job->mutex);
	if (older->build->uploaded && take_body(&options, older, err) < 0)
		return -1;
	if (frontend_solve_options(&frontend, older->job, &options, older->build->uploaded, older->cancel_fd, err) < 0)
		return -1;
	return frontend_export(frontend, request, response, older->cancel_fd, err);
}

int buildkit_build(struct buildkit *buildkit, const struct buildkit_build *build, struct error *err)
{
	AUTO(job_putp) struct job *job = job_get(buildkit, build->ref);
	AUTO_CLOSE int cancel_fd = join_fds(build->options->cancel_fd, job->cancel_fd, err);
	struct older older = { .build = build, .job = job, .cancel_fd = cancel_fd };
	struct bk_solve_request request = { .ref = xstrdup(build->ref), .session = xstrdup(build->session) };
	struct bk_solve_response response = { 0 };
	int r = cancel_fd < 0 ? -1 : read_outputs(&request, build->outputs, err);

	if (r == 0) {
		if (request.exporters.count == 0)
			add_image(&request, build->options->tags);
		/* These clients have no --allow: --network is their word for it. */
		if (build->options->host && text_equal(build->options->host->network_mode, "host"))
			text_list_add(&request.entitlements, "network.host");
		r = solve(&older, &request, &response, err);
		job_end(job, err);
	}
	if (r == 0)
		send_id(&older, &response);
	proto_free(&request, bk_solve_request_fields);
	proto_free(&response, bk_solve_response_fields);
	return r;
}

void buildkit_cancel(struct buildkit *buildkit, const char *ref)
{
	AUTO(job_putp) struct job *job = job_get(buildkit, ref);
	uint64_t one = 1;
	ssize_t ignored = write(job->cancel_fd, &one, sizeof(one));

	(void)ignored;
}
