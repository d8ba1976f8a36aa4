/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_api.h - mounts as descriptors (Linux 5.2 and later).
 *
 * fsopen/fsconfig/fsmount or open_tree make a detached mount; mount_setattr
 * gives it its flags; move_mount puts it on a descriptor. So a mount is whole
 * when it becomes visible, and no path is walked twice. All return a
 * descriptor or 0, or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "base/error.h"

/* MOUNT_ATTR_ that older headers lack. */
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

/*
 * A new superblock as a detached mount: file system type, source (NULL: none),
 * comma separated data ("size=64k,mode=755"; may be NULL), "ro" for the
 * superblock when `sb_flags` has MS_RDONLY etc., and MOUNT_ATTR_ flags. The error
 * carries the kernel's own words from the fs context, if it gave any.
 */
int mount_new(const char *fs_type, const char *source, const char *data, unsigned long sb_flags, uint64_t attr,
	      struct error *err);
/* For tests: overlay as it was before Linux 6.5. */
void mount_without_lower_plus(bool without);
/* A detached copy of the mount at dir_fd/path ("" with AT_EMPTY_PATH semantics for the fd itself). */
int mount_clone(int dir_fd, const char *path, int recursive);
/* Sets and clears MOUNT_ATTR_ flags and propagation (MS_PRIVATE... or 0) of the mount itself, or of all below. */
int mount_change(int mount_fd, int recursive, uint64_t attr_set, uint64_t attr_clear, uint64_t propagation);
/* Ids of a detached mount as seen through a user namespace. */
int mount_idmap(int mount_fd, int recursive, int userns_fd);
/* Puts a detached mount onto what target_fd (O_PATH) is. */
int mount_attach(int mount_fd, int target_fd);
/* The same onto a name below dir_fd. */
int mount_attach_at(int mount_fd, int dir_fd, const char *path);
/*
 * pivot_root(".", ".") with the new root's fd, then detaches the old root; cwd and root are the new root. is_slave: no
 * mount of the old root is shared with another namespace.
 */
int mount_pivot(int root_fd, bool is_slave);
/* Whether this kernel has fsopen and mount_setattr (5.12). */
int mount_api_available(void);
