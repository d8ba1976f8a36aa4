/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: every verb but create and exec begins with `struct found`: the
 * folder, the record and the status of the container as they are now. Nothing
 * is kept between calls; a pid counts only together with its start time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/path.h"
#include "runtime/hook.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_found.h"
#include "runtime/host_process.h"
#include "runtime/host_systemd.h"
#include "runtime/resctrl.h"
#include "runtime/sync.h"
#include "runtime/trace.h"
#include "sys/pidfd_wait.h"

#define END_TIMEOUT_MS 10000
#define EMPTY_AGE_S 60
#define THAW_AFTER_MS 100

/* ---- found ---- */

void found_fini(struct found *found)
{
	if (found->folder_fd >= 0)
		close(found->folder_fd);
	if (found->cgroup)
		cgroup_close(found->cgroup);
	record_fini(&found->record);
}

int found_open(struct found *out_found, const struct runtime *runtime, const char *id, struct error *err)
{
	out_found->folder_fd = record_open_folder(runtime, id, err);
	if (out_found->folder_fd < 0 || record_load(&out_found->record, out_found->folder_fd, id, err) < 0)
		return -1;
	out_found->status = record_status(&out_found->record, out_found->folder_fd);
	return 0;
}

int found_open_cgroup(struct found *found, struct error *err)
{
	if (found->cgroup)
		return 0;
	if (text_empty(found->record.cgroup_path))
		return error_set(err, ERR_UNSUPPORTED, "container %s has no cgroup of ours", found->record.id);
	return cgroup_open(&found->cgroup, found->record.cgroup_path, err);
}

/* Running containers may be paused; only the freezer knows. */
void found_look_at_freezer(struct found *found)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (found->status == RUNTIME_RUNNING && found_open_cgroup(found, &ignored) == 0 &&
	    cgroup_is_frozen(found->cgroup, &ignored) == 1)
		found->status = RUNTIME_PAUSED;
}

static bool is_alive(const struct found *found)
{
	return found->status == RUNTIME_CREATED || found->status == RUNTIME_RUNNING || found->status == RUNTIME_PAUSED;
}

/* The pidfd of the recorded process, or -1 if it has ended meanwhile. */
static int open_pidfd(const struct found *found)
{
	AUTO_CLOSE int pidfd = pidfd_of((pid_t)found->record.pid);

	/* Opened first, compared second: a pid that was reused is found out. */
	if (pidfd < 0 || !record_is_alive(&found->record))
		return -1;
	return take_fd(&pidfd);
}

/* ---- state ---- */

const char *runtime_status_name(enum runtime_status status)
{
	static const char *const names[] = { [RUNTIME_CREATING] = "creating",
					     [RUNTIME_CREATED] = "created",
					     [RUNTIME_RUNNING] = "running",
					     [RUNTIME_PAUSED] = "paused",
					     [RUNTIME_STOPPED] = "stopped" };

	return names[status];
}

void runtime_state_fini(struct runtime_state *state)
{
	free(state->id);
	free(state->bundle);
	free(state->rootfs);
	free(state->created);
	free(state->owner);
	text_map_fini(&state->annotations);
	*state = (struct runtime_state){ 0 };
}

/* The group tells of the OOM killer as long as it is there; only what a SIGKILL ended can be its work. */
static void look_at_end(struct found *found, struct runtime_state *state)
{
	AUTO(error_clear) struct error ignored = { 0 };
	int status;

	if (found->status != RUNTIME_STOPPED)
		return;
	if (record_read_end(&found->record, &status)) {
		if (WIFSIGNALED(status))
			state->signal = (struct optional_i64){ true, WTERMSIG(status) };
		else
			state->exit_status = (struct optional_i64){ true, WEXITSTATUS(status) };
	}
	if (found_open_cgroup(found, &ignored) == 0)
		state->oom_killed = (struct optional_bool){ true, !state->exit_status.set &&
									  cgroup_oom_kills(found->cgroup) > 0 };
}

