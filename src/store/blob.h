/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.h - content-addressed files.
 *
 * A blob is an immutable file named by the digest of its bytes: image layers,
 * configs and manifests are all blobs. It is written elsewhere while it is
 * hashed and then gets its name, after fsync: a blob that has a name is whole,
 * even after a crash or power loss, and writing the same blob twice is
 * harmless. A blob that turns out damaged when read is put aside into
 * quarantine and no longer exists; it is never served.
 *
 * On disk:  <root>/blobs/<alg>/<hex>  <root>/tmp/<random>
 *           <root>/quarantine/<alg>-<hex>   (and ingest.h)
 * Threads:  share a blob_store freely; keep a blob_writer to one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/digest.h"

struct blob_store;
struct blob_writer;

#define BLOB_NO_LIMIT UINT64_MAX

/* Makes <root> if needed and clears what unfinished writers left. One process may have it open: ERR_CONFLICT else. */
int blob_store_open(struct blob_store **out_store, const char *root, struct error *err);
void blob_store_close(struct blob_store *store);
DEFINE_AUTO(struct blob_store, blob_store_close)

/* Returns 1 if the blob is stored, 0 if it is not, or fails. */
int blob_exists(struct blob_store *store, const struct digest *digest, struct error *err);
/* The same; with 1, its size. */
int blob_size(uint64_t *out_bytes, struct blob_store *store, const struct digest *digest, struct error *err);

/* Opens a blob for reading. The caller owns the descriptor. ERR_NOT_FOUND if it is not stored. */
int blob_open(struct blob_store *store, const struct digest *digest, struct error *err);

/*
 * Reads a small blob (manifest, config) of at most `limit` bytes and proves its digest; NUL-terminated, yours.
 * out_size may be NULL. ERR_NOT_FOUND if it is not stored or was damaged.
 */
int blob_read(char **out_data, size_t *out_size, struct blob_store *store, const struct digest *digest, size_t limit,
	      struct error *err);

/* Hashes the whole blob: 0 if it is what its name says; else it is quarantined and this is ERR_NOT_FOUND. */
int blob_verify(struct blob_store *store, const struct digest *digest, struct error *err);

/* Starts a new blob of at most `limit` bytes. The store must outlive the writer. */
int blob_writer_new(struct blob_writer **out_writer, struct blob_store *store, uint64_t limit, struct error *err);
int blob_writer_write(struct blob_writer *writer, const void *data, size_t size, struct error *err);

/* Names the blob, if its bytes hash to `expected`; else ERR_INVALID. */
int blob_writer_commit(struct blob_writer *writer, const struct digest *expected, struct error *err);
/* The sha256 of what was written so far. */
void blob_writer_digest(const struct blob_writer *writer, struct digest *out_digest);
/* For another program to fill, which hashes too: the file (borrowed). Then only commit_proven() makes sense. */
int blob_writer_fd(const struct blob_writer *writer);
/* Names what that program wrote, which says it has proven the digest; a blob that is stored stays as it is. Once. */
int blob_writer_commit_proven(struct blob_writer *writer, const struct digest *digest, struct error *err);
/* Names the blob by its sha256 and tells it. */
int blob_writer_commit_any(struct blob_writer *writer, struct digest *out_digest, struct error *err);

/* Also throws away what was written, unless it was committed. */
void blob_writer_free(struct blob_writer *writer);
DEFINE_AUTO(struct blob_writer, blob_writer_free)

/*
 * Makes a whole file of ours the blob of this digest, which the caller has proven: `name` in dir_fd, on the same file
 * system, not a link and without other names. That name stays, for the caller to remove; nobody may write to it.
 */
int blob_adopt(struct blob_store *store, int dir_fd, const char *name, const struct digest *digest, struct error *err);

/* One small blob at once. */
int blob_put(struct digest *out_digest, struct blob_store *store, const void *data, size_t size, struct error *err);

/* Forgets a blob; 0 also if it was not stored. */
int blob_remove(struct blob_store *store, const struct digest *digest, struct error *err);

/* Calls visit for every blob; it may remove the one it is given. A negative return ends the walk and is returned. */
typedef int (*blob_visit)(void *arg, const struct digest *digest, uint64_t size, struct error *err);
int blob_walk(struct blob_store *store, blob_visit visit, void *arg, struct error *err);

/* <root> as an O_PATH directory (borrowed), for the store's other parts. */
int blob_store_root(const struct blob_store *store);
