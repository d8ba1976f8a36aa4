/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/init.h"
#include "runtime/mount_option.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"

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

static int mount_given(struct init *init, const struct runtime_rootfs_mount *given, struct error *err)
{
	AUTO(mount_options_fini) struct mount_options options = { 0 };
	static const struct text_list none;
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int target = -1;
	int r;

	if (mount_options_parse(&options, given->options ? given->options : &none, err) < 0)
		return -1;
	if (options.bind || text_equal(given->type, "bind")) {
		fd = mount_clone(AT_FDCWD, given->source, options.recursive_bind);
		if (fd < 0)
			return error_set_errno(err, ERR_INVALID, fd, "rootfs: source %s", given->source);
		r = options.attr_set | options.attr_clear
			    ? mount_change(fd, options.recursive_bind, options.attr_set, options.attr_clear, 0)
			    : 0;
		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "rootfs: options of %s", given->source);
	} else {
		fd = mount_new(given->type, given->source, options.data.data, options.superblock, options.attr_set,
			       err);
		if (fd < 0)
			return error_prefix(err, "rootfs");
	}
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

int init_root_attach(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	uint64_t propagation = root_propagation(plan);

	if (mount(NULL, "/", NULL, propagation ? propagation : MS_SLAVE | MS_REC, NULL) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "set propagation of the mount namespace");
	if (propagation & MS_SHARED && make_parent_private(plan->rootfs, err) < 0)
		return -1;
	for (size_t i = 0; i < plan->create->rootfs_mount_count; i++)
		if (mount_given(init, &plan->create->rootfs_mounts[i], err) < 0)
			return -1;
	if (init->root_fd < 0 && bind_on_itself(init, err) < 0)
		return -1;
	/* Until here paths of the host were walked as the host's user; from here on we are the container's root. */
	if (plan->new_namespaces & CLONE_NEWUSER || init->in_userns)
		return init_kernel_become_root(err);
	return 0;
}

/* Where pivot_root cannot work (an initramfs as root): move the mount over / and chroot. */
static int move_to_root(const struct init *init, struct error *err)
{
	if (fchdir(init->root_fd) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "move the rootfs to /");
	return 0;
}

int init_root_enter(struct init *init, struct error *err)
{
	const struct plan *plan = init->plan;
	uint64_t propagation = root_propagation(plan);
	int r;

	if (plan->create->no_pivot) {
		if (move_to_root(init, err) < 0)
			return -1;
	} else {
		r = mount_pivot(init->root_fd);
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
