/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: CRIU starts in a mount namespace of its own, where the rootfs
 * (and what the caller wants mounted on it) lies below <state>/criu-root and
 * every mount point exists. So the host's list of mounts never grows, and
 * nothing has to be taken down. What CRIU makes there becomes our child.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/criu_descriptors.h"
#include "runtime/hook.h"
#include "runtime/host_cgroup.h"
#include "runtime/host_clone.h"
#include "runtime/host_creation.h"
#include "runtime/host_criu.h"
#include "runtime/host_net.h"
#include "runtime/host_process.h"
#include "runtime/init.h"
#include "runtime/trace.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"
#include "sys/namespace.h"
#include "sys/pidfd_wait.h"
#include "json/json.h"

#define RESTORE_LOG "restore.log"
#define CONFIG_MAX (16 << 20)
#define ROOT_NAME "criu-root"

struct restore {
	struct creation creation;
	const struct runtime_criu_options *options;
	struct criu_folders folders;
	struct criu_request request;
	char *root;	       /* where CRIU finds the rootfs */
	int fds[CRIU_FDS_MAX]; /* borrowed: what CRIU gets from CRIU_FIRST_FD on */
	size_t fd_count;
	struct runtime_stdio stdio;
	struct spec_pids *pids;	 /* borrowed while the specification has it not */
	struct sync_message tty; /* the master side, as init would have sent it */
};

/*
 * What CRIU needs for a while (tar, for what a tmpfs held) runs in the container, and must not count against its
 * limit of processes.
 */
static void hold_back_pids(struct restore *restore)
{
	struct spec_resources *resources = restore->creation.spec.linux_.resources;

	if (resources)
		restore->pids = take_ptr(resources->pids);
}

static int set_pids(struct restore *restore, struct error *err)
{
	const struct spec_resources only_pids = { .pids = restore->pids };

	if (!restore->pids || !restore->creation.cgroup)
		return 0;
	return host_systemd_set(&restore->creation.record, &only_pids, err) < 0
		       ? -1
		       : host_cgroup_apply(restore->creation.cgroup, &only_pids, false, err);
}

static void restore_fini(struct restore *restore)
{
	if (restore->pids)
		restore->creation.spec.linux_.resources->pids = take_ptr(restore->pids);
	if (restore->root)
		rmdir(restore->root);
	free(restore->root);
	sync_message_fini(&restore->tty);
	criu_folders_fini(&restore->folders);
	proto_free(&restore->request, criu_request_fields);
	creation_fini(&restore->creation);
}

/* ---- in CRIU's mount namespace ---- */

static bool lies_on_tmpfs(const struct spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->mounts.count; i++) {
		const struct spec_mount *mount = &spec->mounts.items[i];
		const char *below = text_after(path, mount->destination);

		if (text_equal(mount->type, "tmpfs") && below && *below == '/')
			return true;
	}
	return false;
}

static char *source_of(const struct restore *restore, const struct spec_mount *mount)
{
	const char *source = text_or_empty(mount->source);

	return *source == '/' ? xstrdup(source) : path_join(restore->creation.record.bundle, source);
}

/* Bound for as long as points inside of it are made; *out_mount_fd leads to it. */
static int bind_for_now(const char *source, int target_fd, int *out_mount_fd)
{
	AUTO_CLOSE int fd = mount_clone(AT_FDCWD, source, 1);
	int r = fd < 0 ? fd : mount_attach(fd, target_fd);

	if (r == 0)
		*out_mount_fd = take_fd(&fd);
	return r;
}

static int make_point(const struct restore *restore, int root_fd, const struct spec_mount *mount, int *out_mount_fd,
		      struct error *err)
{
	AUTO_FREE char *path = criu_mount_name(mount, restore->creation.record.rootfs);
	AUTO_FREE char *source = source_of(restore, mount);
	bool is_bind = criu_is_bind(mount);
	AUTO_CLOSE int fd = -1;
	struct stat st;
	int r;

	/* CRIU puts back what a tmpfs held, its folders too; and /sys/fs/cgroup is there with /sys. */
	if (criu_is_cgroup(mount) || lies_on_tmpfs(&restore->creation.spec, path))
		return 0;
	if (is_bind && stat(source, &st) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "mount %s: source %s", path, source);
	fd = is_bind && !S_ISDIR(st.st_mode) ? touch_in_root(root_fd, path, 0644)
					     : mkdir_in_root_plain(root_fd, path, 0755);
	r = fd;
	if (r >= 0 && is_bind)
		r = bind_for_now(source, fd, out_mount_fd);
	return r < 0 ? error_set_errno(err, ERR_INVALID, r, "mount %s: make the mount point", path) : 0;
}