int runtime_note_end(const struct runtime *runtime, const char *id, int wait_status, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (found_open(&found, runtime, id, err) < 0)
		return -1;
	found.record.wait_status = (struct optional_i64){ true, wait_status };
	return record_save(found.folder_fd, &found.record, err);
}

int runtime_load_state(struct runtime_state *out_state, const struct runtime *runtime, const char *id,
		       struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (found_open(&found, runtime, id, err) < 0)
		return -1;
	found_look_at_freezer(&found);
	*out_state = (struct runtime_state){ .id = xstrdup(id),
					     .bundle = xstrdup(text_or_empty(found.record.bundle)),
					     .rootfs = xstrdup(text_or_empty(found.record.rootfs)),
					     .created = xstrdup(text_or_empty(found.record.created)),
					     .owner = xasprintf("%u", found.record.owner),
					     .status = found.status,
					     .pid = is_alive(&found) ? (pid_t)found.record.pid : 0 };
	text_map_copy(&out_state->annotations, &found.record.annotations);
	look_at_end(&found, out_state);
	return 0;
}

/* Killed before it could write who it was. rmdir() spares what is in use. */
static bool remove_empty(const struct runtime *runtime, const char *id)
{
	AUTO_FREE char *path = path_join(runtime->root, id);
	struct stat st;

	return stat(path, &st) == 0 && st.st_mtim.tv_sec + EMPTY_AGE_S < clock_wall_ns() / CLOCK_SECOND &&
	       rmdir(path) == 0;
}

bool host_sweep(const struct runtime *runtime, const char *id)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(record_fini) struct record record = { 0 };
	AUTO_CLOSE int folder_fd = record_open_folder(runtime, id, &ignored);

	if (folder_fd < 0 || record_load(&record, folder_fd, id, &ignored) < 0)
		return false;
	if (record.creator <= 0 && record.pid <= 0)
		return remove_empty(runtime, id);
	return record_is_abandoned(&record) && runtime_delete(runtime, id, true, &ignored) == 0;
}

int runtime_list(struct text_list *out_ids, const struct runtime *runtime, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = opendir(runtime->root);
	const struct dirent *entry;
	AUTO(error_clear) struct error ignored = { 0 };

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set_errno(err, ERR_INTERNAL, errno, "read state folder %s", runtime->root);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (record_check_id(entry->d_name, &ignored) < 0)
			error_clear(&ignored);
		else if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
			 !host_sweep(runtime, entry->d_name))
			text_list_add(out_ids, entry->d_name);
	}
	text_list_sort(out_ids);
	return 0;
}

/* ---- start ---- */

/* Unlinked before init hears of it: whatever happens then, the container is no longer "created". */
static int connect_to_init(const struct found *found, struct error *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/start", found->folder_fd);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "reach the init of container %s", found->record.id);
	if (unlinkat(found->folder_fd, "start", 0) < 0)
		return error_set(err, ERR_CONFLICT, "container %s is being started already", found->record.id);
	if (sync_send(fd, SYNC_GO, err) < 0)
		return -1;
	return take_fd(&fd);
}

/* The specification: a failed poststart hook stops and deletes the container. */
static int run_poststart(const struct found *found, const struct runtime *runtime, struct error *err)
{
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *state = NULL;

	if (record_load_spec(&spec, found->folder_fd, err) < 0)
		return -1;
	if (!spec.hooks.poststart.count)
		return 0;
	state = record_state_json(&found->record, RUNTIME_RUNNING, found->record.pid);
	if (hook_run_list(&spec.hooks.poststart, "poststart", state, NULL, err) == 0)
		return 0;
	runtime_delete(runtime, found->record.id, true, &ignored);
	return -1;
}

