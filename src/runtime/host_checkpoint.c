/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/criu_descriptors.h"
#include "runtime/host_criu.h"
#include "runtime/host_found.h"
#include "sys/in_root.h"

#define DUMP_LOG "dump.log"

struct dump {
	const struct runtime *runtime;
	const struct runtime_criu_options *options;
	struct found found;
	struct spec spec;
	struct criu_folders folders;
	struct criu_request request;
	int status_fd; /* told once; then -1 */
};

static void dump_fini(struct dump *dump)
{
	criu_folders_fini(&dump->folders);
	proto_free(&dump->request, criu_request_fields);
	spec_fini(&dump->spec);
	found_fini(&dump->found);
}

/* ---- mounts ---- */

/* Where a destination leads in the container, links followed: CRIU goes by the kernel's list of mounts. */
static char *resolve(int root_fd, const char *destination)
{
	AUTO_CLOSE int fd = open_in_root(root_fd, destination, O_PATH, 0);
	char link[32];
	char path[PATH_MAX];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = fd < 0 ? -1 : readlink(link, path, sizeof(path));
	return size > 0 && size < (ssize_t)sizeof(path) && *path == '/' ? xstrndup(path, (size_t)size)
									: xstrdup(destination);
}

static int add_mounts(struct dump *dump, int root_fd, struct error *err)
{
	struct criu_options *options = &dump->request.options;

	for (size_t i = 0; i < dump->spec.mounts.count; i++) {
		const struct spec_mount *mount = &dump->spec.mounts.items[i];
		AUTO_FREE char *name = criu_mount_name(mount, dump->found.record.rootfs);
		AUTO_FREE char *place = resolve(root_fd, name);

		if (criu_is_bind(mount))
			criu_options_add_mount(options, place, name);
		else if (criu_is_cgroup(mount) && !text_empty(dump->found.record.cgroup_path)) {
			if (found_open_cgroup(&dump->found, err) < 0)
				return -1;
			criu_options_add_cgroups(options, mount, dump->found.cgroup, &dump->spec, false);
		}
	}
	return 0;
}

/* Masked files are the host's /dev/null; masked folders are file systems of the container itself. */
static void add_masks(struct dump *dump, int root_fd)
{
	const struct text_list *paths = &dump->spec.linux_.masked_paths;

	for (size_t i = 0; i < paths->count; i++) {
		AUTO_CLOSE int fd = open_in_root(root_fd, paths->items[i], O_PATH, 0);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
			criu_options_add_mount(&dump->request.options, paths->items[i], CRIU_MASK_NAME);
	}
}

/* In a user namespace devices are the host's, bound. What is no mount is not looked for. */
static void add_devices(struct dump *dump)
{
	static const char *const always[] = { "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty" };
	struct criu_options *options = &dump->request.options;

	if (!spec_find_namespace(&dump->spec, "user"))
		return;
	criu_options_add_mount(options, "/dev/null", CRIU_MASK_NAME);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		criu_options_add_mount(options, always[i], always[i]);
	for (size_t i = 0; i < dump->spec.linux_.devices.count; i++)
		criu_options_add_mount(options, dump->spec.linux_.devices.items[i].path,
				       dump->spec.linux_.devices.items[i].path);
}

static int add_outside(struct dump *dump, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/proc/%lld/root", (long long)dump->found.record.pid);
	AUTO_CLOSE int root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open the root of container %s",
				       dump->found.record.id);
	if (add_mounts(dump, root_fd, err) < 0)
		return -1;
	add_masks(dump, root_fd);
	add_devices(dump);
	return 0;
}

/* ---- namespaces ---- */

static int add_namespace(struct dump *dump, const char *type, const char *file, const char *key, bool always,
			 struct error *err)
{
	const struct spec_namespace *namespace = spec_find_namespace(&dump->spec, type);
	AUTO_FREE char *path = xasprintf("/proc/%lld/ns/%s", (long long)dump->found.record.pid, file);
	struct stat st;

	/* One that the container joined, or was given, is not dumped, and not made at the restore. */
	if (!namespace || (text_empty(namespace->path) && !always))
		return 0;
	if (stat(path, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "look at the %s namespace", type);
	text_list_addf(&dump->request.options.external, "%s[%llu]:%s", file, (unsigned long long)st.st_ino, key);
	return 0;
}

static int add_namespaces(struct dump *dump, struct error *err)
{
	return add_namespace(dump, "network", "net", CRIU_NET_KEY, dump->options->net_outside, err) < 0
		       ? -1
		       : add_namespace(dump, "pid", "pid", CRIU_PID_KEY, false, err);
}

static int add_descriptors(struct dump *dump, struct error *err)
{
	AUTO(criu_descriptors_fini) struct criu_descriptors descriptors = { 0 };

	if (criu_descriptors_look(&descriptors, (pid_t)dump->found.record.pid, err) < 0)
		return -1;
	for (size_t i = 0; i < CRIU_STDIO; i++)
		if (criu_descriptor_is_file(descriptors.names[i]))
			text_list_add(&dump->request.options.external, descriptors.names[i]);
	return criu_descriptors_save(&descriptors, dump->folders.image_fd, err);
}

/* ---- the dump ---- */

static void add_freezer(struct dump *dump)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct cgroup_hierarchy hierarchy;

