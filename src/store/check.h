/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - is everything in the store what it should be? Every blob is hashed;
 * every layer is unpacked again beside the one that is there and compared; every
 * image must have its config, its manifest and its layers.
 *
 * Runs beside everything else. Repairing is the caller's: it can fetch.
 */
#pragma once

#include <stdbool.h>

#include "store/store.h"

enum check_kind {
	CHECK_BLOB,  /* its bytes are not its digest */
	CHECK_LAYER, /* chain id: its files are not what its blob unpacks to, or are missing */
	CHECK_IMAGE, /* id: something it needs is not stored */
};

struct check_options {
	bool quarantine; /* damaged blobs are put aside, damaged layers are made again where nothing uses them */
	int cancel_fd;	 /* or -1 */
	void *arg;
	/* text: what is wrong; repaired: and is not any more. */
	void (*problem)(void *arg, enum check_kind kind, const struct digest *digest, const char *text, bool repaired);
	void (*progress)(void *arg, const char *what, uint64_t done, uint64_t total); /* may be NULL */
};

struct check_counts {
	uint64_t blobs;
	uint64_t layers;
	uint64_t images;
	uint64_t unchecked_layers; /* no blob is stored they could be compared with */
	uint64_t problems;
	uint64_t repaired;
};

int store_check(struct check_counts *out_counts, struct store *store, const struct check_options *options,
		struct error *err);
