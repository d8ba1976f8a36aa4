/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: start needs the busy token; stop and kill only send a signal
 * and watch for the monitor to end the run, so several of them may go on at
 * once and none holds up another.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "engine/checkpoint.h"
#include "engine/container_network.h"
#include "engine/engine_private.h"
#include "engine/settings.h"
#include "engine/volume_mount.h"
#include "sys/signal_name.h"

#define KILL_WAIT_NS (10 * CLOCK_SECOND)

/* ---- start ---- */

static void record_failure(struct container *container, const char *message)
{
	mutex_lock(&container->mutex);
	free(container->document.state.error);
	container->document.state.error = xstrdup(message);
	container->document.state.exit_code = launch_exit_code(message);
	container->document.state.pid = 0;
	container->document.state.running = false;
	container->document.state.restarting = false;
	container_end_attaches(container);
	watch_notify(&container->changes);
	mutex_unlock(&container->mutex);
	container_save(container);
}

/* With the token: 1 started, 0 runs already. */
static int start_held(struct container *container, int cancel_fd, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	struct container_state state;

	mutex_lock(&container->mutex);
	state = container->document.state;
	mutex_unlock(&container->mutex);
	if (state.removing || state.dead)
		return error_set(err, ERR_CONFLICT, "container is marked for removal and cannot be started");
	if (state.paused)
		return error_set(err, ERR_CONFLICT, "cannot start a paused container, try unpause instead");
	if (state.running && !state.restarting)
		return 0;
	mutex_lock(&container->mutex);
	container->stop_wanted = false;
	container->document.restart_count = 0;
	container->restart_delay_ms = 0;
	mutex_unlock(&container->mutex);
	if (container_launch(container, cancel_fd, err) < 0) {
		/* docker: a command that cannot be run is the caller's mistake. */
		if (err->kind == ERR_INTERNAL && launch_exit_code(err->message) != 128)
			err->kind = ERR_INVALID;
		record_failure(container, err->message);
		if (container->document.host.auto_remove)
			container_destroy(container, true, &problem);
		return -1;
	}
	container_event(container, "start", NULL);
	if (!container->monitored && container_monitor_start(container, err) < 0) {
		container_end_unwatched(container);
		return -1;
	}
	return 1;
}

static int start_from_held(struct container *container, const struct checkpoint_options *options, struct error *err)
{
	AUTO_FREE char *path = NULL;
	int r;

	if (options && checkpoint_find(&path, container, options, err) < 0)
		return -1;
	container->checkpoint = path;
	/* A start that is under way is finished even if the client leaves. */
	r = start_held(container, -1, err);
	container->checkpoint = NULL;
	return r;
}

int container_start_from(struct engine *engine, const char *name, const struct checkpoint_options *options,
			 int cancel_fd, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (options && !engine_settings(engine)->experimental)
		return error_set(err, ERR_INVALID, "checkpoint is only supported in experimental mode");
	if (container_find(&container, engine, name, err) < 0 || container_acquire(container, cancel_fd, err) < 0)
		return -1;
	r = start_from_held(container, options, err);
	container_release(container);
	return r;
}

int container_start(struct engine *engine, const char *name, int cancel_fd, struct error *err)
{
	return container_start_from(engine, name, NULL, cancel_fd, err);
}

/* ---- the end ---- */

static bool is_stopped(struct container *container, void *arg)
{
	const uint64_t *exits = arg;

	return container->exits != *exits || !container->document.state.running || container->removed;
}

static bool is_stopped_or_paused(struct container *container, void *arg)
{
	return is_stopped(container, arg) || container->document.state.paused;
}

static int unfreeze(struct container *container, struct error *err)
{
	struct task_client *task = container_borrow_task(container, err);
	int r;

	if (!task)
		return -1;
	r = task_resume(task, container->id, -1, err);
	container_return_task(container);
	mutex_lock(&container->mutex);
	container->document.state.paused = false;
	mutex_unlock(&container->mutex);
	return r;
}

/* 1 ended, 0 not in time. What is frozen cannot end: a pause that comes behind the signal is taken back. */
static int await_stop(struct container *container, uint64_t exits, int64_t timeout_ns, int cancel_fd, struct error *err)
{
	int64_t deadline_ns = timeout_ns < 0 ? 0 : clock_monotonic_ns() + timeout_ns + 1;

	for (;;) {
		AUTO(error_clear) struct error problem = { 0 };
		int r = container_await(container, is_stopped_or_paused, &exits, cancel_fd, deadline_ns, err);
		bool stopped;

		if (r <= 0)
			return r;
		mutex_lock(&container->mutex);
		stopped = is_stopped(container, &exits);
		mutex_unlock(&container->mutex);
		if (stopped)
			return 1;
		/* One that ends meanwhile needs no thawing: the next look tells. */
		if (unfreeze(container, &problem) < 0)
			clock_sleep_ms(5);
	}
}

static void kill_event(struct container *container, int signal)
{
	char number[16];
	const char *extras[] = { "signal", number, NULL };

	snprintf(number, sizeof(number), "%d", signal);
	container_event(container, "kill", extras);
}

