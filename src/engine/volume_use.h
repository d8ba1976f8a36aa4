/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_use.h - volumes of plugins, while a container uses them: Mount and Unmount, with an id of each use.
 *
 * A row of volume_mounts is written before Mount and removed after Unmount: what is in the table may be mounted, what is
 * not in it is not. Of a container's, one thread at a time. volumes_mount() and its like are what others call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct container;
struct container_mount;
struct engine;

bool volume_mount_is_plugins(const struct container_mount *mount);
/* All of a container (to_fill: that the image's files may go into), or none: those that were begun are ended again. */
int volume_uses_begin(struct container *container, bool to_fill, struct error *err);
/* Of containers that do not run, behind us. */
void volume_uses_recover(struct engine *engine, struct container *const *items, size_t count);
