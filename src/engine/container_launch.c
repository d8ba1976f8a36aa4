/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a run is made in steps, each with its undo: bundle folder,
 * network reservation, files, config.json, shim, task, network, start. Only
 * when the last one is done does the document say "running". The caller holds
 * the busy token; the mutex is taken for short looks only.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/program.h"
#include "base/rollback.h"
#include "engine/cdi.h"
#include "engine/container_network.h"
#include "engine/engine_private.h"
#include "engine/log_driver.h"
#include "engine/oci_runtime.h"
#include "engine/spec.h"
#include "engine/volume.h"
#include "engine/volume_mount.h"
#include "engine/volume_use.h"
#include "oci/runtime_spec.h"
#include "store/snapshot.h"

#define SHIM_NAMESPACE "kist"
#define SHIM_OUTPUT_MAX 8192
#define SHIM_TIMEOUT_MS 30000

/* What one launch holds until it succeeded. */
struct launch {
	struct container *container; /* borrowed */
	struct task_client *task;
	bool connected; /* to the network */
};

/* ---- the shim program ---- */

static void add_arguments(struct text_list *argv, const struct container *container, const char *address,
			  const char *verb)
{
	const char *const words[] = { "kist-shim", "-namespace",  SHIM_NAMESPACE, "-address",	     address,
				      "-id",	   container->id, "-bundle",	  container->bundle, verb };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		text_list_add(argv, words[i]);
}

/* Runs `kist-shim ... verb` in the bundle; *out_text is what it printed. */
static int run_shim(char **out_text, const struct container *container, const char *verb, int cancel_fd,
		    struct error *err)
{
	AUTO_FREE char *program = program_find("kist-shim", err);
	/* The shim puts its own socket in the folder `s` beside this address. */
	AUTO_FREE char *address = path_join(container->engine->exec_root, "kist.sock");
	AUTO(text_list_fini) struct text_list argv = { 0 };
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	AUTO_CLOSE int read_fd = -1;
	AUTO_CLOSE int write_fd = -1;
	struct process_options options = { .path = program, .cwd = container->bundle };
	struct process_end end = { 0 };
	char output[SHIM_OUTPUT_MAX];
	ssize_t size;
	int pipe_fds[2];
	int r;

	if (!program)
		return -1;
	add_arguments(&argv, container, address, verb);
	options.argv = text_list_argv(&argv);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "start kist-shim: pipe");
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	options.stdin_fd = -1;
	options.stdout_fd = write_fd;
	options.stderr_fd = write_fd;
	if (process_spawn(&process, &options, err) < 0)
		return -1;
	r = process_wait(&process, &end, SHIM_TIMEOUT_MS, cancel_fd, err);
	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_UNAVAILABLE, "kist-shim %s did not answer in time", verb);
	/* The shim that stays may still hold the pipe: what it said is there already. */
	fd_set_nonblocking(read_fd, true);
	size = read(read_fd, output, sizeof(output) - 1);
	output[size > 0 ? size : 0] = '\0';
	if (end.signaled || end.code != 0)
		return error_set(err, ERR_INTERNAL, "kist-shim %s: %s", verb,
				 output[0] ? text_trim(output) : "ended with an error");
	*out_text = xstrdup(text_trim(output));
	return 0;
}

int shim_delete(struct container *container, struct error *err)
{
	AUTO_FREE char *text = NULL;

	if (!file_exists(AT_FDCWD, container->bundle))
		return 0;
	return run_shim(&text, container, "delete", -1, err);
}

/* ---- steps ---- */

void bundle_remove(const char *bundle)
{
	AUTO_FREE char *shm = path_join(bundle, "shm");
	AUTO_FREE char *rootfs = path_join(bundle, "rootfs");

	/* What is shared by --ipc container: is a mount of the host, and so is the rootfs of another runtime than ours. */
	umount2(shm, MNT_DETACH | UMOUNT_NOFOLLOW);
	umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW);
	remove_tree(AT_FDCWD, bundle);
}

