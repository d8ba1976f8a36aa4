/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h - the shim's files in a container's bundle: shim.json while it
 * lives, exit.json once init has ended, both by tmp and rename; runtime/ is the
 * runtime library's state, so that nobody shares it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* containerd's rule for ids: at most 76 of [A-Za-z0-9], with single [._-] inside. */
bool bundle_id_is_valid(const char *id);
/* root (of containerd's runtime options) or <bundle>/runtime; yours. */
char *bundle_state_root(const char *bundle, const char *root);

int bundle_write_shim(int bundle_fd, const char *address, struct error *err);
void bundle_remove_shim(int bundle_fd);

/* Reserves the room of exit.json, so that a full disk cannot lose the exit code. Returns its descriptor. */
int bundle_reserve_exit(int bundle_fd, struct error *err);
/* Closes *exit_fd. */
int bundle_write_exit(int bundle_fd, int *exit_fd, uint32_t exit_status, int64_t exited_at, bool oom_killed,
		      struct error *err);
/* 1 if exit.json is there and says so. */
int bundle_read_exit(const char *bundle, uint32_t *out_exit_status, int64_t *out_exited_at);

/* The cgroup of a process, below the mount points; NULL if unknown, or the same as ours. Yours. */
char *bundle_cgroup_path(pid_t pid);
/* An annotation of config.json that groups containers into one shim (pods), or NULL; yours. */
char *bundle_group(const char *bundle);
