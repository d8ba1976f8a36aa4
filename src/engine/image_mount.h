/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_mount.h - `--mount type=image`: an image's files at a place in a
 * container, read-only. Each is a snapshot of its own, named
 * "<container id>.<n>", which keeps the image's layers; nothing is ever written
 * to it. The container's init mounts it as an overlay.
 */
#pragma once

/* The option of a mount that is one folder, no overlay. */
#define IMAGE_MOUNT_TREE "tree"

#include "base/error.h"
#include "engine/container_document.h"

struct container;
struct engine;

/* source: the image's name. Fills the mount; ERR_NOT_FOUND as for any image. */
int image_mount_make(struct container *container, struct container_mount *mount, const char *source, struct error *err);
/* All of a container's. */
void image_mounts_remove(struct container *container);
/* Images that containers have mounted are used: image_use_note() of each. */
void image_mounts_note(struct engine *engine);
