/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each mount is made detached, gets its flags, and is then put on
 * a descriptor that was opened inside the root. Nobody can swap a path between
 * the check and the use (CVE-2021-30465), and no mount is ever visible with
 * weaker flags than asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/host_mount.h"
#include "runtime/init.h"
#include "runtime/init_copy.h"
#include "runtime/mount_option.h"
#include "runtime/sync.h"
#include "runtime/trace.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"
#include "sys/proc_fs.h"

/* Far below the soft limit of 1024 that a process begins with. */
#define LEFT_OPEN_MAX 128

static bool is_kernel_tree(const char *type)
{
	return text_equal(type, "proc") || text_equal(type, "sysfs");
}

/* A symlink at /proc or /sys would put the real one elsewhere, and a fake one in its place (CVE-2019-19921). */
static int open_plain_directory(const struct init *init, const char *path, struct error *err)
{
	AUTO_CLOSE int made = -1;
	int fd = openat2_resolve(init->root_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
				 RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);

	if (fd == -ENOSYS)
		fd = open_in_root(init->root_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT) {
		made = mkdir_in_root_plain(init->root_fd, path, 0755);
		fd = made < 0 ? made : open_in_root(init->root_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	}
	if (fd == -ELOOP || fd == -ENOTDIR)
		return error_set(err, ERR_INVALID,
				 "mount %s: must be mounted on ordinary directory, and it is a symlink or a file",
				 path);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "mount %s", path);
	return fd;
}

static int open_target(const struct init *init, const char *path, bool is_directory, struct error *err)
{
	int fd = is_directory ? mkdir_in_root_plain(init->root_fd, path, 0755)
			      : touch_in_root(init->root_fd, path, 0644);

	if (fd == -ENOTDIR)
		return error_set_errno(err, ERR_INVALID, fd,
				       "mount %s: are you trying to mount a directory onto a file (or vice-versa)?",
				       path);
	if (fd == -EROFS)
		return error_set_errno(err, ERR_INVALID, fd, "mount %s: make the mount point", path);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "mount %s", path);
	return fd;
}

/* What may be laid over single files of /proc: lxcfs and the like. */
static bool may_lie_in_proc(const char *path)
{
	static const char *const allowed[] = { "cpuinfo",
					       "diskstats",
					       "meminfo",
					       "stat",
					       "swaps",
					       "uptime",
					       "loadavg",
					       "slabinfo",
					       "net/dev",
					       "sys/kernel/ns_last_pid",
					       "sys/crypto/fips_enabled" };
	const char *below = text_after(path, "/proc/");

	for (size_t i = 0; below && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (text_equal(below, allowed[i]))
			return true;
	return false;
}

/* Also catches what got into /proc through a symlink. */
static int check_not_in_proc(const char *path, int target_fd, int mount_fd, struct error *err)
{
	bool by_name = text_equal(path, "/proc") || text_has_prefix(path, "/proc/");

	if ((!by_name && !proc_fs_verify(target_fd)) || may_lie_in_proc(path))
		return 0;
	if (text_equal(path, "/proc") && proc_fs_verify(mount_fd))
		return 0;
	return error_set(err, ERR_INVALID, "mount %s: cannot be mounted because it is inside /proc", path);
}

static int apply_options(int fd, const struct mount_options *options, bool with_attributes, const char *path,
			 struct error *err)
{
	int r = 0;

	if (with_attributes && (options->attr_set | options->attr_clear))
		r = mount_change(fd, 0, options->attr_set, options->attr_clear, 0);
	if (r == 0 && (options->recursive_set | options->recursive_clear))
		r = mount_change(fd, 1, options->recursive_set, options->recursive_clear, 0);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "mount %s: set its options", path);
	return 0;
}

static int apply_propagation(int fd, const struct mount_options *options, const char *path, struct error *err)
{
	for (unsigned i = 0; i < options->propagation_count; i++) {
		uint64_t flags = options->propagation[i];
		int r = mount_change(fd, (flags & MS_REC) != 0, 0, 0, flags & ~(uint64_t)MS_REC);

		if (r < 0)
			return error_set_errno(err, ERR_INVALID, r, "mount %s: set its propagation", path);
	}
	return 0;
}

