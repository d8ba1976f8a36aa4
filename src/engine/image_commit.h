/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_commit.h - from unpacked directories to an image: what pull and import
 * share. Nothing has a name before all is whole. Inside engine/ only.
 */
#pragma once

#include "oci/image_config.h"
#include "oci/reference.h"
#include "store/image_record.h"
#include "store/layer.h"
#include "store/unpack.h"

struct image_layer {
	struct digest chain_id;
	struct digest diff_id;
	struct digest blob;	     /* not set: there is none */
	struct layer_writer *writer; /* owned; NULL: the layer is stored already */
	struct unpack_result unpacked;
};

struct image_layers_new {
	struct image_layer *items; /* lowest first */
	size_t count;
};

/* Chain ids from the diff ids of a config; leases them. */
int image_layers_init(struct image_layers_new *out_layers, const struct image_config *config, struct lease *lease,
		      struct error *err);
void image_layers_fini(struct image_layers_new *layers);
/* Reads fd to its end in pieces; ERR_CANCELED when cancel_fd (or -1) becomes readable. */
int image_read_stream(int fd, int cancel_fd, int (*take)(void *arg, const void *data, size_t size, struct error *err),
		      void *arg, struct error *err);
/* Does the deferred work from the lowest up, then names every new layer. */
int image_layers_commit(struct image_layers_new *layers, struct error *err);
/* The row of an image whose config, manifest and layers are stored. */
int image_commit_record(struct store *store, const struct digest *id, const struct digest *manifest,
			const struct image_config *config, const struct image_layers_new *layers,
			const struct digest *parent, struct error *err);
/*
 * The same, and its names (each with a tag or else a digest), in one step: no prune finds it nameless. What a name
 * meant before goes to *out_previous[i], if that is not NULL.
 */
int image_commit_named(struct store *store, const struct digest *id, const struct digest *manifest,
		       const struct image_config *config, const struct image_layers_new *layers,
		       const struct reference *names, size_t count, struct digest *out_previous, struct error *err);
