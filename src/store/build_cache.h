/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_cache.h - results of build steps, by key.
 *
 * A key is the digest of everything that decides a step's result; the result
 * is a stack of layers (by chain id) and the layer the step added, if any. A
 * row keeps its layers and their blobs from the collector; dropping rows frees
 * them. Losing the cache loses nothing but time: no sync.
 *
 * Threads: share the store freely.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"
#include "store/store.h"

struct build_result {
	struct digest chain_id; /* of the whole stack; not set: no layers */
	struct digest diff_id;	/* the layer that was added; not set: none */
	uint64_t size_bytes;	/* of that layer's files */
	int64_t created_ns;	/* wall */
	char *text;		/* what else the step gave (a content digest); owned, may be NULL */
};

struct build_row {
	struct digest key;
	char *description; /* "RUN make" */
	struct build_result result;
	int64_t used_ns;
	int64_t use_count;
};

struct build_rows {
	struct build_row *items;
	size_t count;
};

void build_result_fini(struct build_result *result);
/* 1 with the result, and its use is noted; 0 if there is none whose layers are all here. */
int build_cache_find(struct build_result *out_result, struct store *store, const struct digest *key, struct error *err);
int build_cache_put(struct store *store, const struct digest *key, const char *description,
		    const struct build_result *result, struct error *err);
/* Newest use first. */
int build_cache_list(struct build_rows *out_rows, struct store *store, struct error *err);
void build_rows_fini(struct build_rows *rows);
int build_cache_remove(struct store *store, const struct digest *key, struct error *err);
