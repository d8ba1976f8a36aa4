/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one thread per running container. It waits in the shim's Wait
 * call, then takes the busy token and ends the run: exit code, network, shim,
 * state, events, in docker's order; then the restart policy decides: launch
 * again after a pause, remove (--rm), or let the thread end. When the line to
 * the shim breaks it is found again; a shim that is gone left exit.json, or is
 * cleaned up by `kist-shim delete`.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/container_network.h"
#include "engine/container_restart.h"
#include "engine/engine_private.h"
#include "engine/shim_line.h"
#include "engine/volume_mount.h"

#define LINE_PAUSE_FIRST_MS 20
#define LINE_PAUSE_MAX_MS 5000
#define LINE_TRIES_ENDED 3 /* of a shim that wrote how it ended, and does not answer */
#define EXIT_FILE_MAX 65536
#define SHORTAGE_PAUSE_MS 200

struct run_end {
	int64_t exit_code;
	int64_t exited_ns;
	bool oom_killed;
};

struct exit_document {
	int64_t exit_status;
	char *exited_at;
	bool oom_killed;
};

static const struct json_field exit_document_fields[] = {
	JSON_I64("exitStatus", struct exit_document, exit_status, 0),
	JSON_TEXT("exitedAt", struct exit_document, exited_at, 0),
	JSON_BOOL("oomKilled", struct exit_document, oom_killed, 0),
	JSON_END,
};

/* true if the shim wrote how it ended. */
static bool read_exit_file(const struct container *container, struct run_end *end)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = path_join(container->bundle, "exit.json");
	AUTO_FREE char *text = NULL;
	struct exit_document document = { 0 };
	size_t size;

	if (file_read(&text, &size, AT_FDCWD, path, EXIT_FILE_MAX) < 0 ||
	    json_decode(&document, exit_document_fields, text, size, &err) < 0)
		return false;
	end->exit_code = document.exit_status;
	end->oom_killed = document.oom_killed;
	if (text_empty(document.exited_at) || clock_parse(&end->exited_ns, document.exited_at) < 0)
		end->exited_ns = clock_wall_ns();
	json_free_fields(&document, exit_document_fields);
	return true;
}

/* The shim is gone: what it wrote, or as if killed. */
static void end_without_shim(struct container *container, struct run_end *end)
{
	AUTO(error_clear) struct error err = { 0 };

	if (!read_exit_file(container, end))
		*end = (struct run_end){ .exit_code = 137, .exited_ns = clock_wall_ns() };
	if (shim_delete(container, &err) < 0)
		engine_log_error(container->engine, "cleaning up behind a lost shim", container->id, &err);
}

/* A shortage of our own (descriptors, memory) says nothing about the shim. */
static bool is_shortage(const struct error *err)
{
	return err->kind == ERR_INTERNAL && err->errnum != 0;
}

static int ask_for_exit(struct container *container, struct task_exit *out_exit, struct error *err)
{
	int closing_fd = container->engine->closing_fd;

	while (task_wait(container->task, container->id, NULL, out_exit, closing_fd, err) < 0) {
		if (!is_shortage(err))
			return -1;
		engine_log_error(container->engine, "waiting for a container", container->id, err);
		error_clear(err);
		clock_sleep_ms(SHORTAGE_PAUSE_MS);
	}
	return 0;
}

static bool nobody_uses_task(struct container *container, void *arg)
{
	(void)arg;
	return container->task_users == 0;
}

/* Takes the connection away from others; waits until their calls on it are over. */
static struct task_client *take_task(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	struct task_client *task;

	mutex_lock(&container->mutex);
	task = take_ptr(container->task);
	mutex_unlock(&container->mutex);
	/* Calls end with the process, which is over; engine_close() ends them too. */
	while (container_await(container, nobody_uses_task, NULL, -1, 0, &err) < 0) {
		error_clear(&err);
		clock_sleep_ms(5);
	}
	return task;
}

/* false: the engine closes. */
static bool pause_line(struct container *container, int64_t *pause_ms)
{
	struct pollfd closing = { .fd = container->engine->closing_fd, .events = POLLIN };
	bool closes = poll(&closing, 1, (int)*pause_ms) > 0;

	*pause_ms = *pause_ms * 2 > LINE_PAUSE_MAX_MS ? LINE_PAUSE_MAX_MS : *pause_ms * 2;
	return !closes;
}

/*
 * There is no line to the shim, or it broke, which says nothing about the container: 1 there is one now, 0 the engine
 * closes, -1 the shim is gone.
 */
static int find_line(struct container *container, int64_t *pause_ms)
{
	AUTO_FREE char *exit_path = path_join(container->bundle, "exit.json");
	struct task_client *task = NULL;
	int r = -1;

	mutex_lock(&container->mutex);
	container->line_lost = true;
	mutex_unlock(&container->mutex);
	task_client_close(take_task(container));
	for (int tries = 0; r < 0 && shim_is_alive(container); tries++) {
		task = shim_connect(container);
		if (task)
			r = 1;
		else if (tries >= LINE_TRIES_ENDED && file_exists(AT_FDCWD, exit_path))
			break;
		else if (!pause_line(container, pause_ms))
			r = 0;
	}
	mutex_lock(&container->mutex);
	container->task = task;
	container->line_lost = r == 0;
	watch_notify(&container->changes);
	mutex_unlock(&container->mutex);
	return r;
}

