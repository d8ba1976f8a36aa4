/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_mount.h - bind sources that only the host side can open: below folders
 * the container's user namespace cannot walk, and those that get an id map.
 */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

/* Detached trees for plan->mount_fds; nothing without a user namespace or id maps. */
int host_mount_open_sources(struct plan *plan, struct error *err);
void host_mount_close(struct plan *plan);
/* A relative source of a bind is below the bundle; yours. */
char *host_mount_source(const struct plan *plan, const struct spec_mount *mount);
