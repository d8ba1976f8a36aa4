/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/path.h"
#include "base/rollback.h"
#include "base/text.h"
#include "oci/runtime_spec.h"
#include "shim/attach.h"
#include "shim/bundle.h"
#include "shim/oci_binary.h"
#include "shim/task_checkpoint.h"
#include "shim/task_process.h"
#include "shim/task_runtime.h"
#include "sys/cgroup.h"
#include "sys/fd_pass.h"
#include "sys/pidfd_wait.h"

/* ---- creation ---- */

static void task_free(struct task *task)
{
	if (!task)
		return;
	LIST_FOR_EACH (node, &task->execs) {
		struct task_process *process = list_entry(node, struct task_process, node);

		list_remove(&process->node);
		task_process_fini(process);
		free(process);
	}
	task_process_fini(&task->init);
	list_remove(&task->node);
	loop_remove(task->host->loop, &task->oom_watch);
	loop_remove(task->host->loop, &task->fds_watch);
	if (task->fds_fd >= 0)
		unlinkat(task->bundle_fd, "fds", 0);
	if (task->exit_fd >= 0)
		unlinkat(task->bundle_fd, "exit.json.tmp", 0);
	for (size_t i = 0; i < 4; i++) {
		const int fds[] = { task->oom_fd, task->fds_fd, task->exit_fd, task->bundle_fd };

		if (fds[i] >= 0)
			close(fds[i]);
	}
	for (size_t i = 0; i < RUNTIME_NET_COUNT; i++)
		if (task->net_fds[i] >= 0)
			close(task->net_fds[i]);
	cgroup_close(task->cgroup);
	task_restore_free(task->restore);
	oci_binary_free(task->binary);
	free(task->state_root);
	free(task->cache);
	free(task->bundle);
	free(task->id);
	free(task);
}
DEFINE_AUTO(struct task, task_free)

static int parse_options(struct task_runc_options *out_options, const struct task_create_request *request,
			 struct error *err)
{
	if (!text_equal(request->options.type_url, TYPE_RUNC_OPTIONS))
		return 0; /* none, or another runtime's: nothing in it is ours */
	if (proto_decode(out_options, task_runc_options_fields, request->options.value.data,
			 request->options.value.size, err) < 0)
		return error_prefix(err, "runtime options");
	if (!text_empty(out_options->shim_cgroup))
		return error_set(err, ERR_UNSUPPORTED, "runtime option shim_cgroup is not supported");
	return 0;
}

static void free_options(struct task_runc_options *options)
{
	proto_free(options, task_runc_options_fields);
}

/* "<where the bundles are>/.seccomp": engines take no bundle for a name with a dot. */
static char *shared_cache(const char *bundle)
{
	AUTO_FREE char *clean = path_clean(bundle);
	AUTO_FREE char *parent = path_parent(clean);

	return path_join(parent, ".seccomp");
}