static void remove_bundle(void *arg)
{
	const struct container *container = arg;

	bundle_remove(container->bundle);
}

static int make_bundle(struct container *container, struct error *err)
{
	AUTO_FREE char *rootfs = path_join(container->bundle, "rootfs");
	int r;

	remove_bundle(container);
	r = mkdir_all(AT_FDCWD, container->bundle, 0711);
	if (r == 0 && mkdir(rootfs, 0755) < 0)
		r = -errno;
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "make %s", rootfs) : 0;
}

static int check_sources(const struct container_document *document, struct error *err)
{
	for (size_t i = 0; i < document->mounts.count; i++) {
		const struct container_mount *mount = &document->mounts.items[i];
		bool is_volume = text_equal(mount->type, "volume");
		AUTO_FREE char *parent = is_volume ? path_parent(mount->source) : NULL;
		struct stat status;
		int r;

		/* Not what may be mounted on a volume: its server may be dead, and nobody would answer. */
		if (text_equal(mount->type, "tmpfs") || text_equal(mount->type, "image") ||
		    volume_mount_is_plugins(mount) || stat(is_volume ? parent : mount->source, &status) == 0)
			continue;
		if (errno != ENOENT)
			return error_set_errno(err, ERR_INVALID, errno, "error while creating mount source path '%s'",
					       mount->source);
		if (!mount->create_source)
			return error_set(err, ERR_INVALID,
					 "invalid mount config for type \"%s\": bind source path does not exist: %s",
					 mount->type, mount->source);
		r = mkdir_all(AT_FDCWD, mount->source, 0755);
		if (r < 0)
			return error_set_errno(err, ERR_INVALID, r,
					       "error while creating mount source path '%s': mkdir", mount->source);
	}
	return 0;
}

/* "/proc/<pid>/ns/<kind>" of the container in "container:ID"; NULL in *out_path for other modes. */
static int join_namespace(char **out_path, const struct container *container, const char *mode, const char *kind,
			  struct error *err)
{
	AUTO(container_unrefp) struct container *other = NULL;
	const char *name = text_after(text_or_empty(mode), "container:");
	int64_t pid;
	bool running;

	if (!name)
		return 0;
	if (container_find(&other, container->engine, name, err) < 0)
		return text_equal(kind, "net") ? error_prefix(err, "joining network namespace of container") : -1;
	mutex_lock(&other->mutex);
	running = other->document.state.running && !other->document.state.restarting;
	pid = other->document.state.pid;
	mutex_unlock(&other->mutex);
	if (!running || pid <= 0)
		return error_set(err, ERR_CONFLICT, "cannot join %s namespace of a non running container: %s", kind,
				 other->id);
	*out_path = xasprintf("/proc/%lld/ns/%s", (long long)pid, kind);
	return 0;
}

