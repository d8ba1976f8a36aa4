/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - locks kist-unpack in before it reads its first untrusted byte.
 *
 * The target becomes a detached copy of its own mount (nodev, nosuid, noexec)
 * and the root directory: ".." ends there, nothing else has a path. Lower layers
 * become read-only detached copies. Then: no capabilities but those that make
 * files as the tar says, small rlimits, no_new_privs, a list of allowed system
 * calls (no sockets, no exec, no mounts, no processes).
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Replaces each descriptor by its locked copy, in place. */
int jail_enter(int *target_fd, int *lower_fds, size_t lower_count, struct error *err);
