/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h - running containers written to folders, to be started from there.
 *
 * A checkpoint is a folder of CRIU's images named by the caller, in the
 * container's own folder (and gone with it) or in one the caller names. It is
 * whole when its inventory.img is there, which CRIU writes last: what a dump
 * left that was killed is no checkpoint. Texts are dockerd's. Without
 * "experimental" in the settings: ERR_UNSUPPORTED, as dockerd.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct container;
struct engine;

struct checkpoint_options {
	const char *name;   /* borrowed, as the folder */
	const char *folder; /* NULL or "": the container's own */
	bool exit;	    /* the container ends with it */
};

int checkpoint_create(struct engine *engine, const char *container, const struct checkpoint_options *options,
		      int cancel_fd, struct error *err);
/* Sorted; added to out_names. */
int checkpoint_list(struct text_list *out_names, struct engine *engine, const char *container, const char *folder,
		    struct error *err);
int checkpoint_remove(struct engine *engine, const char *container, const struct checkpoint_options *options,
		      struct error *err);
/* The folder of one that is whole; yours. */
int checkpoint_find(char **out_path, const struct container *container, const struct checkpoint_options *options,
		    struct error *err);