/* As at create, and in the same order; also in a rootfs that came without them, from an archive. */
static int make_points(const struct restore *restore, int root_fd, struct error *err)
{
	size_t count = restore->creation.spec.mounts.count;
	AUTO_FREE int *mounts = xcalloc(count + 1, sizeof(*mounts));
	int r = 0;

	for (size_t i = 0; i < count; i++)
		mounts[i] = -1;
	for (size_t i = 0; i < count && r == 0; i++)
		r = make_point(restore, root_fd, &restore->creation.spec.mounts.items[i], &mounts[i], err);
	for (size_t i = count; i-- > 0;) {
		char link[32];

		snprintf(link, sizeof(link), "/proc/self/fd/%d", mounts[i]);
		if (mounts[i] >= 0 && umount2(link, MNT_DETACH) < 0 && r == 0)
			r = error_set_errno(err, ERR_INTERNAL, errno, "unmount %s below CRIU's root",
					    restore->creation.spec.mounts.items[i].destination);
		if (mounts[i] >= 0)
			close(mounts[i]);
	}
	return r;
}

/* CRIU wants a mount point whose parent is not hidden. */
static int mount_rootfs(struct restore *restore, struct init *init, struct error *err)
{
	const struct runtime_create_options *create = restore->creation.plan.create;
	int r;

	for (size_t i = 0; i < create->rootfs_mount_count; i++)
		if (init_root_mount_given(init, &create->rootfs_mounts[i], -1, err) < 0)
			return -1;
	if (init->root_fd >= 0)
		return 0;
	init->root_fd = mount_clone(AT_FDCWD, restore->creation.record.rootfs, 1);
	r = init->root_fd < 0 ? init->root_fd : mount_attach_at(init->root_fd, AT_FDCWD, restore->root);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "mount rootfs %s", restore->creation.record.rootfs) : 0;
}

static int prepare_mounts(void *context, struct error *err)
{
	struct restore *restore = context;
	struct plan plan = restore->creation.plan;
	struct init init = { .plan = &plan, .root_fd = -1 };
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a mount namespace for CRIU");
	plan.rootfs = restore->root;
	r = mount_rootfs(restore, &init, err);
	if (r == 0)
		r = make_points(restore, init.root_fd, err);
	if (init.root_fd >= 0)
		close(init.root_fd);
	return r;
}

/* ---- the request ---- */

static void add_inherited(struct restore *restore, const char *key, int fd)
{
	struct criu_inherit_fd *item = json_array_add(&restore->request.options.inherit_fds, sizeof(*item));

	item->key = xstrdup(key);
	item->fd = fd;
}

static void pass(struct restore *restore, const char *key, int fd)
{
	if (restore->fd_count == CRIU_FDS_MAX)
		return;
	add_inherited(restore, key, CRIU_FIRST_FD + (int)restore->fd_count);
	restore->fds[restore->fd_count++] = fd;
}

/*
 * CRIU opens a file of the host that was on 0, 1 or 2 by the descriptor that is there now, and refuses another kind.
 * The null device can be had for the asking.
 */
static int check_kind(struct restore *restore, size_t index, mode_t mode, struct error *err)
{
	static const char *const names[CRIU_STDIO] = { "stdin", "stdout", "stderr" };
	int *stdio[CRIU_STDIO] = { &restore->stdio.in, &restore->stdio.out, &restore->stdio.error };
	const struct log *log = restore->creation.plan.runtime->log;
	struct stat st = { .st_mode = S_IFCHR | 0666 };

	if (*stdio[index] >= 0 && fstat(*stdio[index], &st) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "%s", names[index]);
	if (mode == 0 || st.st_mode == mode)
		return 0;
	if (!S_ISCHR(mode))
		return error_set(err, ERR_INVALID,
				 "%s was a file of mode %o at the checkpoint: such a one must be there now too",
				 names[index], mode);
	*stdio[index] = -1;
	if (log)
		log_warn(log, "it was /dev/null at the checkpoint, and is so again", F("descriptor", names[index]));
	return 0;
}

/* What came from outside on 0, 1, 2 is replaced by what is there now. */
static int add_stdio(struct restore *restore, struct error *err)
{
	AUTO(criu_descriptors_fini) struct criu_descriptors descriptors = { 0 };

	if (criu_descriptors_load(&descriptors, restore->folders.image_fd, err) < 0)
		return -1;
	for (size_t i = 0; i < CRIU_STDIO; i++) {
		bool known = false;

		if (!criu_descriptor_is_outside(descriptors.names[i]))
			continue;
		if (criu_descriptor_is_file(descriptors.names[i]) &&
		    check_kind(restore, i, descriptors.modes[i], err) < 0)
			return -1;
		for (size_t before = 0; before < i; before++)
			known = known || text_equal(descriptors.names[before], descriptors.names[i]);
		if (!known)
			add_inherited(restore, descriptors.names[i], (int)i);
	}
	return 0;
}