static int open_task(struct task **out_task, struct task_host *host, const struct task_create_request *request,
		     const struct task_runc_options *options, struct error *err)
{
	AUTO(task_freep) struct task *task = xcalloc(1, sizeof(*task));
	const struct process_stdio stdio = {
		.terminal = request->terminal,
		.stdin_uri = request->stdin_uri,
		.stdout_uri = request->stdout_uri,
		.stderr_uri = request->stderr_uri,
		.uid = options->io_uid,
		.gid = options->io_gid,
	};

	task->host = host;
	task->io_uid = options->io_uid;
	task->io_gid = options->io_gid;
	task->oom_fd = task->fds_fd = task->exit_fd = -1;
	memset(task->net_fds, -1, sizeof(task->net_fds));
	list_init(&task->execs);
	task->id = xstrdup(request->id);
	task->bundle = xstrdup(request->bundle);
	task->state_root = bundle_state_root(request->bundle, options->root);
	task->cache = shared_cache(task->bundle);
	task->runtime = (struct runtime){ .root = task->state_root,
					  .cache = task->cache,
					  .log = host->log,
					  .systemd_cgroup = options->systemd_cgroup };
	task->bundle_fd = open(request->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (task->bundle_fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open bundle %s", request->bundle);
	if (task_runtime_choose(task, options, err) < 0)
		return -1;
	if (task_process_init(&task->init, task, NULL, &stdio, err) < 0)
		return -1;
	*out_task = take_ptr(task);
	return 0;
}

struct runtime_create_options task_create_options(const struct task *task, const struct task_create_request *request,
						  const struct task_runc_options *options,
						  struct runtime_rootfs_mount *mounts)
{
	int fds[3];

	for (size_t i = 0; i < request->rootfs.count; i++)
		mounts[i] = (struct runtime_rootfs_mount){
			.type = request->rootfs.items[i].type,
			.source = request->rootfs.items[i].source,
			.target = request->rootfs.items[i].target,
			.options = &request->rootfs.items[i].options,
		};
	streams_child_fds(task->init.streams, fds);
	return (struct runtime_create_options){
		.id = task->id,
		.bundle = task->bundle,
		.rootfs_mounts = mounts,
		.rootfs_mount_count = request->rootfs.count,
		.want_netlink = streams_exit_waits(task->init.streams),
		.no_pivot = options->no_pivot_root,
		.process = { .stdio = { fds[0], fds[1], fds[2] },
			     .no_new_keyring = options->no_new_keyring,
			     .foreground = true },
	};
}

static int run_create(struct task *task, const struct task_create_request *request,
		      const struct task_runc_options *options, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process made = RUNTIME_PROCESS_NONE;
	AUTO_FREE struct runtime_rootfs_mount *mounts = xcalloc(request->rootfs.count + 1, sizeof(*mounts));
	struct runtime_create_options create;

	if (!text_empty(request->checkpoint) && task_runtime_must_be_own(task, "a checkpoint", err) < 0)
		return -1;
	if (!text_empty(request->checkpoint))
		return task_restore_new(&task->restore, task, request, err);
	create = task_create_options(task, request, options, mounts);
	if (task_runtime_create(&made, task, &create, err) < 0)
		return -1;
	task_process_take(&task->init, &made);
	for (size_t i = 0; i < RUNTIME_NET_COUNT; i++)
		task->net_fds[i] = take_fd(&made.net_fds[i]);
	/* Compiling a filter that nobody had compiled before takes a megabyte, which no later work of ours needs. */
	malloc_trim(0);
	return 0;
}

static void undo_create(void *arg)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct task *task = arg;

	task_runtime_delete(task, &ignored);
}

/* ---- what hangs on a created container ---- */

static void on_fds_client(struct watch *watch, short revents)
{
	struct task *task = list_entry(watch, struct task, fds_watch);
	AUTO_CLOSE int fd = accept4(task->fds_fd, NULL, NULL, SOCK_CLOEXEC);

	(void)revents;
	if (fd >= 0)
		attach_send_sockets(fd, task->net_fds, RUNTIME_NET_COUNT);
}

static int open_fds_socket(struct task *task, struct error *err)
{
	if (task->net_fds[RUNTIME_NET_ROUTE] < 0)
		return 0;
	task->fds_fd = attach_listen(task->bundle_fd, "fds", err);
	if (task->fds_fd < 0)
		return -1;
	loop_add(task->host->loop, &task->fds_watch, task->fds_fd, POLLIN, on_fds_client);
	return 0;
}

/* Each kill is told once; the last may become known only with the exit. */
static void check_oom(struct task *task)
{
	const struct event_task event = { .container_id = task->id };
	uint64_t kills = task->cgroup ? cgroup_oom_kills(task->cgroup) : 0;

	if (kills <= task->oom_kills)
		return;
	task->oom_kills = kills;
	events_publish(task->host->events, "/tasks/oom", "TaskOOM", &event, event_task_exec_fields);
}

static void on_oom(struct watch *watch, short revents)
{
	struct task *task = list_entry(watch, struct task, oom_watch);
	char ignored[256];

	/* The cgroup that goes away wakes us too. */
	if (read(task->oom_fd, ignored, sizeof(ignored)) <= 0 || (revents & POLLERR))
		loop_remove(task->host->loop, watch);
	check_oom(task);
}

void task_watch_oom(struct task *task)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = bundle_cgroup_path(task->init.pid);

	/* Without a cgroup of its own there is no such event. */
	if (!path || cgroup_open(&task->cgroup, path, &ignored) < 0)
		return;
	task->oom_fd = cgroup_oom_watch(task->cgroup);
	if (task->oom_fd < 0)
		return;
	fd_set_nonblocking(task->oom_fd, true);
	loop_add(task->host->loop, &task->oom_watch, task->oom_fd, POLLIN, on_oom);
}

