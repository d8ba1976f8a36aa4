/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_mount.h - volumes that are mounted while somebody uses them: driver
 * "local" with the options type, device and o (tmpfs, nfs, cifs, bind).
 *
 * On the host, below the volume's folder, as with dockerd: a tmpfs is one for
 * all containers that have it. The first user mounts, the last one unmounts;
 * a container's own copy of the mount does not need the host's.
 * Threads: any; no lock is held while mount(8) runs.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

struct container;
struct engine;

/* In dockerd's words. */
int volume_options_check(const struct text_map *options, struct error *err);
/* Those of a container whose volumes have options. Each success is undone by one volumes_unmount(). */
int volumes_mount(struct container *container, struct error *err);
void volumes_unmount(struct container *container);
/* When the engine opens: who runs counts as a user; what nobody uses any more is unmounted. */
void volumes_mount_recover(struct engine *engine, struct container *const *items, size_t count);
/* Forgets what is counted; mounts stay. */
void volumes_mount_fini(struct engine *engine);