static int join_one(struct restore *restore, const struct spec_namespace *namespace, int fd, int flag,
		    struct error *err)
{
	struct criu_join_namespace *item;

	if (flag == CLONE_NEWNET || flag == CLONE_NEWPID) {
		pass(restore, flag == CLONE_NEWNET ? CRIU_NET_KEY : CRIU_PID_KEY, fd);
		return 0;
	}
	if (flag != CLONE_NEWIPC && flag != CLONE_NEWUTS && flag != CLONE_NEWTIME && flag != CLONE_NEWUSER)
		return error_set(err, ERR_UNSUPPORTED, "a %s namespace that exists already cannot be restored into",
				 namespace->type);
	item = json_array_add(&restore->request.options.join_namespaces, sizeof(*item));
	item->kind = xstrdup(namespace_kind_of_flag(flag)->file);
	item->path = xstrdup(namespace->path);
	return 0;
}

static int add_namespaces(struct restore *restore, struct error *err)
{
	struct creation *creation = &restore->creation;

	creation_plan_idmap(creation);
	if (host_clone_plan_namespaces(&creation->plan, &creation->spec, err) < 0)
		return -1;
	for (size_t i = 0; i < creation->plan.join_count; i++) {
		const struct plan_join *join = &creation->plan.joins[i];
		const struct namespace_kind *kind = namespace_kind_of_flag(join->flag);
		const struct spec_namespace *namespace = kind ? spec_find_namespace(&creation->spec, kind->name) : NULL;

		if (namespace && join_one(restore, namespace, join->fd, join->flag, err) < 0)
			return -1;
	}
	if (restore->options->net_outside)
		pass(restore, CRIU_NET_KEY, restore->options->net_fd);
	return 0;
}

static void add_mounts(struct restore *restore)
{
	struct creation *creation = &restore->creation;
	struct criu_options *options = &restore->request.options;

	for (size_t i = 0; i < creation->spec.mounts.count; i++) {
		const struct spec_mount *mount = &creation->spec.mounts.items[i];
		AUTO_FREE char *name = criu_mount_name(mount, creation->record.rootfs);
		AUTO_FREE char *source = source_of(restore, mount);

		if (criu_is_bind(mount))
			criu_options_add_mount(options, name, source);
		else if (criu_is_cgroup(mount) && creation->cgroup)
			criu_options_add_cgroups(options, mount, creation->cgroup, &creation->spec, true);
	}
	criu_options_add_mount(options, CRIU_MASK_NAME, "/dev/null");
	for (size_t i = 0; i < creation->spec.linux_.devices.count; i++) {
		const char *path = creation->spec.linux_.devices.items[i].path;

		criu_options_add_mount(options, path, path);
	}
}

static void add_cgroup(struct restore *restore)
{
	struct criu_options *options = &restore->request.options;
	struct criu_pair *pair;

	/* CRIU moves what it restores; without a group of ours there is nothing to move it to. */
	if (!restore->creation.cgroup) {
		options->cgroups_mode = CRIU_CGROUPS_IGNORE;
		options->manage_cgroups = false;
	}
	if (options->cgroups_mode == CRIU_CGROUPS_IGNORE)
		return;
	pair = json_array_add(&options->cgroup_roots, sizeof(*pair));
	pair->value = xstrdup(restore->creation.record.cgroup_path);
}

static int fill_request(struct restore *restore, struct error *err)
{
	struct criu_options *options = &restore->request.options;

	restore->request.kind = CRIU_RESTORE;
	criu_options_fill(options, restore->options, &restore->folders, &restore->creation.record.annotations,
			  RESTORE_LOG);
	options->root = xstrdup(restore->root);
	options->evasive_devices = true;
	options->restore_sibling = true;
	if (restore->options->lsm_profile)
		options->lsm_profile = xstrdup(restore->options->lsm_profile);
	if (restore->options->lsm_mount_context)
		options->lsm_mount_context = xstrdup(restore->options->lsm_mount_context);
	if (add_namespaces(restore, err) < 0 || add_stdio(restore, err) < 0)
		return -1;
	add_mounts(restore);
	add_cgroup(restore);
	return 0;
}

/* ---- what CRIU tells meanwhile ---- */

