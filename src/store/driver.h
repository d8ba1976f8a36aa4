/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - how the store keeps layers, and what a container's root is made of
 * them: docker's storage driver.
 *
 * overlay: a folder for each layer; roots are overlays of them. erofs: the same
 * with an image file for each, mounted while it is used. copy: each
 * layer is the whole tree up to it, of which unchanged files are links to those
 * of the layer below; a root is a copy. It asks for nothing that a file system
 * can lack: no overlay, no device nodes and no xattrs.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct store;
struct database;

enum store_driver { STORE_OVERLAY, STORE_EROFS, STORE_COPY };

/* docker's names too: overlay2, overlayfs, vfs. ERR_INVALID. */
int store_driver_parse(enum store_driver *out_driver, const char *name, struct error *err);
/* "overlay2", "erofs" or "copy". */
const char *store_driver_name(enum store_driver driver);
/* What the store uses for new layers. */
enum store_driver store_driver(const struct store *store);

/*
 * For store_open(): the driver asked for, else the one the store was made with, else what can be had below root_fd.
 * Remembers it. ERR_CONFLICT if what is stored already cannot be used with the one asked for.
 */
int store_driver_choose(enum store_driver *out_driver, struct database *database, int root_fd, const char *root,
			const char *asked, struct error *err);

/* In docker's words ("extfs"; "unknown"). *out_overlays: an overlay's upper folder can lie there, as far as is known. */
const char *store_driver_file_system(bool *out_overlays, int root_fd);