static int make_shm(const char *path, int64_t size, struct error *err)
{
	AUTO_FREE char *options = xasprintf("mode=1777,size=%lld", (long long)size);

	if (mkdir(path, 01777) < 0 || mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make %s", path);
	return 0;
}

/* The folder behind /dev/shm of a shareable container lives in the bundle of the one that shares it. */
static int shm_folder(char **out_path, const struct container *container, struct error *err)
{
	const char *mode = container->document.host.ipc_mode;
	const char *name = text_after(mode, "container:");
	AUTO(container_unrefp) struct container *other = NULL;

	if (text_equal(mode, "shareable")) {
		*out_path = path_join(container->bundle, "shm");
		return make_shm(*out_path, container->document.host.shm_size, err);
	}
	if (!name)
		return 0;
	if (container_find(&other, container->engine, name, err) < 0)
		return -1;
	if (!text_equal(other->document.host.ipc_mode, "shareable"))
		return error_set(err, ERR_CONFLICT,
				 "cannot join IPC of container %s: non-shareable IPC (hint: use "
				 "IpcMode:shareable for the donor container)",
				 other->id);
	*out_path = path_join(other->bundle, "shm");
	return 0;
}

/* A container in another's network has that one's files. */
static char *network_file(const struct container *container, const char *name)
{
	const char *other = text_after(text_or_empty(container->document.host.network_mode), "container:");
	AUTO(container_unrefp) struct container *found = NULL;
	AUTO(error_clear) struct error missing = { 0 };

	if (!other || container_find(&found, container->engine, other, &missing) < 0)
		return container_path(container, name);
	return container_path(found, name);
}

char *container_cgroup_path(const struct container *container)
{
	const char *parent = text_empty(container->document.host.cgroup_parent)
				     ? container->engine->cgroup_parent
				     : container->document.host.cgroup_parent;

	return xasprintf("%s%s/%s", parent[0] == '/' ? "" : "/", parent, container->id);
}

static int write_config(const struct container *container, const struct spec_input *input, struct error *err)
{
	AUTO_FREE char *path = path_join(container->bundle, "config.json");
	AUTO_FREE char *text = NULL;
	struct spec spec = { 0 };
	int r;

	if (spec_build(&spec, input, err) < 0)
		return -1;
	if (cdi_apply(&spec, &container->document.host, &container->engine->cdi_folders, err) < 0) {
		spec_fini(&spec);
		return -1;
	}
	text = spec_format(&spec);
	spec_fini(&spec);
	r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

static int make_config(struct container *container, struct error *err)
{
	const struct host_config *host = &container->document.host;
	const struct engine *engine = container->engine;
	AUTO_FREE char *rootfs = path_join(container->bundle, "rootfs");
	AUTO_FREE char *cgroups = container_cgroup_path(container);
	AUTO_FREE char *hosts = network_file(container, "hosts");
	AUTO_FREE char *hostname = network_file(container, "hostname");
	AUTO_FREE char *resolv_conf = network_file(container, "resolv.conf");
	AUTO_FREE char *network = NULL;
	AUTO_FREE char *pid = NULL;
	AUTO_FREE char *ipc = NULL;
	AUTO_FREE char *shm = NULL;
	AUTO(text_list_fini) struct text_list more = { 0 };
	struct spec_input input;

	if (join_namespace(&network, container, host->network_mode, "net", err) < 0 ||
	    join_namespace(&pid, container, host->pid_mode, "pid", err) < 0 ||
	    join_namespace(&ipc, container, host->ipc_mode, "ipc", err) < 0 || shm_folder(&shm, container, err) < 0)
		return -1;
	input = (struct spec_input){
		.document = &container->document,
		.root_path = rootfs,
		.cgroups_path = cgroups,
		.hosts_path = hosts,
		.hostname_path = hostname,
		.resolv_conf_path = resolv_conf,
		.network_namespace = network,
		.pid_namespace = pid,
		.ipc_namespace = ipc,
		.shm_path = shm,
		.init_path = optional_bool_or(host->init, false) ? engine->init_path : NULL,
		.cgroup_v2 = engine->cgroup_v2,
		.capabilities = engine->capabilities,
		.shm_size_bytes = engine->shm_size_bytes,
		.pids_limit = engine->pids_limit,
		.secrets = &more,
	};
	text_list_add_all(&more, &container->secrets);
	container_link_environment(&more, container);
	if (write_config(container, &input, err) < 0 || oci_runtime_note(container, err) < 0)
		return -1;
	return container_log_settings(container, err);
}

static int create_task(struct launch *launch, int cancel_fd, struct error *err)
{
	struct container *container = launch->container;
	const struct container_config *config = &container->document.config;
	struct snapshot_mount mount = { 0 };
	struct task_mount rootfs = { 0 };
	AUTO_FREE char *output = container_log_uri(container, err);
	struct task_create_request request = {
		.id = container->id,
		.bundle = container->bundle,
		.terminal = config->tty,
		.stdin_uri = (char *)(uintptr_t)(!config->open_stdin  ? ""
						 : config->stdin_once ? "attach:?once=1"
								      : "attach:"),
		.stdout_uri = output,
		.stderr_uri = config->tty ? NULL : output,
		.checkpoint = container->checkpoint,
	};
	AUTO(text_fini) struct text io_options = { 0 };
	char io_type[] = TYPE_RUNC_OPTIONS;
	uint32_t pid;
	int r;

	if (container->document.id_map.size) {
		const struct task_runc_options io = { .io_uid = (uint32_t)container->document.id_map.uid_base,
						      .io_gid = (uint32_t)container->document.id_map.gid_base };

		/* Its pipes are its root's, so that /dev/stdout can be opened inside. */
		proto_encode(&io_options, &io, task_runc_options_fields);
		request.options.type_url = io_type;
		request.options.value.data = (uint8_t *)io_options.data;
		request.options.value.size = io_options.size;
	}
	if (!output || snapshot_mount(&mount, container->engine->store, container->id, err) < 0)
		return -1;
	rootfs.type = mount.type;
	rootfs.source = mount.source;
	rootfs.options = mount.options;
	request.rootfs.items = &rootfs;
	request.rootfs.count = 1;
	r = task_create(launch->task, &request, &pid, cancel_fd, err);
	snapshot_mount_fini(&mount);
	if (r < 0)
		return -1;
	mutex_lock(&container->mutex);
	container->document.state.pid = pid;
	mutex_unlock(&container->mutex);
	return 0;
}

static void undo_task(void *arg)
{
	struct launch *launch = arg;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	struct task_exit end;

	if (launch->task) {
		task_kill(launch->task, launch->container->id, NULL, SIGKILL, true, -1, &err);
		error_clear(&err);
		task_delete(launch->task, launch->container->id, NULL, &end, -1, &err);
		error_clear(&err);
		task_shutdown(launch->task, launch->container->id, -1, &err);
		task_client_close(launch->task);
		launch->task = NULL;
	}
	if (shim_delete(launch->container, &problem) < 0)
		engine_log_error(launch->container->engine, "cleaning up after a failed start", launch->container->id,
				 &problem);
}

static void undo_network(void *arg)
{
	struct launch *launch = arg;

	container_network_detach(launch->container, launch->connected);
}

void lower_errno_words(char *text)
{
	static const char *const words[] = { "Permission denied", "Is a directory",  "No such file or directory",
					     "Exec format error", "Not a directory", NULL };

	for (const char *const *word = words; *word; word++)
		for (char *found = text; (found = strstr(found, *word)); found++)
			*found = (char)tolower((unsigned char)*found);
}

/* docker CLI decides on 126 and 127 by these words; runc's frame around them is matched by scripts. */
static int frame_task_error(struct error *err)
{
	AUTO_FREE char *text = err->message;

	err->message = NULL;
	lower_errno_words(text);
	/* dockerd looks users up itself, before any runtime. */
	if (text_has_prefix(text, "unable to find user") || text_has_prefix(text, "unable to find group"))
		err->message = take_ptr(text);
	else if (text_has_prefix(text, "OCI runtime "))
		err->message = xasprintf("failed to create task for container: failed to create shim task: %s: unknown",
					 text);
	else
		err->message = xasprintf("failed to create task for container: failed to create shim task: OCI runtime "
					 "create failed: runc create failed: unable to start container process: "
					 "%s: unknown",
					 text);
	return -1;
}

static int run_task(struct launch *launch, int cancel_fd, struct error *err)
{
	struct container *container = launch->container;
	uint32_t pid;

	if (create_task(launch, cancel_fd, err) < 0)
		return error_is_set(err) && err->kind != ERR_CANCELED ? frame_task_error(err) : -1;
	fault_point("kistd start: task created");
	if (container_network_connect(container, err) < 0)
		return error_prefix(err, "failed to set up container networking");
	launch->connected = true;
	fault_point("kistd start: network connected");
	mutex_lock(&container->mutex);
	container_connect_attaches(container);
	mutex_unlock(&container->mutex);
	if (task_start(launch->task, container->id, NULL, &pid, cancel_fd, err) < 0) {
		if (container->checkpoint)
			return error_prefix(err, "failed to create task for container: OCI runtime restore failed");
		return err->kind != ERR_CANCELED ? frame_task_error(err) : -1;
	}
	fault_point("kistd start: task started");
	/* What comes from a checkpoint has a process only now. */
	mutex_lock(&container->mutex);
	container->document.state.pid = pid;
	mutex_unlock(&container->mutex);
	return 0;
}

static void set_running(struct launch *launch)
{
	struct container *container = launch->container;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct container_state *state = &container->document.state;

	container->task = take_ptr(launch->task);
	container->run_started_ns = clock_monotonic_ns();
	free(state->error);
	state->error = NULL;
	state->running = true;
	state->restarting = false;
	state->paused = false;
	state->pausing = false;
	state->dead = false;
	state->oom_killed = false;
	state->manually_stopped = false;
	state->exit_code = 0;
	state->started_ns = clock_wall_ns();
	/* Who came while its process was being started would wait for the next run. */
	container_connect_attaches(container);
	health_begin_locked(container);
	watch_notify(&container->changes);
}

void container_volume_events(struct container *container, bool mounted)
{
	for (size_t i = 0; i < container->document.mounts.count; i++)
		if (text_equal(container->document.mounts.items[i].type, "volume"))
			volume_mount_event(container->engine, &container->document.mounts.items[i], container->id,
					   mounted);
}

static void undo_volumes(void *arg)
{
	volumes_unmount(arg);
	volumes_release(arg);
}

static void undo_volume_events(void *arg)
{
	container_volume_events(arg, false);
}

int container_launch(struct container *container, int cancel_fd, struct error *err)
{
	/* Before `undo`: it must still be there when the rollback runs. */
	struct launch launch = { .container = container };
	AUTO(rollback_run) struct rollback undo = { 0 };
	AUTO_FREE char *address = NULL;

	if (check_sources(&container->document, err) < 0 || make_bundle(container, err) < 0)
		return -1;
	rollback_add(&undo, remove_bundle, container);
	fault_point("kistd start: bundle made");
	container_end_execs(container);
	if (container_network_reserve(container, err) < 0)
		return error_prefix(err, "failed to set up container networking");
	rollback_add(&undo, undo_network, &launch);
	fault_point("kistd start: network reserved");
	if (container_network_files(container, err) < 0)
		return -1;
	if (volumes_mount(container, err) < 0)
		return -1;
	rollback_add(&undo, undo_volumes, container);
	if (make_config(container, err) < 0)
		return -1;
	container_volume_events(container, true);
	rollback_add(&undo, undo_volume_events, container);
	rollback_add(&undo, undo_task, &launch);
	fault_point("kistd start: config.json written");
	if (run_shim(&address, container, "start", cancel_fd, err) < 0)
		return -1;
	fault_point("kistd start: shim launched");
	if (task_client_open(&launch.task, address, err) < 0 || run_task(&launch, cancel_fd, err) < 0)
		return -1;
	rollback_cancel(&undo);
	set_running(&launch);
	container_save(container);
	fault_point("kistd start: row written");
	return 0;
}

int64_t launch_exit_code(const char *message)
{
	static const char *const not_found[] = { "executable file not found", "no such file or directory", NULL };
	static const char *const not_executable[] = { "permission denied", "is a directory", "exec format error",
						      NULL };

	for (const char *const *words = not_found; *words; words++)
		if (strstr(message, *words))
			return 127;
	for (const char *const *words = not_executable; *words; words++)
		if (strstr(message, *words))
			return 126;
	return 128;
}
