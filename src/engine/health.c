/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one thread for each run of a container that has a check. It
 * sleeps in container_await(), so the end of the run or of the engine wakes it;
 * a probe is an exec whose output it reads until the end or a timer.
 */
#include "engine/health.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/attach.h"
#include "engine/engine_private.h"
#include "engine/exec.h"

#define INTERVAL_DEFAULT_NS (30 * CLOCK_SECOND)
#define TIMEOUT_DEFAULT_NS (30 * CLOCK_SECOND)
#define START_INTERVAL_DEFAULT_NS (5 * CLOCK_SECOND)
#define DURATION_MIN_NS CLOCK_MS
#define RETRIES_DEFAULT 3
#define LOG_KEPT 5
#define OUTPUT_MAX 4096
/* Between the kill of a probe that took too long and the end of its output. */
#define KILLED_PATIENCE_NS (5 * CLOCK_SECOND)

static const char STARTING[] = "starting";
static const char HEALTHY[] = "healthy";
static const char UNHEALTHY[] = "unhealthy";

static const struct json_field result_fields[] = {
	JSON_TEXT("Start", struct state_health_result, start, 0),
	JSON_TEXT("End", struct state_health_result, end, 0),
	JSON_I64("ExitCode", struct state_health_result, exit_code, 0),
	JSON_TEXT("Output", struct state_health_result, output, 0),
	JSON_END,
};

const struct json_field state_health_fields[] = {
	JSON_TEXT("Status", struct state_health, status, 0),
	JSON_I64("FailingStreak", struct state_health, failing_streak, 0),
	JSON_ARRAY("Log", struct state_health, log, result_fields, 0),
	JSON_END,
};

/* ---- configuration ---- */

static bool has_check(const struct container_config *config)
{
	const struct health_config *check = config->healthcheck;

	return check && check->test.count > 1 && !text_equal(check->test.items[0], "NONE");
}

static int check_duration(int64_t duration_ns, const char *name, struct error *err)
{
	if (duration_ns != 0 && duration_ns < DURATION_MIN_NS)
		return error_set(err, ERR_INVALID, "%s in Healthcheck cannot be less than 1ms", name);
	return 0;
}

static int check_action(const struct host_config *host, struct error *err)
{
	const char *action = text_map_get(&host->annotations, HEALTH_ACTION_KEY);

	if (!action || text_equal(action, "none") || text_equal(action, "kill") || text_equal(action, "stop") ||
	    text_equal(action, "restart"))
		return 0;
	return error_set(err, ERR_INVALID, "annotation %s: expected none, kill, stop or restart, not \"%s\"",
			 HEALTH_ACTION_KEY, action);
}

int health_check_config(const struct container_config *config, const struct host_config *host, struct error *err)
{
	const struct health_config *check = config->healthcheck;

	if (check_action(host, err) < 0)
		return -1;
	if (!check)
		return 0;
	if (check->test.count && !text_equal(check->test.items[0], "NONE") &&
	    !text_equal(check->test.items[0], "CMD") && !text_equal(check->test.items[0], "CMD-SHELL"))
		return error_set(err, ERR_INVALID, "Unknown type '%s' in healthcheck", check->test.items[0]);
	if (check->retries < 0)
		return error_set(err, ERR_INVALID, "Retries in Healthcheck cannot be negative");
	if (check_duration(check->interval_ns, "Interval", err) < 0 ||
	    check_duration(check->timeout_ns, "Timeout", err) < 0 ||
	    check_duration(check->start_period_ns, "StartPeriod", err) < 0)
		return -1;
	return check_duration(check->start_interval_ns, "StartInterval", err);
}

static void add_command(struct text_list *to, const struct container_config *config)
{
	const struct text_list *test = &config->healthcheck->test;

	if (text_equal(test->items[0], "CMD-SHELL")) {
		if (config->shell.count) {
			text_list_add_all(to, &config->shell);
		} else {
			text_list_add(to, "/bin/sh");
			text_list_add(to, "-c");
		}
	}
	for (size_t i = 1; i < test->count; i++)
		text_list_add(to, test->items[i]);
}

/* ---- state ---- */

static void set_status(struct state_health *health, const char *status)
{
	free(health->status);
	health->status = xstrdup(status);
}

const char *health_status(const struct state_health *health)
{
	return health && !text_empty(health->status) ? health->status : "none";
}

void health_begin_locked(struct container *container)
{
	struct container_state *state = &container->document.state;

	mutex_assert_held(&container->mutex);
	if (!has_check(&container->document.config))
		return;
	if (!state->health)
		state->health = xcalloc(1, sizeof(*state->health));
	set_status(state->health, STARTING);
	state->health->failing_streak = 0;
}

void health_end_locked(struct container *container)
{
	mutex_assert_held(&container->mutex);
	if (container->document.state.health)
		set_status(container->document.state.health, UNHEALTHY);
}

