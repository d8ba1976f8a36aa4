/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edit.h - an image loaded to be changed: documents in memory, layers where they
 * are, new ones in files. edit_save() copies what stays and puts what is new;
 * the destination's name changes last.
 */
#pragma once

#include "image/copy.h"
#include "oci/image_config.h"

struct edit_layer {
	struct descriptor descriptor;
	int fd;		    /* owned: its bytes; -1: it stays where it is */
	struct place *from; /* borrowed: where that is */
};

struct edit {
	const struct image_request *request; /* borrowed */
	struct place *place;
	struct document document;
	struct manifest manifest; /* its layers are moved out */
	struct image_config config;
	char *config_text; /* as it was: what we do not know is kept */
	struct edit_layer *layers;
	size_t layer_count;
};

/* AUTO(edit_fini) struct edit edit = { 0 }; name: an operand. */
int edit_load(struct edit *out_edit, const struct image_request *request, const char *name, struct error *err);
void edit_fini(struct edit *edit);
/* A layer's file (taken), plain or packed, goes on top. */
int edit_add_layer_take_fd(struct edit *edit, int fd, const char *created_by, struct error *err);
/* The plain bytes of all layers laid over each other: a file, yours. */
int edit_flatten(struct edit *edit, struct error *err);
/* To the request's output, or where it came from; prints the new digest. */
int edit_save(struct edit *edit, struct error *err);
