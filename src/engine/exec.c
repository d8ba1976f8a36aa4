/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: an exec is kept in engine->execs (one reference) and in
 * container->execs until the container is started again or removed; only the
 * last ones that ended stay, and those that nobody starts go after a while. A
 * thread per running exec waits for its end. container->mutex guards the
 * changing members. exec-<id>.json in the bundle is what the next engine knows
 * of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/attach_private.h"
#include "engine/engine_private.h"
#include "engine/exec.h"
#include "oci/runtime_spec.h"
#include "sys/capability.h"

#define ENDED_KEPT 64
#define UNSTARTED_KEPT 1024
#define UNSTARTED_AGE_NS (600 * CLOCK_SECOND)
#define LINE_PAUSE_MS 20
#define LINE_PATIENCE_NS (30 * CLOCK_SECOND)
#define EXIT_CODE_PATIENCE_NS (10 * CLOCK_SECOND)
#define CONFIG_MAX (4 * 1024 * 1024)
/* What the shim knows it by: short, it is part of a socket's path. */
#define SHIM_ID_SIZE 16

static const struct json_field size_fields[] = {
	JSON_U64("", struct u64_item, value, 0),
	JSON_END,
};

const struct json_field exec_config_fields[] = {
	JSON_TEXT("User", struct exec_config, user, 0),
	JSON_BOOL("Privileged", struct exec_config, privileged, 0),
	JSON_BOOL("Tty", struct exec_config, tty, 0),
	JSON_BOOL("AttachStdin", struct exec_config, attach_stdin, 0),
	JSON_BOOL("AttachStdout", struct exec_config, attach_stdout, 0),
	JSON_BOOL("AttachStderr", struct exec_config, attach_stderr, 0),
	JSON_BOOL("Detach", struct exec_config, detach, 0),
	JSON_TEXT("DetachKeys", struct exec_config, detach_keys, 0),
	JSON_TEXT_LIST("Env", struct exec_config, env, 0),
	JSON_TEXT("WorkingDir", struct exec_config, working_dir, 0),
	JSON_TEXT_LIST("Cmd", struct exec_config, cmd, JSON_TEXT_OR_LIST),
	JSON_ARRAY("ConsoleSize", struct exec_config, console_size, size_fields, 0),
	JSON_END,
};