#define LOCKABLE ((uint64_t)MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static uint64_t attributes_of(int fd)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0)
		return 0;
	return (fs.f_flag & ST_RDONLY ? MOUNT_ATTR_RDONLY : 0) | (fs.f_flag & ST_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
	       (fs.f_flag & ST_NODEV ? MOUNT_ATTR_NODEV : 0) | (fs.f_flag & ST_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
}

/*
 * runc and crun: a bind without flags has those of its source, one with any has only these (mount(8) adds them). What
 * another owner of the file system set, a container in a user namespace keeps, and must not ask away.
 */
static int complete_bind_options(const struct init *init, struct mount_options *options, int fd, const char *path,
				 struct error *err)
{
	uint64_t atime = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;

	if (!(options->attr_set | options->attr_clear))
		return 0;
	if (init->in_userns && options->attr_clear & LOCKABLE & attributes_of(fd))
		return error_set_errno(err, ERR_FORBIDDEN, EPERM,
				       "mount %s: a user namespace must not clear ro, nosuid, nodev or noexec of the "
				       "source",
				       path);
	options->attr_clear |= (init->in_userns ? 0 : LOCKABLE) | MOUNT_ATTR_NOSYMFOLLOW;
	options->attr_clear &= ~(options->attr_set & ~atime);
	return 0;
}

/* A source in the container's own root is what the mounts so far have made of it. */
static int clone_source(const struct init *init, const char *source, const struct mount_options *options)
{
	const char *below = host_mount_source_in_root(init->plan, source);
	AUTO_CLOSE int fd = -1;

	if (!below)
		return host_mount_clone(source, options);
	fd = open_in_root(init->root_fd, *below ? below : "/", O_PATH, 0);
	return fd < 0 ? fd : mount_clone(fd, "", options->recursive_bind);
}

/* An id map needs privileges over the file system, which a user namespace takes from us. */
static int ask_for_idmap(struct init *init, const struct spec_mount *mount, const struct mount_options *options, int fd,
			 struct error *err)
{
	if (!host_mount_is_mapped(mount, options))
		return 0;
	/* The words that are under way come first. */
	if (init_cgroup_join(init, err) < 0)
		return -1;
	return sync_ask_idmap(init->plan->sync_fd, (uint32_t)(mount - init->plan->spec->mounts.items), fd, err);
}

static int bind(struct init *init, const struct spec_mount *mount, struct mount_options *options, int given_fd,
		const char *path, struct error *err)
{
	AUTO_FREE char *source = host_mount_source(init->plan, mount);
	AUTO_CLOSE int fd = given_fd >= 0 ? given_fd : clone_source(init, source, options);
	AUTO_CLOSE int target = -1;
	struct stat st;
	int r;

	if (options->data.size)
		return error_set(err, ERR_INVALID, "mount %s: unknown options for a bind mount: %s", path,
				 options->data.data);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, fd,
				       "mount %s: bind source path does not exist or cannot be "
				       "used: %s",
				       path, source);
	if (given_fd < 0 && ask_for_idmap(init, mount, options, fd, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "mount %s: source %s", path, source);
	target = open_target(init, path, S_ISDIR(st.st_mode), err);
	if (target < 0 || check_not_in_proc(path, target, fd, err) < 0 ||
	    complete_bind_options(init, options, fd, path, err) < 0 || apply_options(fd, options, true, path, err) < 0)
		return -1;
	r = mount_attach(fd, target);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "mount %s: bind %s", path, source);
	return apply_propagation(fd, options, path, err);
}

/* The kernel hides a host's masked /proc and /sys from new ones in a user namespace (mount_too_revealing). */
static int explain_new(const struct init *init, const struct spec_mount *mount, struct error *err)
{
	if (err->errnum == EPERM && init->in_userns && is_kernel_tree(mount->type))
		return error_prefix(err,
				    "mount %s: the host's %s is partly masked, or its namespace is not new: bind the "
				    "host's instead",
				    mount->destination, mount->destination);
	return error_prefix(err, "mount %s", mount->destination);
}

static void make_readonly_later(struct init *init, int fd)
{
	init->late_readonly = xrealloc(init->late_readonly, (init->late_readonly_count + 1) * sizeof(int));
	init->late_readonly[init->late_readonly_count++] = fd;
}

void init_leave_open(struct init *init, int *fd)
{
	if (*fd < 0 || init->left_open >= LEFT_OPEN_MAX)
		return;
	init->left_open++;
	take_fd(fd);
}

static int open_fresh_target(const struct init *init, const char *type, const char *path, struct error *err)
{
	return is_kernel_tree(type) ? open_plain_directory(init, path, err) : open_target(init, path, true, err);
}