int runtime_start(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;
	AUTO_CLOSE int talk_fd = -1;

	if (found_open(&found, runtime, id, err) < 0)
		return -1;
	if (found.status == RUNTIME_STOPPED)
		return error_set(err, ERR_CONFLICT, "cannot start a container that has stopped");
	if (found.status != RUNTIME_CREATED)
		return error_set(err, ERR_CONFLICT, "cannot start a container that is not created: container %s is %s",
				 id, runtime_status_name(found.status));
	trace_mark(runtime->trace, "state");
	talk_fd = connect_to_init(&found, err);
	if (talk_fd < 0)
		return -1;
	trace_mark(runtime->trace, "reach init");
	if (host_process_await_exec(talk_fd, err) < 0)
		return -1;
	trace_mark(runtime->trace, "wait for execve");
	if (run_poststart(&found, runtime, err) < 0)
		return -1;
	trace_mark(runtime->trace, "poststart hooks");
	return 0;
}

/* ---- kill, delete ---- */

/* A frozen process of cgroup v1 does not die before it thaws. */
static void thaw(struct found *found)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (found_open_cgroup(found, &ignored) == 0 && cgroup_is_frozen(found->cgroup, &ignored) == 1)
		cgroup_freeze(found->cgroup, false, &ignored);
}

static int kill_all(struct found *found, int signal, struct error *err)
{
	if (found_open_cgroup(found, err) < 0 || cgroup_kill(found->cgroup, signal, err) < 0)
		return -1;
	if (signal == SIGKILL)
		thaw(found);
	return 0;
}

static int kill_init(struct found *found, int signal, struct error *err)
{
	AUTO_CLOSE int pidfd = is_alive(found) ? open_pidfd(found) : -1;
	int r = pidfd < 0 ? -ESRCH : pidfd_signal(pidfd, signal);

	if (r == -ESRCH)
		return error_set(err, ERR_CONFLICT, "container not running");
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "send signal %d to container %s", signal,
				       found->record.id);
	if (signal == SIGKILL)
		thaw(found);
	return 0;
}

int runtime_kill(const struct runtime *runtime, const char *id, int signal, bool all, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (found_open(&found, runtime, id, err) < 0)
		return -1;
	/* Without a pid namespace of its own, init's death does not end the others. */
	if (!all && signal == SIGKILL && !found.record.own_pid_namespace && found.record.cgroup_path)
		all = true;
	/* No group to go through; but init takes all others with it. */
	if (all && signal == SIGKILL && found.record.own_pid_namespace && text_empty(found.record.cgroup_path))
		all = false;
	if (all && (is_alive(&found) || !found.record.own_pid_namespace))
		return kill_all(&found, signal, err);
	/* runc: all of nothing is no error. */
	if (all)
		return 0;
	return kill_init(&found, signal, err);
}

static int end_init(struct found *found, struct error *err)
{
	AUTO_CLOSE int pidfd = open_pidfd(found);

	if (pidfd < 0)
		return 0;
	pidfd_signal(pidfd, SIGKILL);
	if (pidfd_ended(pidfd, THAW_AFTER_MS) == 1)
		return 0;
	thaw(found);
	if (pidfd_ended(pidfd, END_TIMEOUT_MS) == 1)
		return 0;
	return error_set(err, ERR_INTERNAL, "container init (pid %lld) did not die within %d s after SIGKILL",
			 (long long)found->record.pid, END_TIMEOUT_MS / 1000);
}

static int remove_cgroup(struct found *found, struct error *err)
{
	AUTO(error_clear) struct error first = { 0 };

	if (text_empty(found->record.cgroup_path))
		return 0;
	if (found_open_cgroup(found, &first) < 0) {
		if (first.kind == ERR_NOT_FOUND)
			return host_systemd_stop(&found->record, err);
		return error_move(err, &first);
	}
	if (!found->record.own_pid_namespace && cgroup_kill(found->cgroup, SIGKILL, &first) < 0)
		error_clear(&first);
	return host_cgroup_remove(found->cgroup, err) < 0 ? -1 : host_systemd_stop(&found->record, err);
}

