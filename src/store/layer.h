/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.h - unpacked image layers, read-only, named by chain id.
 *
 * A layer directory holds one layer's own changes in overlay's form (whiteouts
 * are 0/0 devices, opaque directories carry trusted.overlay.opaque), or, with
 * copies (driver.h), everything up to it. Layers are unpacked in any order and
 * side by side. One that has a row in the database is whole; layer_commit()
 * syncs the files before it makes the row.
 *
 * On disk:  <root>/snapshots/<n>/fs
 * Threads:  share the store; keep a layer_writer to one thread.
 */
#pragma once

#include "store/store.h"

struct layer {
	struct digest chain_id;
	struct digest parent; /* not set: the lowest */
	struct digest diff_id;
	struct digest blob; /* what it was unpacked from; not set: nothing (import, commit) */
	int64_t directory;  /* <n> */
	uint64_t size;	    /* bytes of file content */
};

struct layer_writer;

/* 1 with *out_layer filled, 0 if there is none. */
int layer_find(struct layer *out_layer, struct store *store, const struct digest *chain_id, struct error *err);

/* A new empty directory to unpack into. */
int layer_writer_new(struct layer_writer **out_writer, struct store *store, struct error *err);
/* A snapshot's own layer, as it is now: the snapshot is gone afterwards, its files go with the writer. */
int layer_writer_take_snapshot(struct layer_writer **out_writer, struct store *store, const char *key,
			       struct error *err);
/* The directory (borrowed), for unpack.h. */
int layer_writer_fd(const struct layer_writer *writer);
/* Also throws the directory away (in the background), unless it was committed. */
void layer_writer_free(struct layer_writer *writer);
DEFINE_AUTO(struct layer_writer, layer_writer_free)

/*
 * What the unpacking put off, for want of the layers below; `parent` (not set: none) and all below it must be there.
 * Before layer_commit() and layer_replace().
 */
struct unpack_result;
int layer_writer_finish(struct layer_writer *writer, const struct digest *parent, const struct unpack_result *result,
			struct error *err);

/*
 * Gives the directory its chain id; layer->directory is ignored. The parent must be there. If the chain id exists
 * already, this directory is dropped. Calls syncfs(2): commit lowest first, and only the last pays.
 */
int layer_commit(struct layer_writer *writer, const struct layer *layer, struct error *err);

/* The files of a layer that is there were damaged: this directory takes their place. Nothing may be using them. */
int layer_replace(struct layer_writer *writer, const struct layer *layer, struct error *err);

/* The blob it can be had from is another now: compressed, or pulled again. */
int layer_set_blob(struct store *store, const struct digest *chain_id, const struct digest *blob, struct error *err);

/* Whether a snapshot's own files can become a layer as they are. */
bool layer_takes_snapshots(const struct store *store);

/* Absolute path of a layer's files, yours. */
char *layer_path(struct store *store, const struct layer *layer);
/* Its files are where the path says, from now until nothing (snapshot, lease) needs them. */
int layer_use(struct store *store, const struct layer *layer, struct error *err);
/* An O_PATH descriptor of a layer's files, yours. */
int layer_open(struct store *store, const struct layer *layer, struct error *err);

struct layer_stack {
	struct layer *items; /* highest first, as overlay's lowerdir= */
	size_t count;
	size_t trees;  /* of the first items: what the files are made of; all, or the highest alone if it is whole */
	uint64_t size; /* of all together */
};

/* All layers below and including chain_id. ERR_NOT_FOUND if one is missing. */
int layer_stack_load(struct layer_stack *out_stack, struct store *store, const struct digest *chain_id,
		     struct error *err);
void layer_stack_fini(struct layer_stack *stack);

/* Bytes of all layers together, each once. */
int layer_total_size(uint64_t *out_bytes, struct store *store, struct error *err);
