/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - repositories that are those of other registries, fetched when they
 * are asked for and kept.
 *
 * Bytes are hashed here, whoever fetched them: what is not what its digest says
 * gets neither a name nor a client all of it (the last byte is kept back until
 * the digest is proven); a mirror's bytes get no client at all before that, for
 * the next source may have the right ones. One blob is fetched once, however many ask for it. A
 * tag is what it was for tag-life, then asked for again by HEAD; when its
 * registry does not answer, what is here is served.
 * Threads: share it freely. Lock order: cache -> catalog.
 */
#pragma once

#include "base/log.h"
#include "registryd/catalog.h"
#include "registryd/upstream.h"

struct cache;
struct cache_blob;

/* catalog, log and configs are borrowed. */
struct cache *cache_new(struct catalog *catalog, const struct log *log, const struct upstream_config *configs,
			size_t count);
/* Ends what is being fetched. */
void cache_free(struct cache *cache);
DEFINE_AUTO(struct cache, cache_free)

/* Is this repository another registry's? cache may be NULL. */
bool cache_has(const struct cache *cache, const char *repository);
/* Our name (yours) of a repository of the registry clients call `ns`; NULL: it is none of ours. */
char *cache_repository(const struct cache *cache, const char *ns, const char *path);

/* The one name (yours) of a repository that has several, "docker.io/web" and "docker.io/library/web"; NULL: not ours. */
char *cache_canonical(const struct cache *cache, const char *repository);

enum cache_result { CACHE_NOTHING, CACHE_FRESH, CACHE_STALE };

/* Makes the catalog's row of a manifest or tag as fresh as it must be: an enum cache_result, or negative. */
int cache_manifest(struct cache *cache, const char *repository, const char *reference, struct error *err);

/*
 * 1: *out_blob is a stream that is being fetched; 2: it is in the catalog now; 0: the registry does not have it.
 */
int cache_blob_open(struct cache_blob **out_blob, struct cache *cache, const char *repository,
		    const struct digest *digest, struct error *err);
/* The same for one of ours that is in the object storage, from this URL: 1 or 2. */
int cache_object_open(struct cache_blob **out_blob, struct cache *cache, struct upstream *storage, const char *url,
		      const struct digest *digest, struct error *err);
uint64_t cache_blob_size(const struct cache_blob *blob);
/* Waits for bytes from `offset` (below its size) on; negative: it broke off. */
ssize_t cache_blob_read(struct cache_blob *blob, void *data, size_t room, uint64_t offset);
void cache_blob_unref(struct cache_blob *blob);
DEFINE_AUTO(struct cache_blob, cache_blob_unref)
/* Only its size: 1, or 0 if the registry does not have it. */
int cache_blob_ask(uint64_t *out_size, struct cache *cache, const char *repository, const struct digest *digest,
		   struct error *err);

/* A document that is not kept, e.g. "tags/list?n=5": 1 with the text and head (yours), 0 if the registry has none. */
int cache_document(char **out_text, struct fetch_head *out_head, struct cache *cache, const char *repository,
		   const char *what, struct error *err);