static void keep_result(struct state_health *health, struct state_health_result *result)
{
	struct state_health_result *place;

	if (health->log.count == LOG_KEPT) {
		json_free_fields(&health->log.items[0], result_fields);
		memmove(health->log.items, health->log.items + 1, (LOG_KEPT - 1) * sizeof(*health->log.items));
		health->log.count--;
	}
	place = json_array_add(&health->log, sizeof(*health->log.items));
	*place = *result;
}

/* ---- the run ---- */

struct watch_of_run {
	struct container *container; /* a reference */
	uint64_t exits;		     /* of the container when the run began */
};

static bool is_over(struct container *container, const struct watch_of_run *run)
{
	return container->exits != run->exits || !container->document.state.running || container->removed;
}

static bool over_or_paused(struct container *container, void *arg)
{
	return is_over(container, arg) || container->document.state.paused;
}

static bool over_or_unpaused(struct container *container, void *arg)
{
	return is_over(container, arg) || !container->document.state.paused;
}

static int64_t or_default(int64_t duration_ns, int64_t otherwise_ns)
{
	return duration_ns > 0 ? duration_ns : otherwise_ns;
}

/* now_ns is monotonic: a clock that is set meanwhile neither ends the period nor draws it out. */
static bool in_start_period(const struct container *container, int64_t now_ns)
{
	return now_ns - container->run_started_ns < container->document.config.healthcheck->start_period_ns;
}

static int64_t next_interval(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_document *document = &container->document;
	const struct health_config *check = document->config.healthcheck;

	if (in_start_period(container, clock_monotonic_ns()) &&
	    text_equal(health_status(document->state.health), STARTING))
		return or_default(check->start_interval_ns, START_INTERVAL_DEFAULT_NS);
	return or_default(check->interval_ns, INTERVAL_DEFAULT_NS);
}

/* 1: time for a probe; 0: the run is over. */
static int await_turn(struct watch_of_run *run)
{
	struct container *container = run->container;

	for (;;) {
		AUTO(error_clear) struct error err = { 0 };
		int64_t deadline_ns = clock_monotonic_ns() + next_interval(container);
		bool over;
		int r = container_await(container, over_or_paused, run, -1, deadline_ns, &err);

		if (r < 0)
			return 0;
		mutex_lock(&container->mutex);
		over = is_over(container, run);
		mutex_unlock(&container->mutex);
		if (over)
			return 0;
		if (r == 0)
			return 1;
		/* A fresh interval begins when it goes on. */
		if (container_await(container, over_or_unpaused, run, -1, 0, &err) < 0)
			return 0;
	}
}

/* ---- a probe ---- */

struct probe {
	struct engine *engine;
	struct attach *attach;
	struct text output;
	int timer_fd;
};

static void arm(const struct probe *probe, int64_t after_ns)
{
	const struct itimerspec when = { .it_value = { .tv_sec = after_ns / CLOCK_SECOND,
						       .tv_nsec = after_ns % CLOCK_SECOND } };

	timerfd_settime(probe->timer_fd, 0, &when, NULL);
}

/* 1 the end, 0 the timer (or the engine's end), -1 no output can be had. */
static int read_output(struct probe *probe)
{
	AUTO(error_clear) struct error err = { 0 };
	struct stream_frame frame;
	int r;

	while ((r = attach_read(probe->attach, &frame, probe->timer_fd, &err)) > 0) {
		size_t room = OUTPUT_MAX - probe->output.size;

		text_add_bytes(&probe->output, frame.data, frame.size < room ? frame.size : room);
	}
	if (r == 0)
		return 1;
	return err.kind == ERR_CANCELED ? 0 : -1;
}

static int64_t exit_code_of(struct engine *engine, const char *exec_id)
{
	AUTO(error_clear) struct error err = { 0 };
	struct exec_inspect inspect = { 0 };
	int64_t code;

	if (exec_inspect(&inspect, engine, exec_id, &err) < 0)
		return -1;
	code = optional_i64_or(inspect.exit_code, -1);
	json_free_fields(&inspect, exec_inspect_fields);
	return code;
}

static void say_timeout(struct probe *probe, int64_t timeout_ns)
{
	AUTO_FREE char *output = text_take(&probe->output);
	char duration[CLOCK_TEXT_MAX];

	text_addf(&probe->output, "Health check exceeded timeout (%s)%s%s", clock_format_duration(duration, timeout_ns),
		  output[0] ? ": " : "", output);
}

/* The exec runs: its exit code, or -1. */
static int64_t follow(struct probe *probe, const char *exec_id, int64_t timeout_ns)
{
	AUTO(error_clear) struct error err = { 0 };
	int r;

	arm(probe, timeout_ns);
	r = read_output(probe);
	if (r == 1)
		return exit_code_of(probe->engine, exec_id);
	if (exec_kill(probe->engine, exec_id, SIGKILL, &err) == 0) {
		arm(probe, KILLED_PATIENCE_NS);
		read_output(probe);
	}
	say_timeout(probe, timeout_ns);
	return -1;
}

