/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/host_clone.h"
#include "runtime/init.h"
#include "runtime/mount_option.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

#define MOUNTINFO_MAX (64 << 20)

static uint64_t root_propagation(const struct plan *plan)
{
	return mount_options_propagation(plan->spec->linux_.rootfs_propagation);
}

/*
 * pivot_root refuses a shared parent mount. Only rootfsPropagation=shared keeps
 * any: go up until the mount that holds the rootfs is found.
 */
static int make_parent_private(const char *rootfs, struct error *err)
{
	AUTO_FREE char *at = xstrdup(rootfs);

	for (;;) {
		AUTO_FREE char *parent = NULL;

		if (mount(NULL, at, NULL, MS_PRIVATE, NULL) == 0)
			return 0;
		if (errno != EINVAL || strcmp(at, "/") == 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "make %s private", at);
		parent = path_parent(at);
		free(at);
		at = take_ptr(parent);
	}
}

static int clone_given(const struct runtime_rootfs_mount *given, const struct mount_options *options, struct error *err)
{
	AUTO_CLOSE int fd = mount_clone(AT_FDCWD, given->source, options->recursive_bind);
	int r;

	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, fd, "rootfs: source %s", given->source);
	r = options->attr_set | options->attr_clear
		    ? mount_change(fd, options->recursive_bind, options->attr_set, options->attr_clear, 0)
		    : 0;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "rootfs: options of %s", given->source);
	return take_fd(&fd);
}

int init_root_make_given(const struct runtime_rootfs_mount *given, struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	static const struct text_list none;
	int fd;

	if (mount_options_parse(&options, given->options ? given->options : &none, err) < 0)
		return -1;
	if (options.bind || text_equal(given->type, "bind"))
		return clone_given(given, &options, err);
	fd = mount_new(given->type, given->source, options.data.data, options.superblock, options.attr_set, err);
	return fd < 0 ? error_prefix(err, "rootfs") : fd;
}

int init_root_mount_given(struct init *init, const struct runtime_rootfs_mount *given, int made_fd, struct error *err)
{
	AUTO_CLOSE int fd = made_fd >= 0 ? made_fd : init_root_make_given(given, err);
	AUTO_CLOSE int target = -1;
	int r;

	if (fd < 0)
		return -1;
	if (text_empty(given->target)) {
		r = mount_attach_at(fd, AT_FDCWD, init->plan->rootfs);
		init->root_fd = take_fd(&fd);
	} else {
		target = init->root_fd < 0 ? -EINVAL : open_in_root(init->root_fd, given->target, O_PATH, 0);
		r = target < 0 ? target : mount_attach(fd, target);
	}
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "rootfs: mount %s on %s%s", given->type,
				       init->plan->rootfs, text_or_empty(given->target));
	return 0;
}

static int bind_on_itself(struct init *init, struct error *err)
{
	AUTO_CLOSE int fd = mount_clone(AT_FDCWD, init->plan->rootfs, 1);
	int r = fd < 0 ? fd : mount_attach_at(fd, AT_FDCWD, init->plan->rootfs);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "mount rootfs %s", init->plan->rootfs);
	init->root_fd = take_fd(&fd);
	return 0;
}

/* What is unbindable could not be bound onto itself: it becomes so when the root is in its place. */
static uint64_t at_first(uint64_t propagation)
{
	if (propagation & MS_UNBINDABLE)
		return MS_PRIVATE | (propagation & MS_REC);
	return propagation ? propagation : MS_SLAVE | MS_REC;
}

/* init_root_attach() has made it so, and nobody but us was there since. */
static bool is_all_slave(const struct plan *plan)
{
	uint64_t propagation = at_first(root_propagation(plan));

	return propagation & MS_REC && propagation & (MS_SLAVE | MS_PRIVATE) &&
	       !plan->spec->hooks.create_container.count;
}

int init_root_attach(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	uint64_t propagation = root_propagation(plan);

	/* Without a mount namespace of our own the host's tree is not ours to change. */
	if (!host_clone_has_mount_namespace(plan))
		propagation = 0;
	else if (mount(NULL, "/", NULL, at_first(propagation), NULL) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "set propagation of the mount namespace");
	if (propagation & MS_SHARED && make_parent_private(plan->rootfs, err) < 0)
		return -1;
	for (size_t i = 0; i < plan->create->rootfs_mount_count; i++)
		if (init_root_mount_given(init, &plan->create->rootfs_mounts[i],
					  plan->rootfs_fds ? plan->rootfs_fds[i] : -1, err) < 0)
			return -1;
	if (init->root_fd < 0 && bind_on_itself(init, err) < 0)
		return -1;
	/* Until here paths of the host were walked as the host's user; from here on we are the container's root. */
	if (plan->new_namespaces & CLONE_NEWUSER || init->in_userns)
		return init_kernel_become_root(err);
	return 0;
}

/* Where pivot_root cannot work (an initramfs as root): move the mount over / and chroot. */
/*
 * Without pivot_root the host's mounts stay below ours. A whole /proc or /sys among them would let a user namespace in
 * the container mount new ones, unmasked: they go, or are covered.
 */
static int hide_kernel_tree(const char *rootfs, const char *place, const char *type, struct error *err)
{
	const char *below = text_after(place, rootfs);

	if ((!text_equal(type, "proc") && !text_equal(type, "sysfs")) || (below && (*below == '/' || *below == '\0')))
		return 0;
	if (umount2(place, MNT_DETACH) == 0 ||
	    mount("tmpfs", place, "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1") == 0)
		return 0;
	return error_set_errno(err, ERR_INTERNAL, errno, "--no-pivot: hide the host's %s", place);
}

/* proc(5), mountinfo: "id parent dev root PLACE options... - TYPE source data". */
static int hide_kernel_trees(const struct plan *plan, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;
	int r = file_read(&text, NULL, AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "--no-pivot: read the list of mounts");
	text_list_split(&lines, text, '\n');
	for (size_t i = lines.count; i-- > 0;) {
		AUTO(text_list_fini) struct text_list words = { 0 };
		size_t dash = 0;

		text_list_split(&words, lines.items[i], ' ');
		while (dash < words.count && !text_equal(words.items[dash], "-"))
			dash++;
		if (words.count > 4 && dash + 1 < words.count &&
		    hide_kernel_tree(plan->rootfs, words.items[4], words.items[dash + 1], err) < 0)
			return -1;
	}
	return 0;
}

static int move_to_root(const struct init *init, struct error *err)
{
	if (hide_kernel_trees(init->plan, err) < 0)
		return -1;
	if (fchdir(init->root_fd) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "move the rootfs to /");
	return 0;
}

int init_root_enter(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	uint64_t propagation = root_propagation(plan);
	int r;

	if (!host_clone_has_mount_namespace(plan)) {
		if (fchdir(init->root_fd) < 0 || chroot(".") < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "chroot into %s", plan->rootfs);
	} else if (plan->create->no_pivot) {
		if (move_to_root(init, err) < 0)
			return -1;
	} else {
		r = mount_pivot(init->root_fd, is_all_slave(plan));
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "pivot_root into %s", plan->rootfs);
	}
	if (propagation) {
		r = mount_change(init->root_fd, (propagation & MS_REC) != 0, 0, 0, propagation & ~(uint64_t)MS_REC);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "linux.rootfsPropagation");
	}
	if (plan->spec->root->readonly) {
		r = mount_change(init->root_fd, 0, MOUNT_ATTR_RDONLY, 0, 0);
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "make the rootfs read-only");
	}
	return 0;
}
