/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show_whole.h - images of a list, or one, with their manifests: manifest inspect --verbose.
 */
#pragma once

#include "image/jobs.h"
#include "image/place.h"

struct shown_image {
	char *name;
	struct descriptor descriptor;
	char *raw;    /* the manifest's bytes, base64 */
	char *docker; /* the manifest, by its kind */
	char *oci;
};

/* The first two as in JSON_ARRAY_OF. */
struct shown_images {
	struct shown_image *items;
	size_t count;
	bool is_list;
};

void shown_images_fini(struct shown_images *images);
/* What the place names, all of it if that is a list; or what the descriptor names. `name`: of the place. */
int shown_images_add(struct shown_images *images, struct place *place, const char *name,
		     const struct descriptor *descriptor, struct error *err);
int shown_images_print(const struct shown_images *images, struct error *err);
