/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_internal.h - what the files of store/ share: directories by number, the
 * trash, digests in queries.
 *
 * snapshots/<n> is the directory of a layer or snapshot row; snapshots/new-<n>
 * one that is being made. Trash is emptied by a thread of its own.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "store/store.h"

#define DIRECTORY_PATH_MAX 64

/* A number no directory had yet. */
int64_t store_next_directory(struct store *store);
/* "snapshots/<n><suffix>", or "snapshots/new-<n><suffix>". Returns out. */
const char *store_directory(char out[DIRECTORY_PATH_MAX], int64_t number, bool is_new, const char *suffix);
/* Moves a path below <root> out of sight and wakes the thread that deletes. Not there is fine. */
int store_discard(struct store *store, const char *path, struct error *err);

/* A writer over snapshots/<n>, which has no row any more. */
struct layer_writer;
struct store *layer_writer_store(const struct layer_writer *writer);
int64_t layer_writer_directory(const struct layer_writer *writer);
int layer_writer_adopt(struct layer_writer **out_writer, struct store *store, int64_t directory, struct error *err);

struct erofs_layers *store_erofs_layers(struct store *store);

/* For the collector: nothing can be leased between the two. */
bool store_is_leased_locked(struct store *store, const struct digest *digest);
void store_lease_lock(struct store *store);
void store_lease_unlock(struct store *store);

/* While a collection runs, leases that end are kept. */
void store_collecting(struct store *store, bool running);
/* At start: blobs that nothing refers to become ingests, for the next try. */
int store_demote_unused(struct store *store, struct error *err);

/* Texts for query_bind_text(): "" is bound for an unset digest. */
struct digest_param {
	char text[DIGEST_TEXT_MAX];
};
void query_bind_digest(struct query *query, int parameter, const struct digest *digest, struct digest_param *memory);
/* {0} for NULL and "". */
void query_digest(struct query *query, int column, struct digest *out_digest);