static bool makes_net(const struct restore *restore)
{
	const struct spec_namespace *net = spec_find_namespace(&restore->creation.spec, "network");

	return net && text_empty(net->path) && !restore->options->net_outside;
}

/* Its namespaces are there, its processes are not: who has to do with a network does it now. */
static int set_up_namespaces(struct restore *restore, pid_t pid, struct error *err)
{
	struct creation *creation = &restore->creation;
	const struct spec_hooks *hooks = &creation->spec.hooks;
	AUTO_FREE char *state = NULL;

	if (makes_net(restore) && host_net_loopback_of(pid, err) < 0)
		return -1;
	if (!hooks->prestart.count && !hooks->create_runtime.count)
		return 0;
	state = record_state_json(&creation->record, RUNTIME_CREATING, pid);
	creation->hooked = true;
	return hook_run_list(&hooks->prestart, "prestart", state, NULL, err) < 0
		       ? -1
		       : hook_run_list(&hooks->create_runtime, "createRuntime", state, NULL, err);
}

/* The processes are complete and do not run yet. */
static int take_process(struct restore *restore, pid_t pid, struct error *err)
{
	struct creation *creation = &restore->creation;

	creation->process.pid = pid;
	creation->process.pidfd = pidfd_of(pid);
	if (creation->process.pidfd < 0)
		return error_set_errno(err, ERR_INTERNAL, creation->process.pidfd, "look at the restored process");
	creation->record.pid = pid;
	creation->record.start_time = pid_start_time(pid);
	return record_prepare(creation->folder_fd, &creation->record, err);
}

static int notified(void *context, const char *script, pid_t pid, int *fd, struct error *err)
{
	struct restore *restore = context;

	if (text_equal(script, "setup-namespaces"))
		return set_up_namespaces(restore, pid, err);
	if (text_equal(script, "post-restore"))
		return take_process(restore, pid, err);
	if (text_equal(script, "orphan-pts-master") && *fd >= 0 && restore->tty.fds[0] < 0)
		restore->tty.fds[0] = take_fd(fd);
	return 0;
}

/* ---- the restore ---- */

