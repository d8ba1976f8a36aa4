/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: struct creation collects what was made; creation_undo() takes
 * it away again unless all went well. The order is that of the life of a
 * container: state folder, cgroup, process, hooks, record. init waits for a
 * word from us after each of our parts, and ends if we end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
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
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "runtime/hook.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_check.h"
#include "runtime/host_clone.h"
#include "runtime/host_creation.h"
#include "runtime/host_found.h"
#include "runtime/host_mount.h"
#include "runtime/host_net.h"
#include "runtime/host_process.h"
#include "runtime/host_rootfs.h"
#include "runtime/host_seccomp.h"
#include "runtime/host_systemd.h"
#include "runtime/net_device.h"
#include "runtime/plan.h"
#include "runtime/resctrl.h"
#include "runtime/self_seal.h"
#include "runtime/trace.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"
#include "sys/pidfd_wait.h"

#define CONFIG_MAX (16 << 20)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(take_fd(fd));
}

static void creation_undo(struct creation *creation)
{
	AUTO(error_clear) struct error ignored = { 0 };
	const char *id = creation->record.id;

	host_process_destroy(&creation->process);
	if (creation->cgroup && !creation->whole)
		cgroup_unmake(creation->cgroup);
	else if (creation->cgroup && host_cgroup_remove(creation->cgroup, &ignored) < 0 && creation->plan.runtime->log)
		log_warn(creation->plan.runtime->log, ignored.message, F("id", id));
	if (creation->record.resctrl)
		rmdir(creation->record.resctrl);
	error_clear(&ignored);
	host_systemd_release(&creation->scope);
	if (creation->folder_fd >= 0 && host_systemd_stop(&creation->record, &ignored) < 0)
		error_clear(&ignored);
	if (creation->hooked) {
		AUTO_FREE char *state = record_state_json(&creation->record, RUNTIME_STOPPED, 0);

		hook_run_list(&creation->spec.hooks.poststop, "poststop", state, NULL, &ignored);
		error_clear(&ignored);
	}
	if (creation->folder_fd >= 0)
		record_remove_folder(creation->plan.runtime, id, &ignored);
}

void creation_fini(struct creation *creation)
{
	if (!creation->done)
		creation_undo(creation);
	host_clone_close_joins(&creation->plan);
	host_mount_close(&creation->plan);
	host_rootfs_close(&creation->plan);
	host_seccomp_disconnect(&creation->plan);
	net_device_fini(&creation->plan);
	close_fd(&creation->folder_fd);
	close_fd(&creation->start_fd);
	close_fd(&creation->sync_fd);
	close_fd(&creation->net_fd);
	close_fd(&creation->plan.sync_fd);
	if (creation->cgroup)
		cgroup_close(creation->cgroup);
	seccomp_filter_fini(&creation->filter);
	runtime_process_fini(&creation->process);
	free(creation->plan.rootfs);
	free((void *)creation->plan.idmap.uids);
	free((void *)creation->plan.idmap.gids);
	free(creation->config);
	record_fini(&creation->record);
	spec_fini(&creation->spec);
}

static int load_config(struct creation *creation, const char *bundle, struct error *err)
{
	const char *name = creation->plan.create->config ? creation->plan.create->config : "config.json";
	AUTO_FREE char *path = *name == '/' ? xstrdup(name) : path_join(bundle, name);
	int r = file_read(&creation->config, &creation->config_size, AT_FDCWD, path, CONFIG_MAX);

	if (r == -ENOENT)
		return error_set(err, ERR_NOT_FOUND, "JSON specification file %s not found: %s", name, path);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (spec_parse(&creation->spec, creation->config, creation->config_size, err) < 0)
		return error_prefix(err, "%s", path);
	return 0;
}

static int find_rootfs(struct creation *creation, const char *bundle, struct error *err)
{
	const char *path = creation->spec.root->path;
	AUTO_FREE char *joined = *path == '/' ? path_clean(path) : path_join(bundle, path);
	AUTO_CLOSE int plain = openat2_resolve(AT_FDCWD, joined, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
	struct stat st;

	/* No link in it: it is what it looks like. */
	if (plain >= 0) {
		creation->plan.rootfs = path_clean(joined);
		return 0;
	}
	/* The mounts of the caller will make it; until then the folder itself must be there all the same. */
	creation->plan.rootfs = realpath(joined, NULL);
	if (!creation->plan.rootfs || stat(creation->plan.rootfs, &st) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "root.path: rootfs (%s) does not exist", joined);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "root.path: rootfs (%s) is not a directory", joined);
	return 0;
}

