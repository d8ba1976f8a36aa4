/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_record.h - which images are stored: config, manifest, layers.
 *
 * An image's id is the digest of its config blob, as docker's classic store has
 * it. The row is made last, after every blob and layer is whole and synced, so
 * there are no half images. Names are in image_name.h; an image may have none.
 *
 * Threads: share the store freely.
 */
#pragma once

#include "store/store.h"

struct image_record {
	struct digest id;
	struct digest manifest; /* not set: imported, built or committed here */
	struct digest chain_id; /* top layer; not set: no layers */
	uint64_t size;		/* unpacked bytes of all layers */
	int64_t created_ns;	/* from the config; 0: never */
	int64_t tagged_ns;	/* when it was last named */
	struct digest parent;	/* image it was built or committed from; not set: none */
};

struct image_record_list {
	struct image_record *items;
	size_t count;
};

/* Makes the row durable; replaces manifest and times of an image that is there. Call under a lease on all its parts. */
int image_record_put(struct store *store, const struct image_record *image, struct error *err);
/* 1 or 0. */
int image_record_find(struct image_record *out_image, struct store *store, const struct digest *id, struct error *err);
/* By the first hex digits of the id (with or without "sha256:"): 1, 0, or ERR_INVALID if several match. */
int image_record_find_prefix(struct image_record *out_image, struct store *store, const char *prefix,
			     struct error *err);
/* Newest first. */
int image_record_list_load(struct image_record_list *out_list, struct store *store, struct error *err);
void image_record_list_fini(struct image_record_list *list);
/* Removes the row and its names; store_collect() does the rest. */
int image_record_remove(struct store *store, const struct digest *id, struct error *err);
/* The same, but only if no tag names it by now: 1 if it went, 0 if not. */
int image_record_remove_untagged(struct store *store, const struct digest *id, struct error *err);