static void publish_create(const struct task *task, const struct task_create_request *request)
{
	struct event_task_create event = {
		.container_id = request->id,
		.bundle = request->bundle,
		.pid = (uint32_t)task->init.pid,
	};

	event.rootfs.items = request->rootfs.items;
	event.rootfs.count = request->rootfs.count;
	event.io.stdin_uri = request->stdin_uri;
	event.io.stdout_uri = request->stdout_uri;
	event.io.stderr_uri = request->stderr_uri;
	event.io.terminal = request->terminal;
	event.checkpoint = request->checkpoint;
	events_publish(task->host->events, "/tasks/create", "TaskCreate", &event, event_task_create_fields);
}

static int check_request(struct task_host *host, const struct task_create_request *request, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct task *existing;

	if (!bundle_id_is_valid(request->id))
		return error_set(err, ERR_INVALID, "container id %s is invalid", text_or_empty(request->id));
	if (text_empty(request->bundle) || *request->bundle != '/')
		return error_set(err, ERR_INVALID, "bundle %s is not absolute", text_or_empty(request->bundle));
	if (task_find(&existing, host, request->id, &ignored) == 0)
		return error_set(err, ERR_CONFLICT, "container %s exists already", request->id);
	return 0;
}

int task_new(struct task **out_task, struct task_host *host, const struct task_create_request *request,
	     struct error *err)
{
	AUTO(free_options) struct task_runc_options options = { 0 };
	AUTO(task_freep) struct task *task = NULL;
	AUTO(rollback_run) struct rollback undo = { 0 };

	if (check_request(host, request, err) < 0 || parse_options(&options, request, err) < 0 ||
	    open_task(&task, host, request, &options, err) < 0)
		return -1;
	task->exit_fd = bundle_reserve_exit(task->bundle_fd, err);
	if (task->exit_fd < 0)
		return -1;
	fault_point("shim create: exit.json reserved");
	if (run_create(task, request, &options, err) < 0)
		return -1;
	rollback_add(&undo, undo_create, task);
	fault_point("shim create: container made");
	if (open_fds_socket(task, err) < 0 || bundle_write_shim(task->bundle_fd, host->address, err) < 0)
		return -1;
	if (!task->restore)
		task_watch_oom(task);
	rollback_cancel(&undo);
	publish_create(task, request);
	list_add_last(&host->tasks, &task->node);
	fault_point("shim create: told");
	*out_task = take_ptr(task);
	return 0;
}

int task_find(struct task **out_task, struct task_host *host, const char *id, struct error *err)
{
	LIST_FOR_EACH (node, &host->tasks) {
		struct task *task = list_entry(node, struct task, node);

		if (text_equal(task->id, id)) {
			*out_task = task;
			return 0;
		}
	}
	return error_set(err, ERR_NOT_FOUND, "container %s does not exist", text_or_empty(id));
}

int task_find_process(struct task_process **out_process, struct task_host *host, const char *id, const char *exec_id,
		      struct error *err)
{
	struct task *task;