static void fill_record(struct creation *creation, const char *id, const char *bundle)
{
	struct record *record = &creation->record;
	char now[CLOCK_TEXT_MAX];

	record->oci_version = xstrdup(SPEC_VERSION);
	record->id = xstrdup(id);
	record->bundle = xstrdup(bundle);
	record->rootfs = xstrdup(creation->plan.rootfs);
	record->created = xstrdup(clock_format(now, clock_wall_ns()));
	record->owner = geteuid();
	record->creator = getpid();
	record->creator_start = pid_own_start_time(&creation->plan.signals);
	record->own_pid_namespace = spec_find_namespace(&creation->spec, "pid") != NULL;
	record->has_poststop = creation->spec.hooks.poststop.count > 0;
	text_map_copy(&record->annotations, &creation->spec.annotations);
}

/* The record comes first: whatever is made after it can be found again if we are killed. */
static int make_folder(struct creation *creation, const char *id, struct error *err)
{
	const struct runtime *runtime = creation->plan.runtime;

	creation->folder_fd = record_make_folder(runtime, id, err);
	if (creation->folder_fd < 0 && err->kind == ERR_CONFLICT && host_sweep(runtime, id)) {
		error_clear(err);
		creation->folder_fd = record_make_folder(runtime, id, err);
	}
	if (creation->folder_fd < 0)
		return -1;
	if (creation->plan.create->notify && mkdirat(creation->folder_fd, "notify", 0755) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make the folder of the notify socket");
	return record_begin(creation->folder_fd, &creation->record, creation->config, creation->config_size, err);
}

/* Through /proc/self/fd: sun_path is short, state folders may be deep. */
static int listen_for_start(struct creation *creation, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	creation->start_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/start", creation->folder_fd);
	if (creation->start_fd < 0 || bind(creation->start_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(creation->start_fd, 1) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make the start socket");
	creation->plan.start_fd = creation->start_fd;
	return 0;
}

static struct idmap_range *copy_ranges(const spec_id_mappings *mappings)
{
	struct idmap_range *ranges = xcalloc(mappings->count + 1, sizeof(*ranges));

	for (size_t i = 0; i < mappings->count; i++)
		ranges[i] = (struct idmap_range){ mappings->items[i].container_id, mappings->items[i].host_id,
						  mappings->items[i].size };
	return ranges;
}

void creation_plan_idmap(struct creation *creation)
{
	const struct spec_linux *l = &creation->spec.linux_;

	creation->plan.idmap = (struct idmap){ .uids = copy_ranges(&l->uid_mappings),
					       .uid_count = l->uid_mappings.count,
					       .gids = copy_ranges(&l->gid_mappings),
					       .gid_count = l->gid_mappings.count };
}

static bool asks_for_limits(const struct spec_resources *resources)
{
	return resources && (resources->memory || resources->cpu || resources->pids || resources->block_io ||
			     resources->hugepage_limits.count || resources->unified.count);
}

static int drop_cgroup(struct creation *creation)
{
	if (creation->cgroup) {
		cgroup_unmake(creation->cgroup);
		cgroup_close(take_ptr(creation->cgroup));
	}
	return 0;
}

static bool is_rootless(const struct creation *creation)
{
	enum runtime_rootless rootless = creation->plan.runtime->rootless;

	return rootless == RUNTIME_ROOTLESS_TRUE || (rootless == RUNTIME_ROOTLESS_AUTO && creation->record.owner != 0);
}

/* A user without delegated cgroups gets a container without one, unless limits were asked for. */
static int without_cgroup(struct creation *creation, struct error *err)
{
	const struct spec_linux *l = &creation->spec.linux_;
	const struct log *log = creation->plan.runtime->log;

	if (!is_rootless(creation) || (err->errnum != EACCES && err->errnum != EPERM && err->errnum != EROFS))
		return -1;
	if (asks_for_limits(l->resources) || !text_empty(l->cgroups_path))
		return error_prefix(err, "limits need a cgroup that is delegated to user %u", geteuid());
	if (log)
		log_warn(log, "no cgroup is delegated to this user: the container runs without one",
			 F("reason", err->message));
	error_clear(err);
	free(take_ptr(creation->record.cgroup_path));
	return drop_cgroup(creation);
}

/* Who the container's own user is outside may manage the groups below, if it can see and write to them. */
static int delegate(const struct creation *creation, struct error *err)
{
	const struct plan *plan = &creation->plan;
	int64_t owner = idmap_to_host(plan->idmap.uids, plan->idmap.uid_count, creation->spec.process->user.uid);

	if (creation->record.owner != 0 || !(plan->new_namespaces & CLONE_NEWUSER) ||
	    !(plan->new_namespaces & CLONE_NEWCGROUP) || owner < 0 || !host_cgroup_is_writable(&creation->spec))
		return 0;
	return cgroup_delegate(creation->cgroup, (uid_t)owner, err);
}

/*
 * systemd makes the group, with its helper as first process. That one may not count against pids.limit: a container
 * with a limit of 1 could not be born. settle_unit() puts the limit back.
 */
static int make_unit(struct creation *creation, struct error *err)
{
	const struct spec_resources *resources = creation->spec.linux_.resources;
	struct spec_resources most = resources ? *resources : (struct spec_resources){ 0 };
	struct spec_pids no_limit = { .limit = { true, -1 } };

	creation->whole = true;
	if (host_systemd_start(&creation->scope, &creation->record, &creation->spec, err) < 0 ||
	    cgroup_create(&creation->cgroup, creation->record.cgroup_path, 0, err) < 0)
		return error_prefix(err, "unit %s", creation->record.unit);
	creation->plan.cgroup = creation->cgroup;
	if (most.pids)
		most.pids = &no_limit;
	if (host_cgroup_apply(creation->cgroup, &most, true, err) < 0)
		return error_prefix(err, "unit %s", creation->record.unit);
	return delegate(creation, err);
}

/* The container lives in its group by now. */
int creation_settle_unit(struct creation *creation, struct error *err)
{
	const struct spec_resources *resources = creation->spec.linux_.resources;
	struct spec_resources only_pids = { .pids = resources ? resources->pids : NULL };

	if (text_empty(creation->record.unit))
		return 0;
	host_systemd_release(&creation->scope);
	return only_pids.pids ? host_cgroup_apply(creation->cgroup, &only_pids, false, err) : 0;
}

static int apply_limits(struct creation *creation, struct error *err)
{
	static const struct spec_resources nothing;
	const struct spec_resources *resources = creation->spec.linux_.resources;

	creation->whole = true;
	if (host_cgroup_apply(creation->cgroup, resources ? resources : &nothing, !creation->late_devices, err) < 0)
		return error_prefix(err, "cgroup %s", creation->record.cgroup_path);
	trace_mark(creation->plan.runtime->trace, "cgroup limits");
	return delegate(creation, err);
}

/*
 * A v1 group has no device at all between "deny all" and the first rule, so this is done while init waits for a word,
 * not while it makes and opens devices. Until the commit only init is in the group.
 */
static int apply_devices(struct creation *creation, struct error *err)
{
	static const struct spec_resources nothing;
	const struct spec_resources *resources = creation->spec.linux_.resources;

	if (!creation->late_devices)
		return 0;
	creation->late_devices = false;
	if (host_cgroup_apply_devices(creation->cgroup, resources ? resources : &nothing, err) < 0)
		return error_prefix(err, "cgroup %s", creation->record.cgroup_path);
	trace_mark(creation->plan.runtime->trace, "device rules");
	return 0;
}

/* Without privileges: where a group of the user's own is asked for or can be had. */
static int make_delegated(struct creation *creation, struct error *err)
{
	const char *path = creation->record.cgroup_path;

	if (cgroup_create(&creation->cgroup, path, CGROUP_REFUSE_BUSY, err) < 0 ||
	    cgroup_check_entry(creation->cgroup, err) < 0) {
		error_prefix(err, "cgroup %s", path);
		return without_cgroup(creation, err);
	}
	creation->plan.cgroup = creation->cgroup;
	return apply_limits(creation, err);
}

/* Before the clone: all of it, or what the clone enters at birth. */
int creation_make_cgroup(struct creation *creation, struct error *err)
{
	const char *path = creation->record.cgroup_path;

	if (creation->plan.runtime->no_cgroups)
		return 0;
	if (!text_empty(creation->record.unit))
		return make_unit(creation, err);
	if (creation->record.owner != 0 || is_rootless(creation))
		return make_delegated(creation, err);
	if (cgroup_begin(&creation->cgroup, path, CGROUP_REFUSE_BUSY, err) < 0)
		return error_prefix(err, "cgroup %s", path);
	creation->plan.cgroup = creation->cgroup;
	if (cgroup_get_mode(creation->cgroup) != CGROUP_V2)
		host_clone_plan_late(&creation->plan);
	trace_mark(creation->plan.runtime->trace, "cgroup of the clone");
	if (creation->plan.late_namespaces)
		return 0;
	if (cgroup_finish(creation->cgroup, CGROUP_REFUSE_BUSY, err) < 0)
		return error_prefix(err, "cgroup %s", path);
	cgroup_open_all(creation->cgroup);
	return apply_limits(creation, err);
}

/* The rest, while init makes its namespaces. */
int creation_complete_cgroup(struct creation *creation, struct error *err)
{
	if (!creation->plan.late_namespaces)
		return 0;
	if (cgroup_finish(creation->cgroup, CGROUP_REFUSE_BUSY, err) < 0)
		return error_prefix(err, "cgroup %s", creation->record.cgroup_path);
	trace_mark(creation->plan.runtime->trace, "cgroups of the v1 hierarchies");
	return apply_limits(creation, err);
}

static int open_mounts(struct plan *plan, struct error *err)
{
	return host_mount_open_sources(plan, false, err) < 0 ? -1 : host_rootfs_make(plan, err);
}

static int prepare(struct creation *creation, struct error *err)
{
	const struct spec_seccomp *seccomp = creation->spec.linux_.seccomp;

	if (creation->plan.create->learn) {
		seccomp_filter_ask_always(&creation->filter);
		creation->plan.filter = &creation->filter;
		if (host_seccomp_learn(&creation->plan, creation->plan.create->learn_fd, err) < 0)
			return -1;
	} else if (seccomp) {
		if (host_seccomp_build(&creation->filter, creation->plan.runtime, seccomp, err) < 0)
			return -1;
		creation->plan.filter = &creation->filter;
		if (host_seccomp_connect(&creation->plan, err) < 0)
			return -1;
	}
	stat("/proc/self/exe", &creation->plan.own_exe);
	creation_plan_idmap(creation);
	if (host_clone_plan_namespaces(&creation->plan, &creation->spec, err) < 0)
		return -1;
	return net_device_plan(&creation->plan, err) < 0 ? -1 : open_mounts(&creation->plan, err);
}

int creation_enter_resctrl(struct creation *creation, struct error *err)
{
	const struct spec_intel_rdt *rdt = creation->spec.linux_.intel_rdt;

	return rdt ? resctrl_apply(&creation->record.resctrl, resctrl_root(), rdt, creation->record.id,
				   creation->process.pid, err)
		   : 0;
}

static int make_net(struct creation *creation, struct error *err)
{
	struct host_net net = { -1, -1 };
	AUTO_CLOSE int namespace_fd = -1;

	if (!creation->plan.host_makes_net)
		return 0;
	if (host_net_make(&net, err) < 0)
		return -1;
	namespace_fd = net.namespace_fd;
	creation->net_fd = net.socket_fd;
	/* As at the end of birth(): if init has failed, it says so itself. */
	if (sync_send_net(creation->sync_fd, namespace_fd, err) < 0)
		error_clear(err);
	trace_mark(creation->plan.runtime->trace, "network namespace");
	return 0;
}

/* In a pid namespace of its own nobody sees init before it has sealed itself, which it does beside our own work. */
static int seal_before(const struct plan *plan, struct error *err)
{
	int r;

	if (plan->late_namespaces && plan->new_namespaces & CLONE_NEWPID)
		return 0;
	program_keep_folder();
	r = self_seal_finish();
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "move to the read-only mount of our own program") : 0;
}

static int birth(struct creation *creation, struct error *err)
{
	struct trace *trace = creation->plan.runtime->trace;
	int pair[2];

	if (seal_before(&creation->plan, err) < 0 || host_process_sync_pair(pair, err) < 0)
		return -1;
	creation->sync_fd = pair[0];
	creation->plan.sync_fd = pair[1];
	creation->plan.host_sync_fd = pair[0];
	if (host_clone(&creation->process, &creation->plan, creation->sync_fd, init_run, err) < 0)
		return -1;
	/* Now only init holds its end: if it dies we read an end of file. */
	close_fd(&creation->plan.sync_fd);
	trace_mark(trace, "clone");
	fault_point("runtime create: cloned");
	host_seccomp_hand_over(&creation->plan, creation->process.pid);
	creation->late_devices = creation->plan.late_namespaces;
	if (make_net(creation, err) < 0 || creation_complete_cgroup(creation, err) < 0 ||
	    host_process_prepare(&creation->process, &creation->plan, err) < 0 ||
	    net_device_move(&creation->plan, creation->process.pid, err) < 0 ||
	    creation_enter_resctrl(creation, err) < 0)
		return -1;
	/* An init that failed meanwhile does not hear it: its own words are read next. */
	if (sync_send(creation->sync_fd, SYNC_GO, err) < 0)
		error_clear(err);
	return 0;
}

/* While init makes its mounts. The record gets its name at commit: until then this is no container. */
static int use_the_wait(struct creation *creation, struct error *err)
{
	int r = creation->net_fd >= 0 ? host_net_up(creation->net_fd) : 0;

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "bring up lo in the new network namespace");
	close_fd(&creation->net_fd);
	self_seal_release();
	creation->record.pid = creation->process.pid;
	creation->record.start_time = pid_start_time(creation->process.pid);
	if (record_prepare(creation->folder_fd, &creation->record, err) < 0)
		return -1;
	trace_mark(creation->plan.runtime->trace, "record");
	return 0;
}

static int run_create_hooks(struct creation *creation, struct error *err)
{
	const struct spec_hooks *hooks = &creation->spec.hooks;
	AUTO_FREE char *state = record_state_json(&creation->record, RUNTIME_CREATING, creation->record.pid);

	creation->hooked = true;
	if (hook_run_list(&hooks->prestart, "prestart", state, NULL, err) < 0 ||
	    hook_run_list(&hooks->create_runtime, "createRuntime", state, NULL, err) < 0)
		return -1;
	return sync_send(creation->sync_fd, SYNC_GO, err);
}

/* An init that vanished without a word was killed: say by what, where it can be known. */
static int explain_death(struct creation *creation, struct error *err)
{
	int status = 0;

	if (creation->cgroup && cgroup_oom_kills(creation->cgroup) > 0)
		return error_set(
			err, ERR_EXHAUSTED,
			"container init was OOM-killed (memory limit too low?) before it could run the program");
	if (pidfd_wait(creation->process.pidfd, true, &status) > 0) {
		close_fd(&creation->process.pidfd);
		if (WIFSIGNALED(status))
			return error_set(err, ERR_INTERNAL, "container init was killed by signal %d", WTERMSIG(status));
		return error_set(err, ERR_INTERNAL, "container init exited with %d", WEXITSTATUS(status));
	}
	return error_set(err, ERR_INTERNAL, "container init died");
}

static int give_idmap(struct creation *creation, struct sync_message *message, struct error *err)
{
	int r = message->index < creation->spec.mounts.count && message->fds[0] >= 0
			? host_mount_apply_idmap(&creation->plan, message->index, message->fds[0], err)
			: error_set(err, ERR_INTERNAL, "container init asks for an id map of no mount");

	sync_message_fini(message);
	return r < 0 ? -1 : sync_send(creation->sync_fd, SYNC_GO, err);
}

static int follow_init(struct creation *creation, struct error *err)
{
	AUTO(sync_message_fini) struct sync_message message = SYNC_MESSAGE_NONE;

	for (;;) {
		if (sync_receive(creation->sync_fd, &message, err) < 0)
			return -1;
		switch (message.word) {
		case SYNC_HOOKS:
			/* Before them: they may add rules of their own. */
			if (apply_devices(creation, err) < 0 || run_create_hooks(creation, err) < 0)
				return -1;
			break;
		case SYNC_IDMAP:
			if (give_idmap(creation, &message, err) < 0)
				return -1;
			break;
		case SYNC_READY:
			if (apply_devices(creation, err) < 0)
				return -1;
			return host_process_deliver(&creation->process, &message, &creation->plan, err);
		case 0:
			return explain_death(creation, err);
		default:
			return error_set(err, ERR_INTERNAL, "unexpected word '%c' from container init", message.word);
		}
	}
}

static int commit(struct creation *creation, struct error *err)
{
	if (creation_settle_unit(creation, err) < 0 ||
	    host_process_limit(&creation->process, &creation->plan, err) < 0 ||
	    record_commit(creation->folder_fd, &creation->record, err) < 0 ||
	    host_process_write_pid_file(creation->plan.options->pid_file, creation->process.pid, err) < 0)
		return -1;
	if (sync_send(creation->sync_fd, SYNC_GO, err) < 0)
		return -1;
	trace_mark(creation->plan.runtime->trace, "commit");
	return 0;
}

static int start_now(struct creation *creation, struct error *err)
{
	AUTO_FREE char *state = NULL;

	if (host_process_await_exec(creation->sync_fd, err) < 0)
		return -1;
	trace_mark(creation->plan.runtime->trace, "wait for execve");
	if (!creation->spec.hooks.poststart.count)
		return 0;
	creation->hooked = true;
	state = record_state_json(&creation->record, RUNTIME_RUNNING, creation->record.pid);
	return hook_run_list(&creation->spec.hooks.poststart, "poststart", state, NULL, err);
}

/* The socket itself is made by whoever will listen, before start. */
static void add_notify(struct creation *creation, const char *id)
{
	static const char *const options[] = { "bind", "nosuid", "noexec", "nodev", "ro" };
	struct spec_mount *mount;
	AUTO_FREE char *folder = NULL;

	if (!creation->plan.create->notify)
		return;
	folder = path_join(creation->plan.runtime->root, id);
	mount = json_array_add(&creation->spec.mounts, sizeof(*mount));
	mount->destination = xstrdup("/run/notify");
	mount->source = path_join(folder, "notify");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		text_list_add(&mount->options, options[i]);
	text_list_set_env(&creation->spec.process->env, "NOTIFY_SOCKET", "/run/notify/notify.sock");
}

int creation_begin(struct creation *creation, const struct runtime *runtime,
		   const struct runtime_create_options *options, struct error *err)
{
	AUTO_FREE char *bundle = path_absolute(options->bundle ? options->bundle : ".");

	creation->plan.runtime = runtime;
	creation->plan.create = options;
	creation->plan.options = &options->process;
	creation->plan.spec = &creation->spec;
	creation->plan.record = &creation->record;
	if (record_check_id(options->id, err) < 0 || host_process_check_preserved(&options->process, err) < 0 ||
	    load_config(creation, bundle, err) < 0 || host_check_spec(&creation->spec, runtime->log, err) < 0)
		return -1;
	trace_mark(runtime->trace, "config.json");
	creation->plan.process = creation->spec.process;
	if (host_check_console(creation->spec.process, &options->process, err) < 0 ||
	    find_rootfs(creation, bundle, err) < 0)
		return -1;
	fill_record(creation, options->id, bundle);
	add_notify(creation, options->id);
	if (!runtime->no_cgroups && host_cgroup_name(&creation->record, runtime, &creation->spec, err) < 0)
		return -1;
	if (make_folder(creation, options->id, err) < 0)
		return -1;
	trace_mark(runtime->trace, "state folder");
	return 0;
}

void creation_init(struct creation *creation)
{
	*creation = (struct creation){ .plan = { .sync_fd = -1, .start_fd = -1, .listener_fd = -1 },
				       .scope = HOST_SCOPE_NONE,
				       .process = RUNTIME_PROCESS_NONE,
				       .folder_fd = -1,
				       .start_fd = -1,
				       .sync_fd = -1,
				       .net_fd = -1 };
}

static int create(struct creation *creation, struct runtime_process *out_process, const struct runtime *runtime,
		  const struct runtime_create_options *options, bool start, struct error *err)
{
	if (creation_begin(creation, runtime, options, err) < 0)
		return -1;
	fault_point("runtime create: folder made");
	if (prepare(creation, err) < 0)
		return -1;
	trace_mark(runtime->trace, "filter, namespaces to join, sources of mounts");
	if (creation_make_cgroup(creation, err) < 0 || (!start && listen_for_start(creation, err) < 0))
		return -1;
	fault_point("runtime create: cgroup made");
	if (birth(creation, err) < 0)
		return -1;
	fault_point("runtime create: init let go");
	if (use_the_wait(creation, err) < 0)
		return -1;
	fault_point("runtime create: record prepared");
	if (follow_init(creation, err) < 0)
		return -1;
	trace_mark(runtime->trace, "wait for init");
	fault_point("runtime create: init ready");
	if (commit(creation, err) < 0)
		return -1;
	fault_point("runtime create: committed");
	if (start && start_now(creation, err) < 0)
		return -1;
	*out_process = creation->process;
	creation->process = RUNTIME_PROCESS_NONE;
	creation->done = true;
	return 0;
}

/* A fork that the limit of the container's own group refused says EAGAIN, whoever made it. */
static bool met_pids_limit(const struct creation *creation, const struct error *err)
{
	return err->errnum == EAGAIN && creation->cgroup && cgroup_refused_forks(creation->cgroup) > 0;
}

/* And the one call of Linux 5.12 that nothing replaces. */
static int explain_failure(const struct creation *creation, struct error *err)
{
	if (met_pids_limit(creation, err))
		return error_prefix(err, "the pids limit of cgroup %s was hit during the start (too low?)",
				    creation->record.cgroup_path);
	if (err->errnum != ENOSYS || mount_api_available())
		return -1;
	return error_prefix(err, "kist-runtime needs Linux 5.12 or later");
}

int runtime_create(struct runtime_process *out_process, const struct runtime *runtime,
		   const struct runtime_create_options *options, struct error *err)
{
	AUTO(creation_fini) struct creation creation;

	creation_init(&creation);
	return create(&creation, out_process, runtime, options, false, err) < 0 ? explain_failure(&creation, err) : 0;
}

/* ---- run ---- */

struct runtime_running {
	struct creation creation;
};

void runtime_running_free(struct runtime_running *running)
{
	if (!running)
		return;
	creation_fini(&running->creation);
	free(running);
}

int runtime_run(struct runtime_process *out_process, struct runtime_running **out_running,
		const struct runtime *runtime, const struct runtime_create_options *options, struct error *err)
{
	AUTO(runtime_running_freep) struct runtime_running *running = xcalloc(1, sizeof(*running));

	creation_init(&running->creation);
	if (create(&running->creation, out_process, runtime, options, true, err) < 0)
		return explain_failure(&running->creation, err);
	if (out_running)
		*out_running = take_ptr(running);
	return 0;
}

/* What delete does more than we do here is its own business. */
static bool is_plain(const struct creation *creation)
{
	return creation->cgroup && creation->record.own_pid_namespace && !creation->record.has_poststop &&
	       text_empty(creation->record.resctrl) && text_empty(creation->record.unit);
}

int runtime_finish(struct runtime_running *running, struct error *err)
{
	struct creation *creation = &running->creation;
	const char *id = creation->record.id;
	struct stat st;

	/* A folder without a name: deleted, and the id, with its cgroups, may be another container's by now. */
	if (fstat(creation->folder_fd, &st) == 0 && st.st_nlink == 0)
		return 0;
	if (!is_plain(creation))
		return runtime_delete(creation->plan.runtime, id, true, err);
	if (host_cgroup_remove(creation->cgroup, err) < 0)
		return -1;
	return record_remove_open_folder(creation->plan.runtime, id, creation->folder_fd, err);
}
