/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_make.h - images that are made here, layer by layer: what build and
 * commit share.
 *
 * A snapshot's own changes become a layer: one tar stream, hashed and stored as
 * a blob (its digest is the diff id), and a folder of the store. An image is
 * then a config with history and diff ids, a manifest that names the blobs, and
 * a row. Everything is leased until then.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"
#include "oci/image_config.h"
#include "store/image_record.h"

struct reference;

struct engine;

struct layer_make {
	const char *key;		/* of the snapshot */
	const struct text_list *mounts; /* where the container had mounts: empty places there are no change; NULL */
	bool keep;			/* the snapshot goes on living: its files are copied */
	int64_t latest_s;		/* later times in the layer become this one; negative: none */
	struct lease *lease;		/* gets the new layer and blob */
	int cancel_fd;
};

struct layer_made {
	struct digest chain_id; /* the snapshot's own, if nothing changed */
	struct digest diff_id;	/* not set: nothing changed */
	uint64_t size_bytes;
};

/* Takes the snapshot away unless `keep`. */
int layer_make(struct layer_made *out_made, struct engine *engine, const struct layer_make *options, struct error *err);

/* A layer that was made of nothing, on top of others now: the same blob, the same files by hard links. */
struct layer_rebase {
	struct digest below; /* chain id; not set: nothing */
	struct digest layer; /* chain id of the layer alone, which is stored */
	struct lease *lease; /* gets the new layer and blob */
	int cancel_fd;
};

int layer_rebase(struct layer_made *out_made, struct engine *engine, const struct layer_rebase *options,
		 struct error *err);

struct image_make {
	const struct image_config *config;  /* complete: created, history, rootfs.diff_ids */
	struct digest base;		    /* image whose manifest knows the lowest layers; not set: none */
	struct digest parent;		    /* what is told as its parent; not set: none */
	const char *cache;		    /* of the builder, in base64, for the config; NULL: none */
	const struct text_map *annotations; /* of the manifest; NULL: none */
	/* Given in one step with the image, or both are not; NULL: none. For image_make(). */
	const struct reference *name;
	struct lease *lease;
};

/* ERR_NOT_FOUND if a layer is missing. The same config gives the same id, and then nothing is written. */
int image_make(struct digest *out_id, struct engine *engine, const struct image_make *options, struct error *err);
/* The same without a row, only the blobs under the lease: what image_save() takes as `made`. */
int image_make_apart(struct image_record *out_record, struct engine *engine, const struct image_make *options,
		     struct error *err);
