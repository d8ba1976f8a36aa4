/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_mount.h - bind sources that only the host side can open: below folders
 * the container's user namespace cannot walk, and those that get an id map.
 */
#pragma once

#include "base/error.h"
#include "runtime/mount_option.h"
#include "runtime/plan.h"

/* Detached trees for plan->mount_fds; unless `all`, nothing without a user namespace or id maps. */
int host_mount_open_sources(struct plan *plan, bool all, struct error *err);
void host_mount_close(struct plan *plan);
/* Gives mount `index` of the specification, a detached tree that init made, its id map. */
int host_mount_apply_idmap(const struct plan *plan, size_t index, int fd, struct error *err);
/*
 * The part of a bind's source below the rootfs, or NULL: an earlier mount may lie there, so only init can open it, and
 * only when its turn has come.
 */
const char *host_mount_source_in_root(const struct plan *plan, const char *source);
/* Whether the mount gets an id map. */
bool host_mount_is_mapped(const struct spec_mount *mount, const struct mount_options *options);
/* A detached tree of a bind's source, or of what is at the subpath below it, and nowhere else; -errno. */
int host_mount_clone(const char *source, const struct mount_options *options);
/* A relative source of a bind is below the bundle; yours. */
char *host_mount_source(const struct plan *plan, const struct spec_mount *mount);