static const struct json_field exec_process_fields[] = {
	JSON_TEXT_LIST("arguments", struct exec_process_config, arguments, 0),
	JSON_TEXT("entrypoint", struct exec_process_config, entrypoint, 0),
	JSON_OPT_BOOL("privileged", struct exec_process_config, privileged, JSON_OMIT_EMPTY),
	JSON_BOOL("tty", struct exec_process_config, tty, 0),
	JSON_TEXT("user", struct exec_process_config, user, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field exec_inspect_fields[] = {
	JSON_TEXT("ID", struct exec_inspect, id, 0),
	JSON_BOOL("Running", struct exec_inspect, running, 0),
	JSON_OPT_I64("ExitCode", struct exec_inspect, exit_code, 0),
	JSON_OBJECT("ProcessConfig", struct exec_inspect, process, exec_process_fields, 0),
	JSON_BOOL("OpenStdin", struct exec_inspect, open_stdin, 0),
	JSON_BOOL("OpenStderr", struct exec_inspect, open_stderr, 0),
	JSON_BOOL("OpenStdout", struct exec_inspect, open_stdout, 0),
	JSON_BOOL("CanRemove", struct exec_inspect, can_remove, 0),
	JSON_TEXT("ContainerID", struct exec_inspect, container_id, 0),
	JSON_TEXT("DetachKeys", struct exec_inspect, detach_keys, 0),
	JSON_I64("Pid", struct exec_inspect, pid, 0),
	JSON_END,
};

struct exec {
	atomic_int references;
	struct list_node node; /* in container->execs */
	struct container *container;
	char id[65];
	char shim_id[SHIM_ID_SIZE + 1];
	struct exec_config config;
	uint16_t height;
	uint16_t width;
	bool started;
	bool running;
	struct optional_i64 exit_code;
	int64_t pid;
	int64_t created_ns;	  /* monotonic */
	struct task_client *task; /* borrowed from the container while it runs */
};

/* ---- on disk ---- */

/* One line for each step of its life: the first names it, the last says how it is. */
struct exec_document {
	char *id;
	struct exec_config config;
};

static const struct json_field exec_document_fields[] = {
	JSON_TEXT("id", struct exec_document, id, JSON_REQUIRED),
	JSON_OBJECT("config", struct exec_document, config, exec_config_fields, 0),
	JSON_END,
};

struct exec_step {
	bool running;
	struct optional_i64 exit_code;
	int64_t pid;
};

static const struct json_field exec_step_fields[] = {
	JSON_BOOL("running", struct exec_step, running, 0),
	JSON_OPT_I64("exitCode", struct exec_step, exit_code, 0),
	JSON_I64("pid", struct exec_step, pid, 0),
	JSON_END,
};

#define DOCUMENT_PREFIX "exec-"
#define DOCUMENT_SUFFIX ".json"

static char *document_path(const struct exec *exec)
{
	return xasprintf("%s/" DOCUMENT_PREFIX "%s" DOCUMENT_SUFFIX, exec->container->bundle, exec->shim_id);
}

/* On tmpfs: it lives no longer than what it tells of. */
static void add_line(const struct exec *exec, char *json)
{
	AUTO_FREE char *line = xasprintf("%s\n", json);
	AUTO_FREE char *path = document_path(exec);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : write_full(fd, line, strlen(line));

	free(json);
	if (r < 0 && r != -ENOENT) {
		AUTO(error_clear) struct error err = { 0 };

		error_set_errno(&err, ERR_INTERNAL, r, "write %s", path);
		engine_log_error(exec->container->engine, "an exec is not written down", exec->id, &err);
	}
}

static void save_new(struct exec *exec)
{
	const struct exec_document document = { .id = exec->id, .config = exec->config };

	add_line(exec, json_encode_sparse(&document, exec_document_fields));
}

static void save_step(struct exec *exec)
{
	struct exec_step step;

	mutex_lock(&exec->container->mutex);
	step = (struct exec_step){ .running = exec->running, .exit_code = exec->exit_code, .pid = exec->pid };
	mutex_unlock(&exec->container->mutex);
	add_line(exec, json_encode_sparse(&step, exec_step_fields));
}

static struct exec *exec_ref(struct exec *exec)
{
	atomic_fetch_add(&exec->references, 1);
	return exec;
}

static void exec_unref(struct exec *exec)
{
	if (!exec || atomic_fetch_sub(&exec->references, 1) != 1)
		return;
	container_unref(exec->container);
	json_free_fields(&exec->config, exec_config_fields);
	free(exec);
}
DEFINE_AUTO(struct exec, exec_unref)

static int exec_find(struct exec **out_exec, struct engine *engine, const char *id, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);
	struct exec *exec = map_get(&engine->execs, id);

	if (!exec)
		return error_set(err, ERR_NOT_FOUND, "No such exec instance: %s", id);
	*out_exec = exec_ref(exec);
	return 0;
}

/* Without any lock: drops the index's reference. */
static void exec_forget(struct exec *exec)
{
	struct engine *engine = exec->container->engine;
	AUTO_FREE char *path = document_path(exec);
	struct exec *found;

	/* One that closes leaves them to the next. */
	if (!atomic_load(&engine->stopping))
		unlink(path);
	mutex_lock(&engine->index);
	found = map_take(&engine->execs, exec->id);
	mutex_unlock(&engine->index);
	exec_unref(found);
}

static struct exec *take_listed(struct exec *exec)
{
	list_remove(&exec->node);
	return exec;
}

/* The oldest of those that are too many, or any. */
static struct exec *take_ended(struct container *container, bool all)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct exec *ended = NULL;
	struct exec *unstarted = NULL;
	size_t ended_count = 0;
	size_t unstarted_count = 0;

	LIST_FOR_EACH (node, &container->execs) {
		struct exec *exec = list_entry(node, struct exec, node);

		if (all)
			return take_listed(exec);
		if (exec->started && !exec->running && ended_count++ == 0)
			ended = exec;
		if (!exec->started && unstarted_count++ == 0)
			unstarted = exec;
	}
	if (ended_count > ENDED_KEPT)
		return take_listed(ended);
	if (unstarted &&
	    (unstarted_count > UNSTARTED_KEPT || clock_monotonic_ns() - unstarted->created_ns > UNSTARTED_AGE_NS))
		return take_listed(unstarted);
	return NULL;
}

void container_end_execs(struct container *container)
{
	struct exec *exec;

	while ((exec = take_ended(container, true)))
		exec_forget(exec);
}