static void run_poststop(const struct found *found, const struct runtime *runtime)
{
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *state = NULL;

	/* No kept config: create did not come that far. */
	if (!found->record.has_poststop || record_load_spec(&spec, found->folder_fd, &err) < 0)
		return;
	state = record_state_json(&found->record, RUNTIME_STOPPED, 0);
	if (hook_run_list(&spec.hooks.poststop, "poststop", state, NULL, &err) < 0 && runtime->log)
		log_warn(runtime->log, err.message, F("id", found->record.id));
}

/* A create that is stuck, in a hook say: it ends, and its init with it. Then the record is read again. */
static int end_creator(struct found *found, struct error *err)
{
	AUTO_CLOSE int pidfd = found->record.creator > 0 ? pidfd_of((pid_t)found->record.creator) : -1;
	AUTO_FREE char *id = xstrdup(found->record.id);

	if (pidfd >= 0 && found->record.creator != getpid() && !record_is_abandoned(&found->record)) {
		pidfd_signal(pidfd, SIGKILL);
		if (pidfd_ended(pidfd, END_TIMEOUT_MS) != 1)
			return error_set(err, ERR_INTERNAL, "the creator of container %s (pid %lld) did not die", id,
					 (long long)found->record.creator);
	}
	record_fini(&found->record);
	if (record_load(&found->record, found->folder_fd, id, err) < 0)
		return -1;
	found->status = record_status(&found->record, found->folder_fd);
	return 0;
}

/* The processes of a container whose record is damaged or empty: the kept specification leads to its cgroup. */
static int end_unreadable(const struct runtime *runtime, int folder_fd, const char *id, struct error *err)
{
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(record_fini) struct record record = { .id = xstrdup(id) };

	if (runtime->no_cgroups || record_load_spec(&spec, folder_fd, &ignored) < 0 ||
	    host_cgroup_name(&record, runtime, &spec, &ignored) < 0 ||
	    cgroup_open(&cgroup, record.cgroup_path, &ignored) < 0)
		return 0;
	return host_cgroup_remove(cgroup, err) < 0 ? -1 : host_systemd_stop(&record, err);
}

/* With force, a container that is not there is no error, and a damaged record no reason to keep it. */
static int delete_unreadable(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int folder_fd = -1;

	if (err->kind == ERR_NOT_FOUND) {
		error_clear(err);
		return 0;
	}
	folder_fd = record_open_folder(runtime, id, &ignored);
	if (folder_fd < 0)
		return -1;
	if (runtime->log)
		log_warn(runtime->log, err->message, F("id", id));
	error_clear(err);
	return end_unreadable(runtime, folder_fd, id, err) < 0 ? -1 : record_remove_folder(runtime, id, err);
}

/* What a create that is under way, or was killed, still has running. */
static int end_making(struct found *found, const struct runtime *runtime, const char *id, struct error *err)
{
	if (!found->record.creator && end_unreadable(runtime, found->folder_fd, id, err) < 0)
		return -1;
	return found->status == RUNTIME_CREATING ? end_creator(found, err) : 0;
}

static int remove_resctrl(const struct found *found, struct error *err)
{
	if (!text_empty(found->record.resctrl) && rmdir(found->record.resctrl) < 0 && errno != ENOENT)
		return error_set_errno(err, ERR_INTERNAL, errno, "remove %s", found->record.resctrl);
	return 0;
}

int runtime_delete(const struct runtime *runtime, const char *id, bool force, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (found_open(&found, runtime, id, err) < 0)
		return force ? delete_unreadable(runtime, id, err) : -1;
	if (force && end_making(&found, runtime, id, err) < 0)
		return -1;
	if (!force && found.status != RUNTIME_STOPPED && found.status != RUNTIME_CREATED) {
		found_look_at_freezer(&found);
		return error_set(err, ERR_CONFLICT, "cannot delete container %s that is not stopped: %s", id,
				 runtime_status_name(found.status));
	}
	if (is_alive(&found) && end_init(&found, err) < 0)
		return -1;
	fault_point("runtime delete: init ended");
	if (remove_cgroup(&found, err) < 0 || remove_resctrl(&found, err) < 0)
		return -1;
	fault_point("runtime delete: cgroup gone");
	run_poststop(&found, runtime);
	return record_remove_folder(runtime, id, err);
}

