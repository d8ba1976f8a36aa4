/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.h - one blob from the registry into a file, and what it holds into a
 * pipe, both proven by their digests.
 *
 * Two threads per layer with the file between them: one writes what the socket
 * gives, one reads it back (from the page cache), hashes, inflates, hashes again
 * and feeds the unpacker. So bytes that were in the file before are simply read
 * first, and a slow unpacker never holds up the network. What one source cannot
 * give, the next one is asked for, from where the first stopped.
 */
#pragma once

#include <stdatomic.h>

#include "oci/descriptor.h"
#include "transfer/peer.h"

struct layer_fetch {
	const struct source_list *sources;
	const struct peer_list *peers; /* asked before them; NULL: none */
	size_t first;		       /* of them: that had the manifest, so it is asked first */
	bool others;		       /* wrong bytes are LAYER_LIED: another source will be tried */
	struct remote *remote;
	const struct descriptor *descriptor;
	const char *diff_id; /* NULL: not checked */
	int file_fd;	     /* borrowed; may hold a first part */
	int unpack_fd;	     /* owned: closed here; -1: not unpacked */
	uint64_t unpacked_limit;
	const atomic_bool *stop;
	void (*progress)(void *arg, const char *status, uint64_t current, uint64_t total);
	void *arg;
};

enum layer_outcome {
	LAYER_PROVEN,
	LAYER_BROKEN,	   /* the file's old part, or a peer's, was wrong: start again with an empty one */
	LAYER_LIED,	   /* the source was wrong: the same, and with the next one */
	LAYER_UNPACK_BROKE /* nobody reads unpack_fd any more */
};

/* An outcome, or negative with err filled. */
int layer_fetch(struct layer_fetch *fetch, struct error *err);