/* ---- create ---- */

static void exec_event(struct exec *exec, const char *what)
{
	AUTO_FREE char *command = text_list_join(&exec->config.cmd, " ");
	AUTO_FREE char *action = xasprintf("%s: %s ", what, command);
	const char *extras[] = { "execID", exec->id, NULL };

	/* docker: the entry point, a space, and the arguments. */
	if (exec->config.cmd.count > 1)
		action[strlen(action) - 1] = '\0';
	container_event(exec->container, action, extras);
}

static int check_container(struct container *container, const char *name, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;

	if (state->running && state->restarting)
		return error_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running",
				 container->id);
	if (!state->running)
		return error_set(err, ERR_CONFLICT, "container %s is not running", container->id);
	if (container->line_lost)
		return error_set(err, ERR_UNAVAILABLE, "container %s: its shim does not answer", container->id);
	if (state->paused)
		return error_set(err, ERR_CONFLICT, "Container %s is paused, unpause the container before exec", name);
	return 0;
}

static int check_config(const struct exec_config *config, struct error *err)
{
	uint8_t keys[32];
	size_t count;

	if (config->cmd.count == 0 || config->cmd.items[0][0] == '\0')
		return error_set(err, ERR_INVALID, "No exec command specified");
	if (!text_empty(config->working_dir) && !path_is_absolute(config->working_dir))
		return error_set(err, ERR_INVALID,
				 "the working directory '%s' is invalid, it needs to be an absolute path",
				 config->working_dir);
	return detach_keys_parse(keys, &count, config->detach_keys, err);
}

static struct exec *exec_new(struct container *container, const char *id, const struct exec_config *config)
{
	struct exec *exec = xcalloc(1, sizeof(*exec));

	atomic_init(&exec->references, 1);
	memcpy(exec->id, id, sizeof(exec->id));
	memcpy(exec->shim_id, exec->id, SHIM_ID_SIZE);
	json_copy_fields(&exec->config, config, exec_config_fields);
	if (config->console_size.count == 2) {
		exec->height = (uint16_t)config->console_size.items[0].value;
		exec->width = (uint16_t)config->console_size.items[1].value;
	}
	exec->created_ns = clock_monotonic_ns();
	exec->container = container_ref(container);
	return exec;
}

/* The index takes the reference. */
static void enter(struct exec *exec)
{
	struct container *container = exec->container;

	mutex_lock(&container->engine->index);
	map_set(&container->engine->execs, exec->id, exec);
	mutex_unlock(&container->engine->index);
	mutex_lock(&container->mutex);
	list_add_last(&container->execs, &exec->node);
	mutex_unlock(&container->mutex);
}

int exec_create(char **out_id, struct engine *engine, const char *name, const struct exec_config *config,
		struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	struct exec *old;
	struct exec *exec;
	char id[65];

	if (container_find(&container, engine, name, err) < 0 || check_container(container, name, err) < 0 ||
	    check_config(config, err) < 0)
		return -1;
	while ((old = take_ended(container, false)))
		exec_forget(old);
	random_hex(id, 32);
	exec = exec_new(container, id, config);
	*out_id = xstrdup(exec->id);
	exec_ref(exec);
	save_new(exec);
	fault_point("kistd exec: written down");
	enter(exec);
	exec_event(exec, "exec_create");
	exec_unref(exec);
	return 0;
}

/* ---- start ---- */

static void set_privileged(struct spec_process *process, uint64_t available)
{
	struct spec_capabilities *sets = process->capabilities;

	if (!sets) {
		sets = xcalloc(1, sizeof(*sets));
		process->capabilities = sets;
	}
	text_list_fini(&sets->bounding);
	text_list_fini(&sets->effective);
	text_list_fini(&sets->permitted);
	for (unsigned bit = 0; bit < 64; bit++)
		if ((available >> bit & 1) && capability_name(bit))
			text_list_add(&sets->bounding, capability_name(bit));
	text_list_add_all(&sets->effective, &sets->bounding);
	text_list_add_all(&sets->permitted, &sets->bounding);
}

