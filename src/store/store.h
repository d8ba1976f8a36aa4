/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - everything kist keeps on disk, as one thing to open.
 *
 * Opening repairs: what an unfinished pull, unpack or removal left is dropped
 * (finished blobs of it become ingests, for the next try), and old ingests
 * expire. Lock order: lease -> database. Nothing here waits for the network or
 * a process while it holds a lock.
 *
 * On disk:  <root>/{meta.db,blobs,ingest,snapshots,tmp,trash,quarantine}
 * Threads:  share it freely.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/digest.h"
#include "store/blob.h"
#include "store/database.h"
#include "store/driver.h"

struct store;
struct lease;

/* ERR_CONFLICT if another process has it open. */
/* driver: see driver.h; NULL: as before, or what suits the file system. */
int store_open(struct store **out_store, const char *root, const char *driver, struct error *err);
void store_close(struct store *store);
DEFINE_AUTO(struct store, store_close)

/* All borrowed. */
struct blob_store *store_blobs(struct store *store);
struct database *store_database(struct store *store);
const char *store_root(const struct store *store);
int store_root_fd(const struct store *store); /* a readable directory */

/* Bytes free for us on the store's file system. */
int store_free_bytes(uint64_t *out_bytes, struct store *store, struct error *err);

/*
 * A lease keeps blobs and layers that nothing refers to yet from the garbage
 * collector: lease first, then look whether it is there. In memory only: what
 * was leased when the process died is garbage for the next.
 */
struct lease *lease_new(struct store *store);
void lease_add(struct lease *lease, const struct digest *blob_or_chain_id);
void lease_free(struct lease *lease);
DEFINE_AUTO(struct lease, lease_free)

struct store_garbage {
	uint64_t blobs;
	uint64_t layers;
	uint64_t bytes;
};

/* Removes blobs and layers that no image, snapshot or lease refers to. Safe beside running pulls. */
int store_collect(struct store_garbage *out_garbage, struct store *store, struct error *err);