/* 1 the shim told the end, 0 the engine closes, -1 the shim is gone, or knows of no such container. */
static int await_exit(struct container *container, struct task_exit *out_exit)
{
	int64_t pause_ms = LINE_PAUSE_FIRST_MS;

	for (;;) {
		AUTO(error_clear) struct error err = { 0 };
		int r;

		if (container->task && ask_for_exit(container, out_exit, &err) == 0)
			return 1;
		if (err.kind == ERR_CANCELED)
			return 0;
		if (err.kind == ERR_NOT_FOUND)
			return -1;
		if (error_is_set(&err)) {
			engine_log_error(container->engine, "the line to a shim broke", container->id, &err);
			if (!pause_line(container, &pause_ms))
				return 0;
		}
		r = find_line(container, &pause_ms);
		if (r <= 0)
			return r;
	}
}

/* 1 the run ended, 0 the engine closes. */
static int wait_for_end(struct container *container, struct run_end *end)
{
	struct task_exit exit = { 0 };
	int r = await_exit(container, &exit);

	if (r == 0)
		return 0;
	if (r < 0) {
		end_without_shim(container, end);
		return 1;
	}
	if (!read_exit_file(container, end))
		*end = (struct run_end){ .exit_code = exit.exit_status, .exited_ns = exit.exited_at };
	if (end->exited_ns == 0)
		end->exited_ns = clock_wall_ns();
	return 1;
}

static void end_task(struct container *container)
{
	struct task_client *task = take_task(container);
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	struct task_exit end;
	bool clean = task && task_delete(task, container->id, NULL, &end, -1, &err) == 0;

	if (task && !clean)
		engine_log_error(container->engine, "shim does not delete its container", container->id, &err);
	error_clear(&err);
	if (task) {
		task_shutdown(task, container->id, -1, &err);
		task_client_close(task);
	}
	if (!clean && shim_delete(container, &problem) < 0)
		engine_log_error(container->engine, "cleaning up behind a container", container->id, &problem);
	bundle_remove(container->bundle);
}

static bool policy_restarts_locked(struct container *container, int64_t exit_code)
{
	mutex_assert_held(&container->mutex);
	if (container->stop_wanted || atomic_load(&container->engine->stopping) || container->document.state.removing)
		return false;
	return restart_is_wanted(&container->document.host.restart_policy, exit_code,
				 container->document.restart_count);
}

/* What the state says after a run; true if the policy wants another. */
static bool set_ended(struct container *container, const struct run_end *end)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct container_state *state = &container->document.state;
	bool again = policy_restarts_locked(container, end->exit_code);

	state->exit_code = end->exit_code;
	state->finished_ns = end->exited_ns;
	state->oom_killed = end->oom_killed;
	state->pid = 0;
	state->paused = false;
	state->pausing = false;
	health_end_locked(container);
	/* docker counts a container between two runs as running. */
	state->running = again;
	state->restarting = again;
	if (again)
		container->restart_delay_ms = restart_delay_ms(container->restart_delay_ms,
							       clock_monotonic_ns() - container->run_started_ns);
	return again;
}

static void publish_end(struct container *container, const struct run_end *end, int64_t started_ns)
{
	char code[24];
	char duration[24];
	const char *extras[] = { "exitCode", code, "execDuration", duration, NULL };

	snprintf(code, sizeof(code), "%lld", (long long)end->exit_code);
	snprintf(duration, sizeof(duration), "%lld", (long long)((end->exited_ns - started_ns) / CLOCK_SECOND));
	if (end->oom_killed)
		container_event(container, "oom", NULL);
	container_event(container, "die", extras);
}

/* With the token. */
static bool finish_run(struct container *container, const struct run_end *end)
{
	int64_t started_ns = container->document.state.started_ns;
	bool again;

	fault_point("kistd end: is known");
	container_network_hold(container);
	end_task(container);
	fault_point("kistd end: shim let go");
	container_network_detach(container, true);
	fault_point("kistd end: network let go");
	container_volume_events(container, false);
	volumes_unmount(container);
	again = set_ended(container, end);
	container_save(container);
	fault_point("kistd end: row written");
	publish_end(container, end, started_ns);
	mutex_lock(&container->mutex);
	container->exits++;
	container_end_attaches(container);
	watch_notify(&container->changes);
	mutex_unlock(&container->mutex);
	/* Everybody knows by now: this waits for programs of others. */
	volumes_release(container);
	return again;
}

static void set_stopped(struct container *container)
{
	mutex_lock(&container->mutex);
	container->document.state.running = false;
	container->document.state.restarting = false;
	watch_notify(&container->changes);
	mutex_unlock(&container->mutex);
	container_save(container);
}

/*
 * The token, whatever is short at the moment (descriptors, memory): nobody else ends this run. false: the engine
 * closes, or the container was removed.
 */