/* The container's own process with the exec's words in place. */
static void apply_config(struct spec_process *process, const struct exec *exec)
{
	const struct exec_config *config = &exec->config;

	text_list_fini(&process->args);
	text_list_add_all(&process->args, &config->cmd);
	process->terminal = config->tty;
	free(process->console_size);
	process->console_size = NULL;
	if (exec->height && exec->width) {
		process->console_size = xcalloc(1, sizeof(*process->console_size));
		process->console_size->height = exec->height;
		process->console_size->width = exec->width;
	}
	if (config->tty && !text_list_env(&process->env, "TERM"))
		text_list_set_env(&process->env, "TERM", "xterm");
	for (size_t i = 0; i < config->env.count; i++) {
		const char *equals = strchr(config->env.items[i], '=');
		AUTO_FREE char *key = equals ? xstrndup(config->env.items[i], (size_t)(equals - config->env.items[i]))
					     : NULL;

		if (key)
			text_list_set_env(&process->env, key, equals + 1);
	}
	if (!text_empty(config->working_dir)) {
		free(process->cwd);
		process->cwd = xstrdup(config->working_dir);
	}
	if (!text_empty(config->user)) {
		free(process->user.username);
		process->user.username = xstrdup(config->user);
	}
	if (config->privileged)
		set_privileged(process, exec->container->engine->capabilities);
}

static char *process_json(const struct exec *exec, struct error *err)
{
	AUTO_FREE char *path = path_join(exec->container->bundle, "config.json");
	AUTO_FREE char *text = NULL;
	struct spec spec = { 0 };
	char *json = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, CONFIG_MAX);

	if (r < 0) {
		error_set_errno(err, ERR_INTERNAL, r, "read %s", path);
		return NULL;
	}
	if (spec_parse(&spec, text, size, err) < 0)
		return NULL;
	if (spec.process) {
		apply_config(spec.process, exec);
		json = json_encode(spec.process, spec_process_fields);
	} else {
		error_set(err, ERR_INTERNAL, "%s: no process", path);
	}
	spec_fini(&spec);
	return json;
}

static int add_to_shim(struct task_client *task, const struct exec *exec, int cancel_fd, struct error *err)
{
	AUTO_FREE char *json = process_json(exec, err);
	char type[] = TYPE_PROCESS_JSON;
	char none[] = "none:";
	char input[] = "attach:?once=1";
	struct task_exec_request request = {
		.id = exec->container->id,
		.exec_id = (char *)(uintptr_t)exec->shim_id,
		.terminal = exec->config.tty,
		.stdin_uri = exec->config.attach_stdin ? input : NULL,
		.stdout_uri = none,
		.stderr_uri = exec->config.tty ? NULL : none,
		.spec = { .type_url = type },
	};

	if (!json)
		return -1;
	request.spec.value.data = (uint8_t *)json;
	request.spec.value.size = strlen(json);
	return task_exec(task, &request, cancel_fd, err);
}

static void set_end(struct exec *exec, int64_t exit_code)
{
	struct container *container = exec->container;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);

	exec->running = false;
	exec->exit_code = (struct optional_i64){ true, exit_code };
	watch_notify(&container->changes);
}

static bool is_running(struct exec *exec)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&exec->container->mutex);

	return exec->running;
}

void exec_await_end(struct exec *exec, int cancel_fd)
{
	struct container *container = exec->container;
	AUTO(error_clear) struct error err = { 0 };
	int64_t deadline = clock_monotonic_ns() + EXIT_CODE_PATIENCE_NS;
	struct watcher watcher;

	if (watcher_open(&watcher, &err) < 0)
		return;
	mutex_lock(&container->mutex);
	watch_add(&container->changes, &watcher);
	mutex_unlock(&container->mutex);
	while (is_running(exec) && watcher_wait(&watcher, cancel_fd, container->engine->closing_fd, deadline, &err) > 0)
		;
	mutex_lock(&container->mutex);
	watch_remove(&watcher);
	mutex_unlock(&container->mutex);
	watcher_close(&watcher);
}

void exec_release(struct exec *exec)
{
	exec_unref(exec);
}

static void die_event(struct exec *exec, int64_t exit_code)
{
	char code[24];
	const char *extras[] = { "execID", exec->id, "exitCode", code, NULL };

	snprintf(code, sizeof(code), "%lld", (long long)exit_code);
	container_event(exec->container, "exec_die", extras);
}

static bool has_line_or_ended(struct container *container, void *arg)
{
	(void)arg;
	return container->task || !container->document.state.running;
}