static int start_probe(char **out_exec_id, struct probe *probe, struct container *container, struct error *err)
{
	const struct exec_start_options options = { 0 };
	struct exec_config config = { .attach_stdout = true, .attach_stderr = true };
	int r;

	add_command(&config.cmd, &container->document.config);
	r = exec_create(out_exec_id, container->engine, container->id, &config, err);
	json_free_fields(&config, exec_config_fields);
	return r < 0 ? -1 : exec_start(&probe->attach, container->engine, *out_exec_id, &options, probe->timer_fd, err);
}

static void run_probe(struct state_health_result *result, struct container *container)
{
	int64_t timeout_ns = or_default(container->document.config.healthcheck->timeout_ns, TIMEOUT_DEFAULT_NS);
	struct probe probe = { .engine = container->engine };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *exec_id = NULL;
	char now[CLOCK_TEXT_MAX];

	result->start = xstrdup(clock_format(now, clock_wall_ns()));
	result->exit_code = -1;
	probe.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (probe.timer_fd >= 0) {
		/* Starting is not part of the check's own time. */
		arm(&probe, TIMEOUT_DEFAULT_NS);
		if (start_probe(&exec_id, &probe, container, &err) == 0)
			result->exit_code = follow(&probe, exec_id, timeout_ns);
		else
			text_add(&probe.output, text_or_empty(err.message));
		attach_free(probe.attach);
		close(probe.timer_fd);
	}
	result->end = xstrdup(clock_format(now, clock_wall_ns()));
	result->output = text_take(&probe.output);
}

/* ---- what follows from it ---- */

void health_count(struct health_counts *out_counts, const struct engine *engine)
{
	out_counts->checks = atomic_load(&engine->health_checks);
	out_counts->failures = atomic_load(&engine->health_failures);
}

static const char *judge_locked(struct container *container, int64_t exit_code, int64_t start_ns)
{
	const struct health_config *check = container->document.config.healthcheck;
	struct state_health *health = container->document.state.health;
	int64_t retries = check->retries > 0 ? check->retries : RETRIES_DEFAULT;
	bool starting = text_equal(health->status, STARTING);

	mutex_assert_held(&container->mutex);
	if (exit_code == 0) {
		health->failing_streak = 0;
		return HEALTHY;
	}
	if (starting && in_start_period(container, start_ns))
		return STARTING;
	health->failing_streak++;
	if (health->failing_streak >= retries)
		return UNHEALTHY;
	return starting ? STARTING : text_equal(health->status, HEALTHY) ? HEALTHY : UNHEALTHY;
}

/* Takes the result. The status if it changed, else NULL. */
static const char *take_result(struct watch_of_run *run, struct state_health_result *result, int64_t start_ns)
{
	struct container *container = run->container;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct state_health *health = container->document.state.health;
	const char *status;

	/* A probe that ended just before a pause says nothing of what is paused. */
	if (over_or_paused(container, run) || !health) {
		json_free_fields(result, result_fields);
		return NULL;
	}
	atomic_fetch_add(&container->engine->health_checks, 1);
	if (result->exit_code != 0)
		atomic_fetch_add(&container->engine->health_failures, 1);
	status = judge_locked(container, result->exit_code, start_ns);
	keep_result(health, result);
	if (text_equal(status, health->status))
		return NULL;
	set_status(health, status);
	return status;
}

static void act(struct container *container)
{
	const char *action = text_or_empty(text_map_get(&container->document.host.annotations, HEALTH_ACTION_KEY));
	const struct stop_options options = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	int r = 0;

	if (text_equal(action, "kill"))
		r = container_kill(container->engine, container->id, NULL, -1, &err);
	else if (text_equal(action, "stop"))
		r = container_stop(container->engine, container->id, &options, -1, &err);
	else if (text_equal(action, "restart"))
		r = container_restart(container->engine, container->id, &options, -1, &err);
	if (r < 0)
		engine_log_error(container->engine, "acting on an unhealthy container", container->id, &err);
}

static void probe_once(struct watch_of_run *run)
{
	struct container *container = run->container;
	struct state_health_result result = { 0 };
	int64_t start_ns = clock_monotonic_ns();
	AUTO_FREE char *action = NULL;
	const char *status;

	run_probe(&result, container);
	status = take_result(run, &result, start_ns);
	if (!status)
		return;
	container_save(container);
	action = xasprintf("health_status: %s", status);
	container_event(container, action, NULL);
	if (text_equal(status, UNHEALTHY))
		act(container);
}

static void *watch_thread(void *arg)
{
	struct watch_of_run *run = arg;
	struct engine *engine = run->container->engine;

	while (await_turn(run))
		probe_once(run);
	container_unref(run->container);
	free(run);
	engine_thread_end(engine);
	return NULL;
}

void health_watch(struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	struct watch_of_run *run;

	if (!has_check(&container->document.config))
		return;
	run = xcalloc(1, sizeof(*run));
	run->container = container_ref(container);
	mutex_lock(&container->mutex);
	run->exits = container->exits;
	mutex_unlock(&container->mutex);
	engine_thread_begin(container->engine);
	if (thread_start(NULL, "health", watch_thread, run, &err) == 0)
		return;
	engine_log_error(container->engine, "a health check cannot run", container->id, &err);
	container_unref(run->container);
	free(run);
	engine_thread_end(container->engine);
}
