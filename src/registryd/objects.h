/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects.h - blobs in an S3-compatible storage, named <prefix>blobs/<algorithm>/<hex>.
 *
 * The folder on disk is then where they are received, and a cache. A blob is in
 * the storage before its first row is made, and goes after its last: who does
 * either holds its name, so that no deletion meets a push. Big ones are sent in
 * parts. Threads: share it freely. Never with the catalog's lock held.
 */
#pragma once

#include "base/log.h"
#include "oci/digest.h"
#include "registryd/s3.h"
#include "registryd/upstream.h"

struct objects;

/* All borrowed. ERR_INVALID if the secret cannot be read. */
int objects_new(struct objects **out_objects, const struct s3_config *config, const struct log *log, struct error *err);
void objects_free(struct objects *objects);
DEFINE_AUTO(struct objects, objects_free)
/* Ends what is under way; afterwards everything fails. */
void objects_stop(struct objects *objects);

const struct s3_config *objects_config(const struct objects *objects);
/* The processes that talk to it. */
struct upstream *objects_upstream(struct objects *objects);

/* Nobody else puts or removes this one meanwhile. */
void objects_hold(struct objects *objects, const struct digest *digest);
/* false: somebody else does. */
bool objects_try_hold(struct objects *objects, const struct digest *digest);
void objects_release(struct objects *objects, const struct digest *digest);

/* Is one of this size put in several requests? */
bool objects_in_parts(uint64_t size);
int objects_put(struct objects *objects, const struct digest *digest, int fd, uint64_t size, struct error *err);
/* Ends what was put in parts and never put together, by whomever. */
int objects_drop_parts(struct objects *objects, const struct digest *digest, struct error *err);
/* 0 also if it was not there. */
int objects_remove(struct objects *objects, const struct digest *digest, struct error *err);
/* A URL to get it from for a while, yours. */
char *objects_url(struct objects *objects, const char *method, const struct digest *digest);
/* A small one whole, not proven; yours. ERR_NOT_FOUND. */
int objects_read(char **out_data, size_t *out_size, struct objects *objects, const struct digest *digest, size_t limit,
		 struct error *err);