/* The line broke: the container's monitor finds another. false: the container has ended, or the engine closes. */
static bool take_new_line(struct exec *exec)
{
	struct container *container = exec->container;
	AUTO(error_clear) struct error err = { 0 };

	container_return_task(container);
	exec->task = NULL;
	if (container_await(container, has_line_or_ended, NULL, -1, clock_monotonic_ns() + LINE_PATIENCE_NS, &err) > 0)
		exec->task = container_borrow_task(container, &err);
	return exec->task != NULL;
}

/* 1 its end, 0 the engine closes, -1 nobody knows it any more. */
static int await_exit(struct exec *exec, struct task_exit *out_end)
{
	struct engine *engine = exec->container->engine;

	for (;;) {
		AUTO(error_clear) struct error err = { 0 };

		if (exec->task &&
		    task_wait(exec->task, exec->container->id, exec->shim_id, out_end, engine->closing_fd, &err) == 0)
			return 1;
		if (atomic_load(&engine->stopping))
			return 0;
		if (err.kind == ERR_NOT_FOUND || !exec->task)
			return -1;
		clock_sleep_ms(LINE_PAUSE_MS);
		if (!take_new_line(exec))
			return atomic_load(&engine->stopping) ? 0 : -1;
	}
}

/* Owns a reference to the exec and a borrowed task. */
static void *wait_for_exec(void *arg)
{
	struct exec *exec = arg;
	struct container *container = exec->container;
	struct engine *engine = container->engine;
	AUTO(error_clear) struct error err = { 0 };
	struct task_exit end = { .exit_status = 137 };
	struct task_exit deleted;
	int r = await_exit(exec, &end);

	fault_point("kistd exec: end is known");
	/* An engine that closes knows of no end: the next one finds the exec again. */
	if (r != 0) {
		/* Who waits for the end finds its event published. */
		die_event(exec, end.exit_status);
		set_end(exec, end.exit_status);
		save_step(exec);
	}
	fault_point("kistd exec: end written down");
	if (r > 0)
		task_delete(exec->task, container->id, exec->shim_id, &deleted, engine->closing_fd, &err);
	if (exec->task)
		container_return_task(container);
	exec_unref(exec);
	engine_thread_end(engine);
	return NULL;
}

static int watch_end(struct exec *exec, struct error *err)
{
	struct engine *engine = exec->container->engine;

	engine_thread_begin(engine);
	if (thread_start(NULL, "exec", wait_for_exec, exec_ref(exec), err) == 0)
		return 0;
	/* Never the last one: the caller has his own. */
	atomic_fetch_sub(&exec->references, 1);
	engine_thread_end(engine);
	return -1;
}

/* dockerd looks users up itself, before any runtime. */
static bool is_unknown_user(const char *message)
{
	return text_has_prefix(message, "unable to find user") || text_has_prefix(message, "unable to find group");
}

static void frame_exec_error(struct error *err)
{
	AUTO_FREE char *text = err->message;

	lower_errno_words(text);
	if (is_unknown_user(text))
		err->message = take_ptr(text);
	/* So far another runtime than ours has said it itself. */
	else if (text_has_prefix(text, "OCI runtime exec failed"))
		err->message = xasprintf("%s: unknown", text);
	else
		err->message = xasprintf("OCI runtime exec failed: exec failed: unable to start container process: "
					 "%s: unknown",
					 text);
}

/* A start that was given up may have begun: the process must not run without anybody who waits for it. */
static void abandon(struct exec *exec, struct task_client *task)
{
	struct container *container = exec->container;
	AUTO(error_clear) struct error err = { 0 };
	struct task_exit end;

	if (task_kill(task, container->id, exec->shim_id, SIGKILL, false, -1, &err) == 0)
		task_wait(task, container->id, exec->shim_id, &end, container->engine->closing_fd, &err);
	error_clear(&err);
	task_delete(task, container->id, exec->shim_id, &end, -1, &err);
}

/* With a borrowed task; gives it to the waiting thread if that starts. */
static int run(struct exec *exec, struct task_client *task, struct attach *attach, int cancel_fd, struct error *err)
{
	struct container *container = exec->container;
	uint32_t pid = 0;
	int r;

	if (add_to_shim(task, exec, cancel_fd, err) < 0)
		return -1;
	fault_point("kistd exec: added to the shim");
	if (attach) {
		mutex_lock(&container->mutex);
		r = attach_open_line(attach, exec->shim_id, err);
		mutex_unlock(&container->mutex);
	} else {
		r = 0;
	}
	if (r == 0)
		r = task_start(task, container->id, exec->shim_id, &pid, cancel_fd, err);
	if (r < 0) {
		abandon(exec, task);
		return -1;
	}
	fault_point("kistd exec: started");
	mutex_lock(&container->mutex);
	exec->pid = pid;
	exec->task = task;
	mutex_unlock(&container->mutex);
	save_step(exec);
	fault_point("kistd exec: start written down");
	exec_event(exec, "exec_start");
	if (watch_end(exec, err) < 0) {
		abandon(exec, task);
		return -1;
	}
	return 0;
}