/* Marks that the end is wanted; false if it does not run. */
static bool want_stop(struct container *container, bool manually, uint64_t *out_exits)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	*out_exits = container->exits;
	if (!container->document.state.running)
		return false;
	container->stop_wanted = true;
	container->document.state.manually_stopped |= manually;
	watch_notify(&container->changes);
	return true;
}

/* A process that has ended meanwhile is what the caller wanted. */
static int send_signal(struct container *container, int signal, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	bool paused;

	if (container_signal(container, signal, &problem) < 0 && problem.kind != ERR_CONFLICT &&
	    problem.kind != ERR_NOT_FOUND && problem.kind != ERR_UNAVAILABLE)
		return error_move(err, &problem);
	mutex_lock(&container->mutex);
	paused = container->document.state.paused;
	mutex_unlock(&container->mutex);
	error_clear(&problem);
	if (paused)
		unfreeze(container, &problem);
	return 0;
}

static int stop_signal_of(struct container *container)
{
	int signal = signal_parse(text_or_empty(container->document.config.stop_signal));

	return signal > 0 ? signal : SIGTERM;
}

static int kill_and_wait(struct container *container, uint64_t exits, int cancel_fd, struct error *err)
{
	int r;

	kill_event(container, SIGKILL);
	if (send_signal(container, SIGKILL, err) < 0)
		return -1;
	r = await_stop(container, exits, KILL_WAIT_NS, cancel_fd, err);
	if (r == 0)
		return error_set(err, ERR_INTERNAL, "tried to kill container, but did not receive an exit event");
	return r < 0 ? -1 : 0;
}

static int64_t stop_timeout_ns(const struct container *container, const struct stop_options *options)
{
	int64_t seconds = options->timeout_s.set ? options->timeout_s.value
						 : optional_i64_or(container->document.config.stop_timeout,
								   container->engine->stop_timeout_s);

	return seconds < 0 ? -1 : seconds > INT32_MAX ? -1 : seconds * CLOCK_SECOND;
}

/* 1 stopped, 0 was not running. */
static int stop(struct container *container, const struct stop_options *options, bool manually, int cancel_fd,
		struct error *err)
{
	int signal = text_empty(options->signal) ? stop_signal_of(container) : signal_parse(options->signal);
	int64_t timeout_ns = stop_timeout_ns(container, options);
	uint64_t exits;
	int r;

	if (signal <= 0)
		return error_set(err, ERR_INVALID, "invalid signal: %s", options->signal);
	volumes_give_up(container);
	if (!want_stop(container, manually, &exits))
		return 0;
	kill_event(container, signal);
	if (send_signal(container, signal, err) < 0)
		return -1;
	fault_point("kistd stop: signal sent");
	r = await_stop(container, exits, timeout_ns, cancel_fd, err);
	if (r == 0 && kill_and_wait(container, exits, cancel_fd, err) < 0)
		return -1;
	if (r < 0)
		return -1;
	if (manually)
		container_save(container);
	fault_point("kistd stop: stopped");
	container_event(container, "stop", NULL);
	return 1;
}

int container_stop(struct engine *engine, const char *name, const struct stop_options *options, int cancel_fd,
		   struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	r = stop(container, options, true, cancel_fd, err);
	return r < 0 ? error_prefix(err, "cannot stop container: %s", name) : r;
}

static void keep_once(struct container *container, bool keep)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	container->keep_once = keep;
}

int container_restart(struct engine *engine, const char *name, const struct stop_options *options, int cancel_fd,
		      struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	keep_once(container, true);
	r = stop(container, options, false, cancel_fd, err);
	if (r >= 0)
		r = container_acquire(container, cancel_fd, err);
	if (r >= 0) {
		r = start_held(container, -1, err);
		container_release(container);
	}
	keep_once(container, false);
	if (r < 0)
		return error_prefix(err, "Cannot restart container %s", name);
	container_event(container, "restart", NULL);
	return 1;
}

/* ---- kill ---- */

static int kill_refused(struct container *container, const char *name, struct error *err)
{
	return error_set(err, ERR_CONFLICT, "cannot kill container: %s: container %s is not running", name,
			 container->id);
}

int container_kill(struct engine *engine, const char *name, const char *signal_text, int cancel_fd, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int signal = text_empty(signal_text) ? SIGKILL : signal_parse(signal_text);
	uint64_t exits;
	bool ends;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	if (signal <= 0)
		return error_set(err, ERR_INVALID, "cannot kill container: %s: invalid signal: %s", name, signal_text);
	volumes_give_up(container);
	/* Any signal counts as a stop by hand, unless the container has a stop signal of its own and this is another. */
	ends = signal == SIGKILL || text_empty(container->document.config.stop_signal) ||
	       signal == stop_signal_of(container);
	if (ends ? !want_stop(container, true, &exits) : !container_is_running(container))
		return kill_refused(container, name, err);
	if (signal == SIGKILL) {
		if (kill_and_wait(container, exits, cancel_fd, err) < 0)
			return error_prefix(err, "cannot kill container: %s", name);
		return 0;
	}
	if (container_signal(container, signal, err) < 0)
		return error_prefix(err, "cannot kill container: %s", name);
	kill_event(container, signal);
	return 0;
}

