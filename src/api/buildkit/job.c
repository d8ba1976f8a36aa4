/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/buildkit/buildkit_private.h"
#include "base/alloc.h"
#include "base/clock.h"

/* Of what is kept for whoever asks for a build's progress later. */
#define EVENTS_MAX (4u * 1024 * 1024)
#define HISTORY_MAX 100

static void drop_events(struct job *job)
{
	for (size_t i = 0; i < job->event_count; i++)
		free(job->events[i].data);
	free(job->events);
	job->events = NULL;
	job->event_count = 0;
	job->event_capacity = 0;
}

/* Its frontends went with its end. */
static void job_free(struct job *job)
{
	if (job->started)
		job->buildkit->job_count--;
	list_remove(&job->node);
	drop_events(job);
	proto_free(&job->answer, bk_return_request_fields);
	bk_history_record_free(&job->record);
	mutex_fini(&job->mutex);
	auto_close(&job->cancel_fd);
	text_list_fini(&job->allowed);
	free(job->session_id);
	free(job->ref);
	free(job);
}

/* The oldest that nobody uses go first. One that has ended stays a while: its client may only now ask how it goes. */
static void trim_history_locked(struct buildkit *buildkit)
{
	LIST_FOR_EACH (node, &buildkit->jobs) {
		struct job *job = list_entry(node, struct job, node);

		if (job->users == 0 && (buildkit->job_count > HISTORY_MAX || !job->started))
			job_free(job);
	}
}

void buildkit_free(struct buildkit *buildkit)
{
	if (!buildkit)
		return;
	LIST_FOR_EACH (node, &buildkit->jobs)
		job_free(list_entry(node, struct job, node));
	condition_fini(&buildkit->changed);
	mutex_fini(&buildkit->mutex);
	free(buildkit);
}

struct job *job_get(struct buildkit *buildkit, const char *ref)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&buildkit->mutex);
	struct job *job;

	LIST_FOR_EACH (node, &buildkit->jobs) {
		job = list_entry(node, struct job, node);
		if (text_equal(job->ref, ref)) {
			job->users++;
			return job;
		}
	}
	job = xcalloc(1, sizeof(*job));
	job->buildkit = buildkit;
	job->ref = xstrdup(ref);
	job->users = 1;
	job->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	mutex_init(&job->mutex);
	list_init(&job->watchers);
	list_init(&job->frontends);
	list_add_last(&buildkit->jobs, &job->node);
	return job;
}

void job_put(struct job *job)
{
	struct buildkit *buildkit;

	if (!job)
		return;
	buildkit = job->buildkit;
	mutex_lock(&buildkit->mutex);
	job->users--;
	/* Told once: of a hundred builds that are history, what their steps printed would be too much to keep. */
	if (job->users == 0 && job->told)
		drop_events(job);
	trim_history_locked(buildkit);
	mutex_unlock(&buildkit->mutex);
}

void job_notify_locked(struct job *job)
{
	uint64_t one = 1;

	mutex_assert_held(&job->mutex);
	LIST_FOR_EACH (node, &job->watchers) {
		ssize_t ignored = write(list_entry(node, struct job_watcher, node)->fd, &one, sizeof(one));

		(void)ignored;
	}
}

static void begin_record_locked(struct job *job, const struct bk_solve_request *request)
{
	struct bk_history_record *record = &job->record;

	record->ref = xstrdup(job->ref);
	record->frontend = xstrdup("dockerfile.v0");
	text_map_copy(&record->frontend_attrs, &request->frontend_attrs);
	record->created = clock_wall_ns();
	job->internal = request->internal;
}

