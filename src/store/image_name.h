/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_name.h - names to images: "docker.io/library/debian:12" and
 * "docker.io/library/debian@sha256:...".
 *
 * A name with a tag can move to another image; a name with a digest says under
 * which digest (of the manifest or the index) a registry gave the image. Both
 * are full, normalised references (oci/reference.h).
 *
 * Threads: share the store freely.
 */
#pragma once

#include "oci/reference.h"
#include "store/store.h"

struct image_name {
	char *name;	  /* full text */
	char *repository; /* "docker.io/library/debian" */
	bool is_digest;
	struct digest image;
};

struct image_name_list {
	struct image_name *items;
	size_t count;
};

/*
 * Gives `image` this name: reference must have a tag, or else a digest (with both, the tag counts). *out_previous
 * (may be NULL) is the image that had it, or not set. ERR_NOT_FOUND if there is no such image.
 */
int image_name_set(struct store *store, const struct reference *reference, const struct digest *image,
		   struct digest *out_previous, struct error *err);
/* 1 with the image's id, or 0. */
int image_name_find(struct digest *out_image, struct store *store, const struct reference *reference,
		    struct error *err);
/* 1 if it was there, 0 if not. */
int image_name_remove(struct store *store, const struct reference *reference, struct error *err);
/* Names of one image, or all if it is NULL; sorted. */
int image_name_list_load(struct image_name_list *out_list, struct store *store, const struct digest *image,
			 struct error *err);
void image_name_list_fini(struct image_name_list *list);
