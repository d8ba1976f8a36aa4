/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_parts.h - layers that travel without an image: the blob of each, and
 * layers made of blobs that come from anywhere.
 *
 * Whoever gives the blobs is not trusted: sizes are bounded by the descriptors,
 * bytes are proven by digest and diff id before a layer has a name.
 */
#pragma once

#include "oci/descriptor.h"
#include "oci/media_type.h"
#include "store/layer.h"

struct engine;

/* How layers leave. */
struct layer_form {
	enum layer_packing packing; /* LAYER_TAR: as it is stored; what is a plain tar else gets this */
	bool force;		    /* what is compressed in another way too; LAYER_TAR: nothing is compressed */
	int level;		    /* of zstd; 0: the usual */
};

/*
 * The blob a layer can be had from, in that form, leased: 1 with a descriptor (yours), 0 if it is stored as files only.
 * What is compressed for that is kept as long as the build cache keeps it.
 */
int layer_blob_descriptor(struct descriptor *out_blob, struct engine *engine, const struct layer *layer,
			  const struct layer_form *form, struct lease *lease, int cancel_fd, struct error *err);

struct image_record;
struct manifest;
/* An image's manifest with its layers in that form, all leased: exact bytes and digest, yours. */
int image_manifest_load(struct manifest *out_manifest, char **out_text, struct digest *out_digest,
			struct engine *engine, const struct image_record *record, const struct layer_form *form,
			struct lease *lease, int cancel_fd, struct error *err);

struct layer_part {
	const struct descriptor *blob;
	struct digest diff_id;
};

struct layers_fetch {
	const struct layer_part *parts; /* lowest first */
	size_t count;
	/* Fills an empty file (borrowed) with the blob's bytes. */
	int (*get)(void *arg, const struct descriptor *blob, int fd, struct error *err);
	void *arg;
	struct lease *lease;
	int cancel_fd;
};

/* Makes every layer of the stack that is not here; what is here is not asked for. */
int layers_fetch(struct engine *engine, const struct layers_fetch *fetch, struct error *err);
/* One blob as it is to the store, leased. */
int blob_fetch(struct engine *engine, const struct layers_fetch *fetch, const struct descriptor *blob,
	       struct error *err);
