/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_option.h - the option words of mounts[] sorted by what they act on:
 * the mount (attributes), all mounts below (recursive), propagation, the
 * superblock, binding, or the file system itself (data).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct mount_options {
	bool bind;
	bool recursive_bind;
	uint64_t attr_set; /* MOUNT_ATTR_ */
	uint64_t attr_clear;
	uint64_t recursive_set;
	uint64_t recursive_clear;
	uint64_t propagation[4]; /* MS_SHARED, ..., in order; with MS_REC for all below */
	unsigned propagation_count;
	unsigned long superblock; /* MS_RDONLY, MS_SYNCHRONOUS, ... */
	bool idmap;
	bool recursive_idmap;
	bool copy_up;	  /* tmpcopyup: what the image has there comes into the tmpfs */
	char *subpath;	  /* of a bind: what is bound, below the source; NULL: the source */
	struct text data; /* comma separated */
};

/* ERR_INVALID for a word that contradicts. Free with mount_options_fini(). */
int mount_options_parse(struct mount_options *out_options, const struct text_list *words, struct error *err);
void mount_options_fini(struct mount_options *options);
/* MS_ flags of a propagation word ("rslave"), or 0. */
uint64_t mount_options_propagation(const char *word);
/* The i-th known word, NULL behind the last: for `features`. */
const char *mount_options_known(size_t index);