static int make_root_folder(struct restore *restore, struct error *err)
{
	AUTO_FREE char *folder = path_join(restore->creation.plan.runtime->root, restore->creation.record.id);
	AUTO_FREE char *real = realpath(folder, NULL);

	restore->root = real ? path_join(real, ROOT_NAME) : NULL;
	if (!restore->root || mkdir(restore->root, 0755) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a folder in %s", folder);
	return 0;
}

/* CRIU mounts below its work folder: that must lie on a mount of its own namespace. */
static int reopen_for(pid_t pid, int *fd, struct error *err)
{
	char link[32];
	char path[PATH_MAX];
	AUTO_FREE char *inside = NULL;
	ssize_t size;
	int opened;

	if (*fd < 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", *fd);
	size = readlink(link, path, sizeof(path) - 1);
	path[size > 0 ? size : 0] = '\0';
	inside = xasprintf("/proc/%d/root%s", pid, path);
	opened = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s for CRIU", path);
	close(*fd);
	*fd = opened;
	return 0;
}

static int hand_over_folders(struct restore *restore, pid_t pid, struct error *err)
{
	if (reopen_for(pid, &restore->folders.image_fd, err) < 0 || reopen_for(pid, &restore->folders.work_fd, err) < 0)
		return -1;
	restore->request.options.images_dir_fd = restore->folders.image_fd;
	restore->request.options.work_dir_fd = restore->folders.work_fd >= 0 ? restore->folders.work_fd : 0;
	return 0;
}

static int ask(struct restore *restore, struct error *err)
{
	struct creation *creation = &restore->creation;
	const struct criu_start_options start = { .stdio = creation->spec.process->terminal ? NULL : &restore->stdio,
						  .fds = restore->fds,
						  .fd_count = restore->fd_count,
						  .prepare = prepare_mounts,
						  .context = restore };
	AUTO(criu_fini) struct criu criu = CRIU_NONE;
	struct criu_response response = { 0 };

	if (criu_start(&criu, &start, err) < 0 || hand_over_folders(restore, criu.pid, err) < 0)
		return -1;
	/* What is restored stays where CRIU is. */
	if (creation->cgroup && restore->request.options.cgroups_mode == CRIU_CGROUPS_IGNORE &&
	    cgroup_add(creation->cgroup, criu.pid, err) < 0)
		return -1;
	if (criu_ask(&criu, &restore->request, &response, notified, restore, err) < 0) {
		const struct runtime_criu_options *options = restore->options;

		criu_explain(err, options->work_path ? options->work_path : options->image_path, RESTORE_LOG);
		return -1;
	}
	proto_free(&response, criu_response_fields);
	return creation->process.pidfd >= 0 ? 0
					    : error_set(err, ERR_INTERNAL, "CRIU did not tell what it has restored");
}

static ino_t time_namespace_of(const char *process)
{
	AUTO_FREE char *path = xasprintf("/proc/%s/ns/time", process);
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/*
 * CRIU restores into a time namespace, so that clocks go on where they were. An exec must join it (and a next checkpoint
 * finds all processes in the same): it goes by the specification that is kept.
 */
static int keep_time_namespace(struct restore *restore, struct error *err)
{
	struct creation *creation = &restore->creation;
	AUTO_FREE char *pid = xasprintf("%d", creation->process.pid);
	ino_t theirs = time_namespace_of(pid);
	struct spec_namespace *added;
	AUTO_FREE char *text = NULL;
	int r;

	if (theirs == 0 || theirs == time_namespace_of("self") || spec_find_namespace(&creation->spec, "time"))
		return 0;
	added = json_array_add(&creation->spec.linux_.namespaces, sizeof(*added));
	added->type = xstrdup("time");
	text = spec_format(&creation->spec);
	r = file_write_atomic(creation->folder_fd, "config.json", text, strlen(text), 0600, FILE_NO_SYNC);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write the kept config.json") : 0;
}

static int commit(struct restore *restore, struct error *err)
{
	struct creation *creation = &restore->creation;

	if (keep_time_namespace(restore, err) < 0 ||
	    host_process_deliver(&creation->process, &restore->tty, &creation->plan, err) < 0 ||
	    creation_settle_unit(creation, err) < 0 || set_pids(restore, err) < 0 ||
	    creation_enter_resctrl(creation, err) < 0 || record_commit(creation->folder_fd, &creation->record, err) < 0)
		return -1;
	return host_process_write_pid_file(creation->plan.options->pid_file, creation->process.pid, err);
}

int runtime_restore(struct runtime_process *out_process, const struct runtime *runtime,
		    const struct runtime_create_options *create, const struct runtime_criu_options *options,
		    struct error *err)
{
	AUTO(restore_fini)
	struct restore restore = { .options = options,
				   .folders = CRIU_FOLDERS_NONE,
				   .stdio = create->process.stdio,
				   .tty = SYNC_MESSAGE_NONE };
	struct creation *creation = &restore.creation;

	creation_init(creation);
	if (runtime_criu_check_options(options, err) < 0)
		return -1;
	if (geteuid() != 0)
		return error_set(err, ERR_FORBIDDEN, "restoring requires root");
	if (criu_check(err) < 0 || criu_folders_open(&restore.folders, options, false, err) < 0 ||
	    creation_begin(creation, runtime, create, err) < 0 || make_root_folder(&restore, err) < 0)
		return -1;
	hold_back_pids(&restore);
	if (creation_make_cgroup(creation, err) < 0 || creation_complete_cgroup(creation, err) < 0 ||
	    fill_request(&restore, err) < 0 || ask(&restore, err) < 0 || commit(&restore, err) < 0)
		return -1;
	trace_mark(runtime->trace, "restored");
	*out_process = creation->process;
	creation->process = RUNTIME_PROCESS_NONE;
	creation->done = true;
	return 0;
}

/* ---- a network beforehand ---- */

static int load_spec(struct spec *out_spec, const char *bundle, struct error *err)
{
	AUTO_FREE char *path = path_join(bundle, "config.json");
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, CONFIG_MAX);

	return r < 0 ? error_set_errno(err, ERR_INVALID, r, "read %s", path) : spec_parse(out_spec, text, size, err);
}

int runtime_make_net(int *out_namespace_fd, int out_net_fds[RUNTIME_NET_COUNT], const char *bundle, struct error *err)
{
	AUTO(spec_fini) struct spec spec = { 0 };
	const struct spec_namespace *wanted;
	struct host_net net = { -1, -1 };
	AUTO_CLOSE int fd = -1;
	int r;

	if (load_spec(&spec, bundle, err) < 0)
		return -1;
	wanted = spec_find_namespace(&spec, "network");
	if (!wanted || !text_empty(wanted->path))
		return 0;
	r = host_net_make(&net, err);
	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_FORBIDDEN, "make a network namespace: no way back from it");
	close(net.socket_fd);
	fd = net.namespace_fd;
	if (host_net_open_sockets(fd, out_net_fds, err) < 0)
		return -1;
	*out_namespace_fd = take_fd(&fd);
	return 0;
}