/* ---- cgroup verbs ---- */

static int open_alive(struct found *found, const struct runtime *runtime, const char *id, struct error *err)
{
	if (found_open(found, runtime, id, err) < 0)
		return -1;
	if (!is_alive(found))
		return error_set(err, ERR_CONFLICT, "container not running");
	return found_open_cgroup(found, err);
}

int runtime_pause(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (open_alive(&found, runtime, id, err) < 0)
		return -1;
	found_look_at_freezer(&found);
	if (found.status == RUNTIME_PAUSED)
		return error_set(err, ERR_CONFLICT, "container not running: it is paused");
	return cgroup_freeze(found.cgroup, true, err);
}

int runtime_resume(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (open_alive(&found, runtime, id, err) < 0)
		return -1;
	found_look_at_freezer(&found);
	if (found.status != RUNTIME_PAUSED)
		return error_set(err, ERR_CONFLICT, "container not paused");
	return cgroup_freeze(found.cgroup, false, err);
}

int runtime_update(const struct runtime *runtime, const char *id, const struct spec_resources *resources,
		   struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (open_alive(&found, runtime, id, err) < 0)
		return -1;
	if (host_systemd_set(&found.record, resources, err) < 0)
		return -1;
	return host_cgroup_apply(found.cgroup, resources, resources->devices.count > 0, err);
}

int runtime_update_resctrl(const struct runtime *runtime, const char *id, const char *l3_cache_schema,
			   const char *mem_bw_schema, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;
	AUTO(spec_fini) struct spec spec = { 0 };
	struct spec_intel_rdt change = { .l3_cache_schema = (char *)l3_cache_schema,
					 .mem_bw_schema = (char *)mem_bw_schema };

	if (found_open(&found, runtime, id, err) < 0 || record_load_spec(&spec, found.folder_fd, err) < 0)
		return -1;
	if (!spec.linux_.intel_rdt)
		return error_set(err, ERR_UNSUPPORTED,
				 "updating a non-existent Intel RDT configuration is not supported");
	if (resctrl_check(spec.linux_.intel_rdt, err) < 0)
		return -1;
	change.clos_id = spec.linux_.intel_rdt->clos_id;
	return resctrl_update(resctrl_root(), &change, id, err);
}

int runtime_list_pids(struct runtime_pids *out_pids, const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (found_open(&found, runtime, id, err) < 0)
		return -1;
	/* What has ended has no processes; only what lives can lack a group of ours. */
	*out_pids = (struct runtime_pids){ 0 };
	if (found_open_cgroup(&found, err) < 0) {
		if (is_alive(&found))
			return -1;
		error_clear(err);
		return 0;
	}
	return cgroup_pids(found.cgroup, &out_pids->pids, &out_pids->count, err);
}

int runtime_read_stats(struct cgroup_stats *out_stats, const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;

	if (found_open(&found, runtime, id, err) < 0 || found_open_cgroup(&found, err) < 0)
		return -1;
	return cgroup_stats_read(found.cgroup, out_stats, err);
}

int runtime_watch_oom(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(found_fini) struct found found = FOUND_NONE;
	int fd;

	if (found_open(&found, runtime, id, err) < 0 || found_open_cgroup(&found, err) < 0)
		return -1;
	fd = cgroup_oom_watch(found.cgroup);
	if (fd < 0)
		return error_set_errno(err, ERR_UNSUPPORTED, fd, "watch container %s for lack of memory", id);
	return fd;
}
