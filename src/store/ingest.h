/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest.h - blobs that are still arriving, kept for the next try.
 *
 * An ingest is the part of a blob received so far, in a file named by the
 * digest the whole will have. It survives a cut, a cancel and kill -9, so a
 * pull goes on where it was; it expires when nobody came back for a week. Its
 * bytes are not trusted before the commit.
 *
 * On disk:  <root>/ingest/<alg>-<hex>
 * Threads:  one ingest per digest at a time, in one thread.
 */
#pragma once

#include "store/blob.h"

struct ingest;

/* Opens the part that is there, or a new empty one. ERR_CONFLICT while somebody else receives the same blob. */
int ingest_open(struct ingest **out_ingest, struct blob_store *store, const struct digest *digest, struct error *err);
/* Lets go of it; the part stays, unless it was committed or is empty. */
void ingest_close(struct ingest *ingest);
DEFINE_AUTO(struct ingest, ingest_close)

/* The file, O_RDWR and positioned at its end (borrowed). */
int ingest_fd(const struct ingest *ingest);
/* Bytes in the file now. */
uint64_t ingest_size(const struct ingest *ingest);
/* Throws the bytes away: the part turned out wrong. */
int ingest_reset(struct ingest *ingest, struct error *err);
/* The bytes of the blob of this digest, which is stored, become the part; the blob stays what it is. */
int ingest_copy_blob(struct ingest *ingest, struct error *err);

enum ingest_proof {
	INGEST_HASH,   /* read it all and compare */
	INGEST_PROVEN, /* the writer hashed every byte it put there, including what was there before */
};

/* Names the blob (fsync first). A wrong digest is ERR_INVALID and throws the part away. */
int ingest_commit(struct ingest *ingest, enum ingest_proof proof, struct error *err);

/* Turns a blob nobody refers to back into a (complete) part: what an interrupted pull had finished. */
int ingest_demote(struct blob_store *store, const struct digest *digest, struct error *err);
/* Removes parts untouched for longer than max_age_s (0: all not in use); adds up their bytes. */
int ingest_expire(uint64_t *out_bytes, struct blob_store *store, int64_t max_age_s, struct error *err);