/* Marks it started; refuses a second time. */
static int claim(struct exec *exec, const struct exec_start_options *options, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&exec->container->mutex);

	if (exec->running)
		return error_set(err, ERR_CONFLICT, "exec command %s is already running", exec->id);
	if (exec->started)
		return error_set(err, ERR_CONFLICT, "exec command %s has already run", exec->id);
	exec->started = true;
	exec->running = true;
	if (options->height && options->width) {
		exec->height = options->height;
		exec->width = options->width;
	}
	return 0;
}

static int make_attach(struct attach **out_attach, struct exec *exec, struct error *err)
{
	const struct attach_options options = {
		.stdin_wanted = exec->config.attach_stdin,
		.stdout_wanted = exec->config.attach_stdout,
		.stderr_wanted = exec->config.attach_stderr,
		.stream = true,
		.detach_keys = exec->config.detach_keys,
	};

	if (attach_new(out_attach, exec->container, &options, exec->config.tty, err) < 0)
		return -1;
	free((*out_attach)->detach_event);
	(*out_attach)->detach_event = xstrdup("exec_detach");
	(*out_attach)->exec = exec_ref(exec);
	return 0;
}

/* The command could not be started: with a client, that is output and an exit code, not an error. */
static int end_failed(struct exec *exec, struct attach *attach, struct error *err)
{
	int64_t code;

	frame_exec_error(err);
	code = is_unknown_user(err->message) ? 126 : launch_exit_code(err->message);
	set_end(exec, code);
	save_step(exec);
	die_event(exec, code);
	if (!attach) {
		if (err->kind == ERR_INTERNAL && code != 128)
			err->kind = ERR_INVALID;
		return -1;
	}
	attach->message = xasprintf("%s\r\n", err->message);
	if (attach->fd >= 0)
		close(attach->fd);
	attach->fd = -1;
	attach->ended = true;
	error_clear(err);
	return 0;
}

int exec_start(struct attach **out_attach, struct engine *engine, const char *exec_id,
	       const struct exec_start_options *options, int cancel_fd, struct error *err)
{
	AUTO(exec_unrefp) struct exec *exec = NULL;
	AUTO(attach_freep) struct attach *attach = NULL;
	struct task_client *task;

	*out_attach = NULL;
	if (exec_find(&exec, engine, exec_id, err) < 0 ||
	    check_container(exec->container, exec->container->id, err) < 0)
		return -1;
	if (!options->detach && make_attach(&attach, exec, err) < 0)
		return -1;
	task = container_borrow_task(exec->container, err);
	if (!task)
		return -1;
	if (claim(exec, options, err) < 0) {
		container_return_task(exec->container);
		return -1;
	}
	if (run(exec, task, attach, cancel_fd, err) < 0) {
		container_return_task(exec->container);
		if (end_failed(exec, attach, err) < 0)
			return -1;
	}
	*out_attach = take_ptr(attach);
	return 0;
}

int exec_kill(struct engine *engine, const char *exec_id, int signal, struct error *err)
{
	AUTO(exec_unrefp) struct exec *exec = NULL;
	struct task_client *task;
	int r;

	if (exec_find(&exec, engine, exec_id, err) < 0)
		return -1;
	task = container_borrow_task(exec->container, err);
	if (!task)
		return -1;
	r = task_kill(task, exec->container->id, exec->shim_id, signal, false, -1, err);
	container_return_task(exec->container);
	return r;
}

int exec_resize(struct engine *engine, const char *exec_id, uint16_t height, uint16_t width, struct error *err)
{
	AUTO(exec_unrefp) struct exec *exec = NULL;
	struct task_client *task;
	bool running;
	int r;

	if (exec_find(&exec, engine, exec_id, err) < 0)
		return -1;
	mutex_lock(&exec->container->mutex);
	running = exec->running && exec->pid;
	exec->height = height;
	exec->width = width;
	mutex_unlock(&exec->container->mutex);
	if (!running)
		return error_set(err, ERR_CONFLICT, "exec process is not running");
	task = container_borrow_task(exec->container, err);
	if (!task)
		return -1;
	r = task_resize(task, exec->container->id, exec->shim_id, width, height, -1, err);
	container_return_task(exec->container);
	return r;
}

