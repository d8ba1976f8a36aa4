/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_source.h - an image as it leaves: its manifest and the stored blob of
 * each layer. push and save share it. Inside engine/ only.
 *
 * The manifest is the one it came with, byte for byte, unless a layer is stored
 * as another blob than that says (the same files compressed in another way, by
 * another image) or there is none: then it is made anew, and `changed`.
 */
#pragma once

#include "oci/image_config.h"
#include "oci/manifest.h"
#include "store/image_record.h"

struct engine;

struct image_part {
	struct digest blob;
	uint64_t size;
	struct digest diff_id;
	struct digest chain_id;
	enum layer_packing packing;
	bool foreign; /* registries need not have it */
};

struct image_source {
	struct digest id;
	uint64_t config_size;
	struct image_config config;
	struct manifest manifest;
	char *manifest_text;	  /* NULL once it changed */
	struct image_part *parts; /* lowest first; as many as diff ids */
	size_t part_count;
};

/* Leases all of it. ERR_CONFLICT if a layer is stored as files only. */
int image_source_load(struct image_source *out_source, struct engine *engine, const struct image_record *record,
		      struct lease *lease, struct error *err);
void image_source_fini(struct image_source *source);
/* Layer `index` leaves as this blob from now on. */
void image_source_replace(struct image_source *source, size_t index, const struct digest *blob, uint64_t size,
			  enum layer_packing packing);
/* Its exact bytes, yours, and digest. */
char *image_source_manifest(const struct image_source *source, struct digest *out_digest);
const char *image_source_media_type(const struct image_source *source);
/* How a layer's blob is compressed, by its first bytes. */
int image_blob_packing(enum layer_packing *out_packing, struct store *store, const struct digest *blob,
		       struct error *err);
