/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "oci/runtime_spec.h"
#include "runtime/host_net.h"
#include "runtime/init.h"
#include "sys/in_root.h"
#include "sys/mount_api.h"
#include "sys/namespace.h"

/* More than anybody stacks; a bound in case the kernel never says EINVAL. */
#define STACK_MAX 64

static int attach_given(const char *rootfs, const struct runtime_rootfs_mount *given, int fd)
{
	AUTO_CLOSE int root = -1;
	AUTO_CLOSE int target = -1;

	if (text_empty(given->target))
		return mount_attach_at(fd, AT_FDCWD, rootfs);
	root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	target = root < 0 ? -errno : open_in_root(root, given->target, O_PATH, 0);
	return target < 0 ? target : mount_attach(fd, target);
}

int runtime_mount_rootfs(const char *rootfs, const struct runtime_rootfs_mount *mounts, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_CLOSE int fd = init_root_make_given(&mounts[i], err);
		int r = fd < 0 ? 0 : attach_given(rootfs, &mounts[i], fd);

		if (r < 0)
			error_set_errno(err, ERR_INTERNAL, r, "rootfs: mount %s on %s%s", mounts[i].type, rootfs,
					text_or_empty(mounts[i].target));
		if (fd < 0 || r < 0) {
			runtime_unmount_rootfs(rootfs);
			return -1;
		}
	}
	return 0;
}

void runtime_unmount_rootfs(const char *rootfs)
{
	for (int i = 0; i < STACK_MAX && umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) == 0; i++)
		;
}

bool runtime_needs_names(const struct spec *spec)
{
	return (spec->process && !text_empty(spec->process->user.username)) ||
	       text_map_get(&spec->annotations, INIT_GROUPS_ANNOTATION);
}

int runtime_check_portable(const struct spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->mounts.count; i++)
		for (size_t j = 0; j < spec->mounts.items[i].options.count; j++)
			if (text_has_prefix(spec->mounts.items[i].options.items[j], MOUNT_OPTION_SUBPATH))
				return error_set(err, ERR_UNSUPPORTED,
						 "%s: a subpath of a volume can be mounted only by kist's own runtime",
						 spec->mounts.items[i].destination);
	return 0;
}

int runtime_number_user(struct spec_process *process, const struct text_map *annotations, int root_fd,
			struct error *err)
{
	static const struct text_map none;
	struct spec_user *user = &process->user;
	struct init_user found = { 0 };

	if (init_user_find_in(&found, root_fd, user, annotations ? annotations : &none, err) < 0) {
		init_user_fini(&found);
		return -1;
	}
	user->uid = found.uid;
	user->gid = found.gid;
	free(user->additional_gids.items);
	memset(&user->additional_gids, 0, sizeof(user->additional_gids));
	for (size_t i = 0; i < found.group_count; i++) {
		struct spec_number *number = json_array_add(&user->additional_gids, sizeof(*number));

		number->value = found.groups[i];
	}
	free(user->username);
	user->username = NULL;
	init_user_fini(&found);
	return 0;
}

int runtime_open_net(int out_net_fds[RUNTIME_NET_COUNT], pid_t pid, struct error *err)
{
	AUTO_CLOSE int fd = namespace_open(pid, namespace_kind_of_flag(CLONE_NEWNET));

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, fd, "open the network namespace of process %d", pid);
	return host_net_open_sockets(fd, out_net_fds, err);
}