int exec_inspect(struct exec_inspect *out_inspect, struct engine *engine, const char *exec_id, struct error *err)
{
	AUTO(exec_unrefp) struct exec *exec = NULL;
	const struct exec_config *config;

	if (exec_find(&exec, engine, exec_id, err) < 0)
		return -1;
	config = &exec->config;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&exec->container->mutex);

	memset(out_inspect, 0, sizeof(*out_inspect));
	out_inspect->id = xstrdup(exec->id);
	out_inspect->container_id = xstrdup(exec->container->id);
	out_inspect->running = exec->running;
	out_inspect->exit_code = exec->exit_code;
	out_inspect->pid = exec->pid;
	out_inspect->open_stdin = config->attach_stdin;
	out_inspect->open_stdout = config->attach_stdout;
	out_inspect->open_stderr = config->attach_stderr;
	out_inspect->can_remove = exec->started && !exec->running;
	out_inspect->detach_keys = xstrdup(text_or_empty(config->detach_keys));
	out_inspect->process.tty = config->tty;
	out_inspect->process.privileged = (struct optional_bool){ true, config->privileged };
	out_inspect->process.user = text_empty(config->user) ? NULL : xstrdup(config->user);
	out_inspect->process.entrypoint = xstrdup(config->cmd.items[0]);
	for (size_t i = 1; i < config->cmd.count; i++)
		text_list_add(&out_inspect->process.arguments, config->cmd.items[i]);
	return 0;
}

/* ---- found again ---- */

static void restore_one(struct container *container, const struct exec_document *document, const struct exec_step *step)
{
	AUTO(error_clear) struct error err = { 0 };
	struct exec *exec;

	if (strlen(document->id) != 64)
		return;
	exec = exec_new(container, document->id, &document->config);
	/* Killed while it was being started, which nobody was told of: then it may be started still. */
	exec->started = step->pid > 0 || step->exit_code.set;
	exec->running = step->running && step->pid > 0;
	exec->exit_code = step->exit_code;
	exec->pid = step->pid;
	exec_ref(exec);
	enter(exec);
	if (exec->running) {
		exec->task = container_borrow_task(container, &err);
		if (!exec->task || watch_end(exec, &err) < 0) {
			engine_log_error(container->engine, "an exec is not watched", exec->id, &err);
			if (exec->task)
				container_return_task(container);
			set_end(exec, 137);
		}
	}
	exec_unref(exec);
}

static void restore_file(struct container *container, int folder_fd, const char *name)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *text = NULL;
	struct exec_document document = { 0 };
	struct exec_step step = { 0 };

	if (file_read(&text, NULL, folder_fd, name, CONFIG_MAX) < 0)
		return;
	text_list_split(&lines, text, '\n');
	if (lines.count == 0 ||
	    json_decode(&document, exec_document_fields, lines.items[0], strlen(lines.items[0]), &err) < 0)
		return;
	for (size_t i = 1; i < lines.count; i++) {
		AUTO(error_clear) struct error half = { 0 };
		struct exec_step next = { 0 };

		if (json_decode(&next, exec_step_fields, lines.items[i], strlen(lines.items[i]), &half) == 0)
			step = next;
	}
	restore_one(container, &document, &step);
	json_free_fields(&document, exec_document_fields);
}

void container_restore_execs(struct container *container)
{
	AUTO_CLOSEDIR DIR *folder = container->document.state.running ? opendir(container->bundle) : NULL;
	const struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (text_has_prefix(entry->d_name, DOCUMENT_PREFIX) && text_has_suffix(entry->d_name, DOCUMENT_SUFFIX))
			restore_file(container, dirfd(folder), entry->d_name);
}

/* Ids of the execs that run or may run, for inspect. */
void container_exec_ids(struct container *container, struct text_list *out_ids)
{
	mutex_assert_held(&container->mutex);
	LIST_FOR_EACH (node, &container->execs) {
		const struct exec *exec = list_entry(node, struct exec, node);

		if (exec->running || !exec->started)
			text_list_add(out_ids, exec->id);
	}
}
