/* SPDX-License-Identifier: Apache-2.0 */
/*
 * in_root.h - paths of a container, walked inside its root and nowhere else.
 *
 * Every function takes the root as an O_PATH descriptor and a path as the
 * container would write it: absolute or not, ".." and symlinks included; none of
 * them ever leads out (openat2 RESOLVE_IN_ROOT, no magic links). A kernel or a
 * seccomp filter without openat2 gets the same by a walk of our own: one
 * component at a time, each symlink read and resolved here. -errno.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* open(2) inside the root; O_CLOEXEC is added. O_NOFOLLOW counts for the last component only. */
int open_in_root(int root_fd, const char *path, int flags, mode_t mode);
/* mkdir -p inside the root; returns an O_PATH descriptor of the last directory. New ones are owned by uid:gid. */
int mkdir_in_root(int root_fd, const char *path, mode_t mode, uid_t uid, gid_t gid);
int mkdir_in_root_plain(int root_fd, const char *path, mode_t mode);
/* O_PATH descriptor of a regular file that is made empty (with its directories) if it is missing: a bind target. */
int touch_in_root(int root_fd, const char *path, mode_t mode);
/* O_PATH descriptor of the parent directory, made if `make`; *out_name points at the last component in path, yours. */
int parent_in_root(int root_fd, const char *path, bool make, char **out_name);
/* symlink, with its directories; 0 also if the same link is there already. */
int symlink_in_root(int root_fd, const char *target, const char *path);

/* openat2(2) with RESOLVE_ flags, for the few who need others; -ENOSYS if the kernel has none. */
int openat2_resolve(int dir_fd, const char *path, int flags, mode_t mode, unsigned long resolve);
/* For tests: pretend that openat2 is not there. */
void in_root_without_openat2(bool without);
