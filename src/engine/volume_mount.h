/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_mount.h - volumes that are mounted while somebody uses them.
 *
 * Driver "local" with the options type, device and o (tmpfs, nfs, cifs, bind): on the host, below the volume's folder, as
 * with dockerd, so that a tmpfs is one for all containers that have it. The first user mounts, the last one unmounts; a
 * container's own copy of the mount does not need the host's. Plugins: each use is a Mount with an id of its own, and an
 * Unmount with the same; the table volume_mounts has those that were begun, so that kill -9 leaves none behind.
 * Threads: any; no lock is held while mount(8) or a plugin is waited for: at most two minutes, and not after
 * volumes_give_up() nor the engine's end.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct container;
struct engine;

/* In dockerd's words. */
int volume_options_check(const struct text_map *options, struct error *err);
/*
 * A container's. Each success is undone by one volumes_unmount() and one volumes_release(): the first is done at once,
 * the second tells plugins: those that take long are told behind us. Where a plugin mounted it becomes the mount's source.
 */
int volumes_mount(struct container *container, struct error *err);
/* The same for those only that the image's files may go into. */
int volumes_mount_to_fill(struct container *container, struct error *err);
void volumes_unmount(struct container *container);
void volumes_release(struct container *container);
/* Unless it runs: whoever mounts or releases for this container stops waiting. */
void volumes_give_up(struct container *container);
/* Whether mounting them is somebody else's work: a server's, a plugin's. */
bool volumes_are_remote(struct container *container);
/* When the engine opens: who runs counts as a user; what nobody uses any more is unmounted; plugins are told behind us. */
void volumes_mount_recover(struct engine *engine, struct container *const *items, size_t count);
/* Forgets what is counted; mounts stay. */
void volumes_mount_fini(struct engine *engine);