/* ---- pause, resize ---- */

static void mark_pausing(struct container *container)
{
	mutex_lock(&container->mutex);
	container->document.state.pausing = container->document.state.running;
	mutex_unlock(&container->mutex);
	container_save(container);
}

static void mark_paused(struct container *container, bool paused, bool for_commit)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	container->document.state.paused = paused && container->document.state.running;
	container->document.state.pausing = container->document.state.paused && for_commit;
	if (paused)
		health_end_locked(container);
	watch_notify(&container->changes);
}

static int set_paused(struct container *container, bool paused, bool for_commit, struct error *err)
{
	struct task_client *task;
	int r;

	mutex_lock(&container->mutex);
	r = container->document.state.paused;
	if (container->document.state.running && container->document.state.restarting)
		error_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running",
			  container->id);
	else if (!container->document.state.running)
		error_set(err, ERR_CONFLICT, "Container %s is not running", container->id);
	else if (paused && r)
		error_set(err, ERR_CONFLICT, "Container %s is already paused", container->id);
	else if (!paused && !r)
		error_set(err, ERR_INTERNAL, "Container %s is not paused", container->id);
	mutex_unlock(&container->mutex);
	if (error_is_set(err))
		return -1;
	task = container_borrow_task(container, err);
	if (!task)
		return -1;
	mark_pausing(container);
	r = paused ? task_pause(task, container->id, -1, err) : task_resume(task, container->id, -1, err);
	container_return_task(container);
	fault_point("kistd pause: done");
	mark_paused(container, (r == 0) == paused, for_commit);
	container_save(container);
	if (r < 0)
		return error_prefix(err, "Cannot %s container %s", paused ? "pause" : "unpause", container->id);
	container_event(container, paused ? "pause" : "unpause", NULL);
	return 0;
}

static int pause_named(struct engine *engine, const char *name, bool paused, bool for_commit, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (container_find(&container, engine, name, err) < 0 || container_acquire(container, -1, err) < 0)
		return -1;
	r = set_paused(container, paused, for_commit, err);
	container_release(container);
	return r;
}

int container_pause(struct engine *engine, const char *name, struct error *err)
{
	return pause_named(engine, name, true, false, err);
}

int container_pause_for_commit(struct container *container, struct error *err)
{
	return pause_named(container->engine, container->id, true, true, err);
}

void container_settle_pause(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	struct task_client *task;

	if (!container->document.state.running || !container->document.state.pausing)
		return;
	task = container_borrow_task(container, &err);
	if (!task)
		return;
	/* Refused if nothing had come of the pause. */
	task_resume(task, container->id, container->engine->closing_fd, &ignored);
	container_return_task(container);
	mark_paused(container, false, false);
	container_save(container);
}

int container_unpause(struct engine *engine, const char *name, struct error *err)
{
	return pause_named(engine, name, false, false, err);
}

int container_resize(struct engine *engine, const char *name, uint16_t height, uint16_t width, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	struct task_client *task;
	char texts[2][8];
	const char *extras[] = { "height", texts[0], "width", texts[1], NULL };
	int r;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	task = container_borrow_task(container, err);
	if (!task)
		return -1;
	r = task_resize(task, container->id, NULL, width, height, -1, err);
	container_return_task(container);
	if (r < 0)
		return -1;
	snprintf(texts[0], sizeof(texts[0]), "%u", height);
	snprintf(texts[1], sizeof(texts[1]), "%u", width);
	container_event(container, "resize", extras);
	return 0;
}

/* ---- rename ---- */

static int rename_held(struct container *container, const char *new_name, struct error *err)
{
	AUTO_FREE char *old = xstrdup(container->document.name);
	AUTO_FREE char *shown = xasprintf("/%s", old);
	const char *extras[] = { "oldName", shown, NULL };

	if (text_equal(old, new_name))
		return error_set(err, ERR_INVALID, "Renaming a container with the same name as its current name");
	if (container_index_rename(container, new_name, err) < 0)
		return -1;
	if (container_store(container, err) < 0) {
		AUTO(error_clear) struct error problem = { 0 };

		container_index_rename(container, old, &problem);
		return -1;
	}
	container_network_renamed(container, old);
	container_event(container, "rename", extras);
	return 0;
}

int container_rename(struct engine *engine, const char *name, const char *new_name, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (text_empty(new_name))
		return error_set(err, ERR_INVALID, "Neither old nor new names may be empty");
	if (*new_name == '/')
		new_name++;
	if (container_find(&container, engine, name, err) < 0 || container_check_name(new_name, err) < 0 ||
	    container_acquire(container, -1, err) < 0)
		return -1;
	r = rename_held(container, new_name, err);
	container_release(container);
	return r;
}