/* A tmpfs without a mode has that of the folder it covers. */
static int add_tmpfs_mode(const struct init *init, struct mount_options *options, const char *path, struct error *err)
{
	AUTO_CLOSE int covered = -1;
	struct stat st;

	if (text_has_prefix(options->data.data, "mode=") ||
	    (options->data.size && strstr(options->data.data, ",mode=")))
		return 0;
	covered = open_in_root(init->root_fd, path, O_PATH | O_DIRECTORY, 0);
	if (covered < 0)
		return 0; /* it will be made, and tmpfs has its default */
	if (fstat(covered, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "mount %s", path);
	text_addf(&options->data, "%smode=%o", options->data.size ? "," : "", st.st_mode & 07777);
	return 0;
}

/* SELinux: what the container makes there has the container's label. The categories' commas are protected. */
static void add_label(struct mount_options *options, const char *type, const char *label)
{
	if (text_empty(label) || (!text_equal(type, "tmpfs") && !text_equal(type, "devpts")))
		return;
	text_add(&options->data, options->data.size ? ",context=" : "context=");
	for (const char *at = label; *at; at++) {
		if (*at == ',' || *at == '\\')
			text_add_char(&options->data, '\\');
		text_add_char(&options->data, *at);
	}
}

/* A superblock of the other kinds belongs to the network namespace of its maker, or might. */
static bool needs_net(const char *type)
{
	static const char *const without[] = { "proc", "tmpfs", "devpts", "mqueue", "overlay" };

	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (text_equal(type, without[i]))
			return false;
	return true;
}

static int prepare_fresh(struct init *init, const char *type, struct mount_options *options, const char *path,
			 struct error *err)
{
	if (needs_net(type) && init_kernel_join_net(init, err) < 0)
		return -1;
	add_label(options, type, init->plan->spec->linux_.mount_label);
	return text_equal(type, "tmpfs") ? add_tmpfs_mode(init, options, path, err) : 0;
}

/* Only for tmpfs: what goes into it must be there first. */
static bool is_readonly_later(const char *type, const struct mount_options *options)
{
	return text_equal(type, "tmpfs") && options->attr_set & MOUNT_ATTR_RDONLY;
}

/* In the container's group: the pages are its own. */
static int copy_up(struct init *init, const struct mount_options *options, int from_fd, int to_fd, const char *path,
		   struct error *err)
{
	if (!options->copy_up)
		return 0;
	if (init_cgroup_join(init, err) < 0)
		return -1;
	return init_copy_tree(from_fd, to_fd, err) < 0 ? error_prefix(err, "mount %s: tmpcopyup", path) : 0;
}

/* Not attached yet. */
static int make_fresh(struct init *init, const struct spec_mount *mount, const char *type,
		      struct mount_options *options, const char *path, struct error *err)
{
	const char *source = text_empty(mount->source) ? NULL : mount->source;
	uint64_t later = is_readonly_later(type, options) ? MOUNT_ATTR_RDONLY : 0;
	AUTO_CLOSE int fd = -1;

	if (prepare_fresh(init, type, options, path, err) < 0)
		return -1;
	fd = mount_new(type, source, options->data.data, options->superblock, options->attr_set & ~later, err);
	if (fd < 0)
		return explain_new(init, mount, err);
	return ask_for_idmap(init, mount, options, fd, err) < 0 ? -1 : take_fd(&fd);
}

static int mount_fresh(struct init *init, const struct spec_mount *mount, struct mount_options *options,
		       const char *path, struct error *err)
{
	const char *type = text_empty(mount->type) ? "none" : mount->type;
	AUTO_CLOSE int target = -1;
	AUTO_CLOSE int fd = make_fresh(init, mount, type, options, path, err);
	int r;

	if (fd < 0)
		return -1;
	target = open_fresh_target(init, type, path, err);
	if (target < 0 || (!text_equal(type, "proc") && check_not_in_proc(path, target, fd, err) < 0) ||
	    apply_options(fd, options, false, path, err) < 0)
		return -1;
	if (copy_up(init, options, target, fd, path, err) < 0)
		return -1;
	r = mount_attach(fd, target);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount %s: %s", path, type);
	if (apply_propagation(fd, options, path, err) < 0)
		return -1;
	init_leave_open(init, &target);
	if (is_readonly_later(type, options))
		make_readonly_later(init, take_fd(&fd));
	init_leave_open(init, &fd);
	return 0;
}

/* runc: a destination that is spelled with the host's path of the rootfs means the place in it. */
static const char *below_rootfs(const struct plan *plan, const char *destination)
{
	const char *rest = text_after(destination, plan->rootfs);

	return rest && *rest == '/' ? rest : destination;
}

static int mount_one(struct init *init, const struct spec_mount *mount, int given_fd, struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	AUTO_FREE char *joined = path_join("/", below_rootfs(init->plan, mount->destination));
	AUTO_FREE char *path = path_clean(joined);

	if (mount_options_parse(&options, &mount->options, err) < 0)
		return error_prefix(err, "mount %s", path);
	if (text_equal(path, "/"))
		return error_set(err, ERR_INVALID, "mount %s: the destination is the rootfs itself",
				 mount->destination);
	if (options.bind || text_equal(mount->type, "bind"))
		return bind(init, mount, &options, given_fd, path, err);
	if (text_equal(mount->type, "cgroup") || text_equal(mount->type, "cgroup2"))
		return init_mount_cgroup(init, mount, err);
	return mount_fresh(init, mount, &options, path, err);
}

int init_mount_all(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;

	for (size_t i = 0; i < plan->spec->mounts.count; i++) {
		if (mount_one(init, &plan->spec->mounts.items[i], plan->mount_fds[i], err) < 0)
			return -1;
		trace_mark_name(plan->runtime->trace, "mount ", plan->spec->mounts.items[i].destination);
	}
	return 0;
}
