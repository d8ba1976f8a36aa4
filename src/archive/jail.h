/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - locks kist-unpack and kist-files in before they touch the first
 * untrusted byte or name.
 *
 * Each directory becomes a detached copy of its own mount (nodev, nosuid,
 * noexec; read-only if it is only read); one of them is the root directory:
 * ".." ends there, nothing else has a path. Then: no capabilities but those that
 * make files as a tar says, small rlimits, no_new_privs, a list of allowed
 * system calls (no sockets, no exec, no mounts, no processes).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Replaces the descriptor by a detached copy of its mount with fewer rights, in place. */
int jail_lock_directory(int *fd, bool read_only, struct error *err);
/* The rest: *root_fd (a directory, also O_PATH) becomes the root and is opened for reading. */
int jail_confine(int *root_fd, struct error *err);
/* All of it: the target becomes the root; lower layers are only read. */
int jail_enter(int *target_fd, int *lower_fds, size_t lower_count, struct error *err);