static bool acquire_for_sure(struct container *container)
{
	for (;;) {
		AUTO(error_clear) struct error err = { 0 };

		if (container_acquire(container, -1, &err) == 0)
			return true;
		if (err.kind == ERR_CANCELED || err.kind == ERR_NOT_FOUND)
			return false;
		engine_log_error(container->engine, "the end of a run waits", container->id, &err);
		clock_sleep_ms(SHORTAGE_PAUSE_MS);
	}
}

/* Also when somebody started it by hand meanwhile. */
static bool restart_is_off(struct container *container, void *arg)
{
	(void)arg;
	return !container->document.state.restarting || container->stop_wanted || container->document.state.removing ||
	       atomic_load(&container->engine->stopping);
}

static void record_failed_restart(struct container *container, const struct error *err)
{
	engine_log_error(container->engine, "a container could not be restarted", container->id, err);
	mutex_lock(&container->mutex);
	free(container->document.state.error);
	container->document.state.error = xstrdup(text_or_empty(err->message));
	container->document.state.exit_code = launch_exit_code(text_or_empty(err->message));
	mutex_unlock(&container->mutex);
}

/* Who wanted it to end while the launch was under way had nothing yet to send a signal to. */
static void end_if_unwanted(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	bool unwanted;

	mutex_lock(&container->mutex);
	unwanted = container->stop_wanted || container->document.state.removing;
	mutex_unlock(&container->mutex);
	if (unwanted && container_signal(container, SIGKILL, &err) < 0 && err.kind != ERR_NOT_FOUND)
		engine_log_error(container->engine, "a stop during a restart", container->id, &err);
}

/* With the token: true when it runs again. */
static bool restart_held(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	bool started;
	bool off;

	mutex_lock(&container->mutex);
	started = container->document.state.running && !container->document.state.restarting;
	off = restart_is_off(container, NULL);
	if (!off)
		container->document.restart_count++;
	mutex_unlock(&container->mutex);
	if (started)
		return true;
	if (!off && container_launch(container, -1, &err) == 0) {
		container_event(container, "start", NULL);
		end_if_unwanted(container);
		return true;
	}
	if (!off)
		record_failed_restart(container, &err);
	set_stopped(container);
	mutex_lock(&container->mutex);
	container->monitored = false;
	mutex_unlock(&container->mutex);
	return false;
}

/* Between two runs, without the token. true: it runs again. */
static bool restart(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	int64_t deadline_ns = clock_monotonic_ns() + container->restart_delay_ms * CLOCK_MS;
	bool runs;

	/* Given up: the engine closes, and the next one goes on from the document. Any other failure shortens the pause. */
	if (container_await(container, restart_is_off, NULL, -1, deadline_ns, &err) < 0 && err.kind == ERR_CANCELED)
		return false;
	if (!acquire_for_sure(container))
		return false;
	runs = restart_held(container);
	container_release(container);
	return runs;
}

static void remove_if_wanted(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	bool wanted;

	mutex_lock(&container->mutex);
	wanted = container->document.host.auto_remove && !container->keep_once && !container->removed &&
		 !container->document.state.running;
	mutex_unlock(&container->mutex);
	if (wanted && container_destroy(container, true, &err) < 0)
		engine_log_error(container->engine, "a container was not removed at its end", container->id, &err);
}

/* One run to its end. true: wait for another. */
static bool serve_run(struct container *container)
{
	struct run_end end = { 0 };
	bool again;

	health_watch(container);
	if (!wait_for_end(container, &end) || !acquire_for_sure(container))
		return false;
	again = finish_run(container, &end);
	if (!again)
		remove_if_wanted(container);
	if (!again) {
		mutex_lock(&container->mutex);
		container->monitored = false;
		mutex_unlock(&container->mutex);
	}
	container_release(container);
	return again;
}

static void *monitor(void *arg)
{
	struct container *container = arg;
	struct engine *engine = container->engine;
	bool between_runs;

	mutex_lock(&container->mutex);
	between_runs = container->document.state.restarting;
	mutex_unlock(&container->mutex);
	for (;;) {
		if (!between_runs && !serve_run(container))
			break;
		between_runs = false;
		if (!restart(container))
			break;
	}
	container_unref(container);
	engine_thread_end(engine);
	return NULL;
}

void container_end_unwatched(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	struct run_end end = { 0 };

	mutex_lock(&container->mutex);
	container->stop_wanted = true;
	mutex_unlock(&container->mutex);
	if (container_signal(container, SIGKILL, &err) < 0)
		engine_log_error(container->engine, "ending a container that nobody can watch", container->id, &err);
	if (wait_for_end(container, &end)) {
		finish_run(container, &end);
		remove_if_wanted(container);
	}
}

int container_monitor_start(struct container *container, struct error *err)
{
	engine_thread_begin(container->engine);
	mutex_lock(&container->mutex);
	container->monitored = true;
	mutex_unlock(&container->mutex);
	if (thread_start(NULL, "monitor", monitor, container_ref(container), err) == 0)
		return 0;
	mutex_lock(&container->mutex);
	container->monitored = false;
	mutex_unlock(&container->mutex);
	container_unref(container);
	engine_thread_end(container->engine);
	return -1;
}