	if (task_find(&task, host, id, err) < 0)
		return -1;
	if (text_empty(exec_id)) {
		*out_process = &task->init;
		return 0;
	}
	LIST_FOR_EACH (node, &task->execs) {
		struct task_process *process = list_entry(node, struct task_process, node);

		if (text_equal(process->exec_id, exec_id)) {
			*out_process = process;
			return 0;
		}
	}
	return error_set(err, ERR_NOT_FOUND, "process %s does not exist", exec_id);
}

/* ---- exec ---- */

static int parse_process(struct spec_process *out_spec, const struct task_exec_request *request, struct error *err)
{
	if (spec_process_parse(out_spec, (const char *)request->spec.value.data, request->spec.value.size, err) < 0)
		return error_prefix(err, "process of exec %s", request->exec_id);
	out_spec->terminal = request->terminal;
	return 0;
}

int task_add_exec(struct task *task, const struct task_exec_request *request, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE struct task_process *process = xcalloc(1, sizeof(*process));
	AUTO_FREE struct spec_process *spec = xcalloc(1, sizeof(*spec));
	struct event_task event = { .container_id = task->id, .id = request->exec_id };
	const struct process_stdio stdio = {
		.terminal = request->terminal,
		.stdin_uri = request->stdin_uri,
		.stdout_uri = request->stdout_uri,
		.stderr_uri = request->stderr_uri,
		.uid = task->io_uid,
		.gid = task->io_gid,
	};
	struct task_process *existing;

	if (!bundle_id_is_valid(request->exec_id))
		return error_set(err, ERR_INVALID, "exec id %s is invalid", text_or_empty(request->exec_id));
	if (task_find_process(&existing, task->host, task->id, request->exec_id, &ignored) == 0)
		return error_set(err, ERR_CONFLICT, "exec %s exists already", request->exec_id);
	if (task->init.state != PROCESS_RUNNING && task->init.state != PROCESS_CREATED)
		return error_set(err, ERR_CONFLICT, "container %s is not running", task->id);
	if (parse_process(spec, request, err) < 0)
		return -1;
	if (task_process_init(process, task, request->exec_id, &stdio, err) < 0) {
		spec_process_fini(spec);
		return -1;
	}
	process->spec = take_ptr(spec);
	list_add_last(&task->execs, &process->node);
	process = NULL; /* its list owns it now */
	fault_point("shim exec: added");
	events_publish(task->host->events, "/tasks/exec-added", "TaskExecAdded", &event, event_task_exec_fields);
	return 0;
}

static int start_exec(struct task_process *process, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process made = RUNTIME_PROCESS_NONE;
	struct task *task = process->task;
	struct event_task event = { .container_id = task->id, .id = process->exec_id };
	struct runtime_exec_options options = { .spec = process->spec, .process = { .foreground = true } };
	int fds[3];

	if (task->init.state != PROCESS_RUNNING)
		return error_set(err, ERR_CONFLICT, "container %s is not running", task->id);
	streams_child_fds(process->streams, fds);
	options.process.stdio = (struct runtime_stdio){ fds[0], fds[1], fds[2] };
	streams_accept(process->streams);
	if (task_runtime_exec(&made, task, &options, err) < 0)
		return -1;
	fault_point("shim exec: started");
	task_process_take(process, &made);
	process->state = PROCESS_RUNNING;
	spec_process_fini(process->spec);
	free(process->spec);
	process->spec = NULL;
	event.pid = (uint32_t)process->pid;
	events_publish(task->host->events, "/tasks/exec-started", "TaskExecStarted", &event, event_task_exec_fields);
	return 0;
}

static int start_init(struct task *task, struct error *err)
{
	struct event_task event = { .container_id = task->id };

	streams_accept(task->init.streams);
	if ((task->restore ? task_restore_start(task, err) : task_runtime_start(task, err)) < 0)
		return -1;
	fault_point("shim start: started");
	task->init.state = PROCESS_RUNNING;
	event.pid = (uint32_t)task->init.pid;
	events_publish(task->host->events, "/tasks/start", "TaskStart", &event, event_task_start_fields);
	return 0;
}

