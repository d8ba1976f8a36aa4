/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - an image, or a whole index, from one place to another.
 *
 * Bytes stay as they are, so digests do: a manifest is written anew only if the
 * destination has no words for its format, or its plain layers are compressed.
 */
#pragma once

#include "image/place.h"

struct copy_options {
	const struct image_request *request; /* borrowed: all, platform, format, preserve_digests, referrers, quiet */
};

/* *out_top: what the destination's name now means. The caller finishes the place. */
int copy_image(struct place *to, struct place *from, const struct copy_options *options, struct document *out_top,
	       struct error *err);
/* From what a place names down to the manifest of one platform (NULL or "": this machine's). */
int copy_resolve(struct place *from, const char *platform, struct document *out_document, struct manifest *out_manifest,
		 struct error *err);
/* One blob, if it is not there. blob is changed if its bytes had to be. */
int copy_blob(struct place *to, struct place *from, struct descriptor *blob, const struct copy_options *options,
	      struct error *err);
/* Config and layers, several at a time; changed ones in the manifest. */
int copy_blobs(struct place *to, struct place *from, struct manifest *manifest, const struct copy_options *options,
	       struct error *err);