	/* Without one CRIU stops each process by itself. */
	if (found_open_cgroup(&dump->found, &ignored) < 0)
		return;
	if (!cgroup_find_hierarchy(dump->found.cgroup, "freezer", &hierarchy) &&
	    !cgroup_find_hierarchy(dump->found.cgroup, "", &hierarchy))
		return;
	if (hierarchy.exists)
		dump->request.options.freeze_cgroup = path_join(hierarchy.mount_point, hierarchy.path);
}

static int check_features(const struct dump *dump, struct error *err)
{
	const struct criu_features wanted = {
		.memory_tracking = dump->options->pre_dump || !text_empty(dump->options->parent_path),
		.lazy_pages = dump->options->lazy_pages,
	};
	int fd = dump->options->status_fd;

	if (wanted.lazy_pages && fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY &&
	    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return error_set(err, ERR_INVALID, "invalid --status-fd argument %d: not writable", fd);
	return wanted.memory_tracking || wanted.lazy_pages ? criu_check_features(&wanted, err) : 0;
}

static int prepare(struct dump *dump, const char *id, struct error *err)
{
	struct criu_options *options = &dump->request.options;

	if (found_open(&dump->found, dump->runtime, id, err) < 0)
		return -1;
	if (dump->found.status != RUNTIME_RUNNING && dump->found.status != RUNTIME_PAUSED)
		return error_set(err, ERR_CONFLICT, "Container cannot be checkpointed in %s state",
				 runtime_status_name(dump->found.status));
	if (geteuid() != 0)
		return error_set(err, ERR_FORBIDDEN, "checkpointing requires root");
	if (record_load_spec(&dump->spec, dump->found.folder_fd, err) < 0 ||
	    criu_folders_open(&dump->folders, dump->options, true, err) < 0 || criu_check(err) < 0 ||
	    check_features(dump, err) < 0)
		return -1;
	criu_options_fill(options, dump->options, &dump->folders, &dump->found.record.annotations, DUMP_LOG);
	options->pid = (int32_t)dump->found.record.pid;
	options->root = xstrdup(text_or_empty(dump->found.record.rootfs));
	options->track_memory = dump->options->pre_dump || options->parent_image;
	add_freezer(dump);
	dump->request.kind = dump->options->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP;
	if (add_namespaces(dump, err) < 0)
		return -1;
	if (dump->options->pre_dump)
		return 0;
	return add_outside(dump, err) < 0 ? -1 : add_descriptors(dump, err);
}

static int notified(void *context, const char *script, pid_t pid, int *fd, struct error *err)
{
	struct dump *dump = context;

	(void)pid;
	(void)fd;
	(void)err;
	/* Whoever waits for it may have gone: that is no reason to end the dump. */
	if (text_equal(script, "status-ready") && dump->status_fd >= 0) {
		write_full(dump->status_fd, "", 1);
		close(take_fd(&dump->status_fd));
	}
	return 0;
}

static int ask(struct dump *dump, struct error *err)
{
	AUTO(criu_fini) struct criu criu = CRIU_NONE;
	const struct criu_start_options start = { 0 };
	struct criu_response response = { 0 };

	if (criu_start(&criu, &start, err) < 0 || criu_ask(&criu, &dump->request, &response, notified, dump, err) < 0)
		return -1;
	proto_free(&response, criu_response_fields);
	return 0;
}

int runtime_checkpoint(const struct runtime *runtime, const char *id, const struct runtime_criu_options *options,
		       struct error *err)
{
	AUTO(dump_fini)
	struct dump dump = { .runtime = runtime,
			     .options = options,
			     .found = FOUND_NONE,
			     .folders = CRIU_FOLDERS_NONE,
			     .status_fd = options->status_fd };

	if (runtime_criu_check_options(options, err) < 0 || prepare(&dump, id, err) < 0)
		return -1;
	if (ask(&dump, err) == 0)
		return 0;
	criu_explain(err, options->work_path ? options->work_path : options->image_path, DUMP_LOG);
	return -1;
}