int task_start_process(struct task_process *process, struct error *err)
{
	if (process->state != PROCESS_CREATED)
		return error_set(err, ERR_CONFLICT, "process %s was started already", task_process_id(process));
	return process->exec_id ? start_exec(process, err) : start_init(process->task, err);
}

/* ---- verbs ---- */

static void init_ended(struct task *task, uint32_t exit_status);

/* What a created container's init heeds, which there is none of yet. */
static bool ends_created(int signal)
{
	return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGQUIT || signal == SIGHUP;
}

/* There is no process yet that a signal could end. */
static void end_unrestored(struct task *task, int signal)
{
	task_restore_free(take_ptr(task->restore));
	init_ended(task, 128 + (uint32_t)signal);
}

int task_kill_process(struct task_process *process, int signal, bool all, struct error *err)
{
	struct task *task = process->task;
	int r;

	/* NOT_FOUND: containerd takes it for "already done" */
	if (process->state == PROCESS_ENDED || process->state == PROCESS_TOLD)
		return error_set(err, ERR_NOT_FOUND, "process %s already finished", task_process_id(process));
	if (!process->exec_id && task->restore) {
		if (ends_created(signal))
			end_unrestored(task, signal);
		return 0;
	}
	if (!process->exec_id)
		return task_runtime_kill(task, signal, all, err);
	if (process->pidfd < 0)
		return error_set(err, ERR_CONFLICT, "process %s is not started", task_process_id(process));
	r = pidfd_signal(process->pidfd, signal);
	if (r == -ESRCH)
		return error_set(err, ERR_NOT_FOUND, "process %s already finished", task_process_id(process));
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "signal process %s", task_process_id(process)) : 0;
}

int task_resize_process(struct task_process *process, unsigned width, unsigned height, struct error *err)
{
	if (!process->terminal)
		return error_set(err, ERR_CONFLICT, "process %s has no terminal", task_process_id(process));
	if (process->state == PROCESS_CREATED && process->exec_id) {
		process->width = width;
		process->height = height;
		return 0;
	}
	return streams_resize(process->streams, width, height, err);
}

int task_pause_or_resume(struct task *task, bool pause, struct error *err)
{
	const struct event_task event = { .container_id = task->id };

	if (task_runtime_pause(task, pause, err) < 0)
		return -1;
	task->paused = pause;
	events_publish(task->host->events, pause ? "/tasks/paused" : "/tasks/resumed",
		       pause ? "TaskPaused" : "TaskResumed", &event, event_task_exec_fields);
	return 0;
}

/* A container that was never started dies now; its exit is told like any other. */
static int end_created(struct task *task, struct error *err)
{
	int status = 0;

	if (task->init.state != PROCESS_CREATED)
		return 0;
	if (task->restore) {
		end_unrestored(task, SIGKILL);
		return 0;
	}
	if (task_runtime_delete(task, err) < 0)
		return -1;
	if (waitpid(task->init.pid, &status, 0) == task->init.pid)
		task_reaped(task->host, task->init.pid, status);
	return 0;
}

static int delete_init(struct task *task, struct task_exit_response *out_response, struct error *err)
{
	struct event_task event = { .container_id = task->id, .pid = (uint32_t)task->init.pid };

	if (end_created(task, err) < 0)
		return -1;
	if (task->init.state != PROCESS_TOLD && task->init.state != PROCESS_ENDED)
		return error_set(err, ERR_CONFLICT, "container %s is running", task->id);
	fault_point("shim delete: asked");
	if (task_runtime_delete(task, err) < 0)
		return error_prefix(err, "delete container %s", task->id);
	fault_point("shim delete: container gone");
	/* Output that is still on its way must not hold back the exit event: it comes before delete. */
	LIST_FOR_EACH (node, &task->execs)
		task_process_tell_now(list_entry(node, struct task_process, node));
	task_process_tell_now(&task->init);
	event.exit_status = out_response->exit_status = task->init.exit_status;
	event.exited_at = out_response->exited_at = task->init.exited_at;
	out_response->pid = event.pid;
	events_publish(task->host->events, "/tasks/delete", "TaskDelete", &event, event_task_delete_fields);
	task_free(task);
	fault_point("shim delete: told");
	return 0;
}