int job_start(struct job *job, const struct bk_solve_request *request, struct error *err)
{
	bool again;

	mutex_lock(&job->buildkit->mutex);
	mutex_lock(&job->mutex);
	again = job->started;
	if (!again) {
		job->started = true;
		job->buildkit->job_count++;
		job->session_id = xstrdup(request->session);
		text_list_add_all(&job->allowed, &request->entitlements);
		job->inline_cache = caches_want_inline(request);
		job->carries = exporters_carry(request);
		job->clamp = exporters_clamp(request);
		begin_record_locked(job, request);
		job_notify_locked(job);
	}
	mutex_unlock(&job->mutex);
	mutex_unlock(&job->buildkit->mutex);
	return again ? error_set(err, ERR_CONFLICT, "job ID %s exists", job->ref) : 0;
}

bool job_add_frontend(struct job *job, struct frontend *frontend)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&job->mutex);

	if (job->ended)
		return false;
	list_add_last(&job->frontends, &frontend->node);
	return true;
}

static struct frontend *take_frontend(struct job *job)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&job->mutex);

	LIST_FOR_EACH (node, &job->frontends) {
		list_remove(node);
		return list_entry(node, struct frontend, node);
	}
	return NULL;
}

void job_end(struct job *job, const struct error *err)
{
	struct frontend *frontend;

	mutex_lock(&job->mutex);
	job->ended = true;
	job->sink = NULL;
	job->record.completed = clock_wall_ns();
	if (err && error_is_set(err)) {
		job->record.error.code = err->kind == ERR_CANCELED ? 1 : 2;
		job->record.error.message = xstrdup(err->message);
	}
	job_notify_locked(job);
	mutex_unlock(&job->mutex);
	/* Without the lock: files are removed, and a session is let go under buildkit's. */
	while ((frontend = take_frontend(job)))
		frontend_free(frontend);
}

/* Numbers of the history; each operation is told as over once. */
static void count_locked(struct job *job, const struct bk_status_response *event)
{
	for (size_t i = 0; i < event->vertices.count; i++) {
		const struct bk_vertex *vertex = &event->vertices.items[i];

		if (!vertex->completed)
			continue;
		job->record.total_steps++;
		job->record.cached_steps += vertex->cached;
		job->record.completed_steps += !vertex->error;
	}
}

void job_add_event(struct job *job, const struct bk_status_response *event)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&job->mutex);
	struct text bytes = { 0 };

	count_locked(job, event);
	/* Who listens late misses what a very talkative step printed, not how the steps went. */
	if (job->event_bytes > EVENTS_MAX && event->logs.count > 0 && list_empty(&job->watchers))
		return;
	proto_encode(&bytes, event, bk_status_response_fields);
	if (job->sink)
		job->sink(job->sink_arg, bytes.data, bytes.size);
	job->event_bytes += bytes.size;
	job->events = xgrow(job->events, &job->event_capacity, job->event_count + 1, sizeof(*job->events));
	job->events[job->event_count++] = (struct proto_bytes){ (uint8_t *)bytes.data, bytes.size };
	job_notify_locked(job);
}

int job_watcher_init(struct job_watcher *watcher, struct job *job, struct error *err)
{
	*watcher = (struct job_watcher){ .job = job, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (watcher->fd < 0)
		return error_set_errno(err, ERR_EXHAUSTED, errno, "watch a build");
	mutex_lock(&job->mutex);
	list_add_last(&job->watchers, &watcher->node);
	mutex_unlock(&job->mutex);
	return 0;
}

void job_watcher_fini(struct job_watcher *watcher)
{
	if (!watcher->job)
		return;
	mutex_lock(&watcher->job->mutex);
	list_remove(&watcher->node);
	mutex_unlock(&watcher->job->mutex);
	close(watcher->fd);
}

int job_watcher_wait(struct job_watcher *watcher, int cancel_fd, struct error *err)
{
	struct pollfd fds[] = { { .fd = watcher->fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };
	uint64_t count;

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for a build");
	if (fds[0].revents && read(watcher->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return error_set_errno(err, ERR_INTERNAL, errno, "wait for a build");
	return fds[1].revents ? error_set(err, ERR_CANCELED, "context canceled") : 0;
}
