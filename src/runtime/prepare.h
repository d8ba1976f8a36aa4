/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prepare.h - what our init does inside a container, done from outside, for a
 * caller that has another OCI runtime make it: the root file system, names of
 * users, sockets in its network namespace. Other runtimes take a mounted rootfs
 * and numbers, and hand out no sockets.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "runtime/runtime.h"

struct spec;
struct spec_process;

/* Mounts in this mount namespace, in order; on failure nothing stays mounted. */
int runtime_mount_rootfs(const char *rootfs, const struct runtime_rootfs_mount *mounts, size_t count,
			 struct error *err);
/* Takes away everything that is mounted there; nothing if nothing is. */
void runtime_unmount_rootfs(const char *rootfs);
/* Whether the specification holds words that are ours alone: names to look up. */
bool runtime_needs_names(const struct spec *spec);
/* ERR_UNSUPPORTED with the name of what only our own runtime can do. */
int runtime_check_portable(const struct spec *spec, struct error *err);
/*
 * user.username and the groups of the annotations (may be NULL) become numbers, by the files below the root, which is a
 * container's: nothing in it is trusted.
 */
int runtime_number_user(struct spec_process *process, const struct text_map *annotations, int root_fd,
			struct error *err);
/* Brings up lo and opens sockets as of runtime_process.net_fds in the network namespace of a process. */
int runtime_open_net(int out_net_fds[RUNTIME_NET_COUNT], pid_t pid, struct error *err);