int task_delete_process(struct task_process *process, struct task_exit_response *out_response, struct error *err)
{
	struct task *task;

	if (!process->exec_id)
		return delete_init(process->task, out_response, err);
	if (process->state == PROCESS_RUNNING || process->state == PROCESS_ENDED)
		return error_set(err, ERR_CONFLICT, "process %s is running", task_process_id(process));
	*out_response = (struct task_exit_response){ .pid = (uint32_t)process->pid,
						     .exit_status = process->exit_status,
						     .exited_at = process->exited_at };
	task = process->task;
	list_remove(&process->node);
	task_process_fini(process);
	free(process);
	/* A probe every second for a year: what one left in the heap goes back before the next. */
	if (list_empty(&task->execs))
		malloc_trim(0);
	return 0;
}

/* ---- ends ---- */

static void init_ended(struct task *task, uint32_t exit_status)
{
	AUTO(error_clear) struct error err = { 0 };

	check_oom(task);
	/* A pid namespace takes its processes along; a shared one does not. */
	LIST_FOR_EACH (node, &task->execs) {
		const struct task_process *process = list_entry(node, struct task_process, node);

		if (process->state == PROCESS_RUNNING)
			pidfd_signal(process->pidfd, SIGKILL);
	}
	fault_point("shim end: seen");
	if (bundle_write_exit(task->bundle_fd, &task->exit_fd, exit_status, clock_wall_ns(), task->oom_kills > 0,
			      &err) < 0)
		log_error(task->host->log, "exit.json not written", F("id", task->id), F("error", err.message));
	fault_point("shim end: exit.json written");
	task_process_ended(&task->init, exit_status);
}

static bool is_alive(const struct task_process *process, pid_t pid)
{
	return process->pid == pid && (process->state == PROCESS_CREATED || process->state == PROCESS_RUNNING);
}

/* One that was reaped has no number any more: by now it can be another's. */
static struct task_process *find_pid(struct task_host *host, pid_t pid)
{
	LIST_FOR_EACH (task_node, &host->tasks) {
		struct task *task = list_entry(task_node, struct task, node);

		if (is_alive(&task->init, pid))
			return &task->init;
		LIST_FOR_EACH (node, &task->execs) {
			struct task_process *process = list_entry(node, struct task_process, node);

			if (is_alive(process, pid))
				return process;
		}
	}
	return NULL;
}

/* For `kist-runtime state` until it is deleted. What engines rely on is exit.json. */
static void note_end(struct task *task, int wait_status)
{
	AUTO(error_clear) struct error err = { 0 };

	if (task->binary)
		return;
	if (runtime_note_end(&task->runtime, task->id, wait_status, &err) < 0 && err.kind != ERR_NOT_FOUND)
		log_warn(task->host->log, err.message, F("id", task->id));
}

void task_reaped(struct task_host *host, pid_t pid, int wait_status)
{
	struct task_process *process = find_pid(host, pid);
	uint32_t exit_status = WIFSIGNALED(wait_status) ? 128 + (uint32_t)WTERMSIG(wait_status)
							: (uint32_t)WEXITSTATUS(wait_status);

	if (!process)
		return;
	if (process->exec_id) {
		fault_point("shim exec: ended");
		task_process_ended(process, exit_status);
		return;
	}
	note_end(process->task, wait_status);
	init_ended(process->task, exit_status);
}
