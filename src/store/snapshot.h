/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - a container's own writable layer above an image's.
 *
 * Only directories and a row: nothing is mounted here. snapshot_mount() says
 * what the container's init must mount in its own mount namespace. While a
 * snapshot exists, the layers below it stay. Removal is quick; the files go in
 * the background.
 *
 * On disk:  <root>/snapshots/<n>/{fs,work}
 * Threads:  share the store freely.
 */
#pragma once

#include "base/text.h"
#include "store/store.h"

/* As containerd's Mount: fill CreateTaskRequest.rootfs with it. */
struct snapshot_mount {
	char *type; /* "overlay", or "bind" when there is no layer below, or the files are all its own (driver.h) */
	char *source;
	/* "lowerdir=<highest>:...:<lowest>", "upperdir=..", "workdir=..", "index=off". lowerdir may be longer than a page:
	 * use the new mount API's "lowerdir+" per item, or mount from inside snapshot_root() with relative names. */
	struct text_list options;
};

/* `key` is the container's id; `chain_id` the image's top layer (not set: an empty root). ERR_CONFLICT if it exists. */
int snapshot_create(struct store *store, const char *key, const struct digest *chain_id, struct error *err);
/* The same for whoever only reads the layers: it has no files of its own. */
int snapshot_hold(struct store *store, const char *key, const struct digest *chain_id, struct error *err);
/*
 * What is written in it from now on takes at most so many bytes: by a project quota of the file system (sys/project_quota.h),
 * which goes with it. ERR_UNSUPPORTED, in dockerd's words and with the cause, where that cannot be.
 */
int snapshot_limit(struct store *store, const char *key, uint64_t bytes, struct error *err);
/* Whether snapshot_limit() can do anything here: 0, or that error. */
int snapshot_limit_check(struct store *store, struct error *err);
/* ERR_NOT_FOUND if there is none. */
int snapshot_mount(struct snapshot_mount *out_mount, struct store *store, const char *key, struct error *err);
void snapshot_mount_fini(struct snapshot_mount *mount);
/* 0 also if there was none. */
int snapshot_remove(struct store *store, const char *key, struct error *err);
/* Bytes in the writable layer: walks it. */
int snapshot_size(uint64_t *out_bytes, struct store *store, const char *key, struct error *err);
/* Bytes of the layers below. */
int snapshot_parent_size(uint64_t *out_bytes, struct store *store, const char *key, struct error *err);
/* Absolute path of the writable layer's files ("<root>/snapshots/<n>/fs"), yours. */
char *snapshot_upper_path(struct store *store, const char *key, struct error *err);
/* With copies: when it had nothing changed, in nanoseconds by the file system's clock; 0: nobody knows. */
int64_t snapshot_whole_since(struct store *store, const char *key);
/* The top layer below it; not set: none. */
int snapshot_chain_id(struct digest *out_chain_id, struct store *store, const char *key, struct error *err);
/* Keys of all snapshots, for the engine's recovery: remove those it does not know. */
int snapshot_list(struct text_list *out_keys, struct store *store, struct error *err);
