/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the first who asks for a blob starts a thread that fetches it
 * into a blob_writer; everybody reads the same file behind it. The thread and
 * each reader hold a reference; the map lends the blob to newcomers until it is
 * whole or has failed. What a mirror sends is read by nobody before it is whole:
 * if it is wrong, the next source is asked, and no client has seen any of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "registryd/cache_private.h"

struct cache_blob {
	struct cache *cache;	   /* borrowed */
	struct upstream *upstream; /* borrowed */
	char *key;
	char *repository; /* NULL: it is only a copy of an object */
	char *path;
	char *url; /* of an object, or NULL */
	struct digest digest;
	struct blob_writer *writer; /* the thread's */
	int fd;			    /* of the same file; changes only while `held` */
	bool wrong;		    /* the thread's: these bytes are not what the digest says */
	/* Guarded by the cache's lock: */
	size_t references;
	bool headed;
	bool held; /* it comes from a mirror */
	bool has_size;
	uint64_t size;
	uint64_t written;
	bool done;
	bool failed;
	bool missing; /* the registry does not have it */
	struct error err;
};

static void unref_locked(struct cache_blob *blob)
{
	if (--blob->references > 0)
		return;
	blob_writer_free(blob->writer);
	if (blob->fd >= 0)
		close(blob->fd);
	error_clear(&blob->err);
	free(blob->key);
	free(blob->repository);
	free(blob->path);
	free(blob->url);
	free(blob);
}

void cache_blob_unref(struct cache_blob *blob)
{
	struct cache *cache;

	if (!blob)
		return;
	cache = blob->cache;
	mutex_lock(&cache->lock);
	unref_locked(blob);
	mutex_unlock(&cache->lock);
}

uint64_t cache_blob_size(const struct cache_blob *blob)
{
	return blob->size;
}

/* ---- the thread ---- */

static int on_head(void *arg, const struct fetch_head *head, struct error *err)
{
	struct cache_blob *blob = arg;
	struct cache *cache = blob->cache;

	(void)err;
	mutex_lock(&cache->lock);
	blob->headed = true;
	blob->held = head->mirror != NULL;
	blob->has_size = head->has_size && head->size > 0;
	blob->size = head->size;
	condition_broadcast(&cache->changed);
	mutex_unlock(&cache->lock);
	return 0;
}

static int on_bytes(void *arg, const void *data, size_t size, struct error *err)
{
	struct cache_blob *blob = arg;
	struct cache *cache = blob->cache;

	if (blob->has_size && size > blob->size - blob->written) {
		blob->wrong = true;
		return error_set(err, ERR_UNAVAILABLE, "more bytes came than were announced");
	}
	if (blob_writer_write(blob->writer, data, size, err) < 0)
		return -1;
	mutex_lock(&cache->lock);
	blob->written += size;
	condition_broadcast(&cache->changed);
	mutex_unlock(&cache->lock);
	return 0;
}

/* 1: whole and in the catalog; 0: the registry does not have it. */
static int fetch_once(struct fetch_head *out_head, struct cache_blob *blob, size_t from, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *scope = blob->url ? NULL : cache_scope(blob->path);
	AUTO_FREE char *path = blob->url ? NULL
					 : xasprintf("%s/blobs/%s", blob->path, digest_text(&blob->digest, text));

	if (upstream_send(out_head, blob->upstream,
			  &(struct fetch_call){ .method = "GET",
						.path = path,
						.scope = scope,
						.url = blob->url,
						.resume = true,
						.from = from,
						.on_head = on_head,
						.on_bytes = on_bytes,
						.arg = blob },
			  err) < 0)
		return cache_judge(out_head, err);
	if (blob_writer_commit(blob->writer, &blob->digest, err) < 0) {
		blob->wrong = err->kind == ERR_INVALID;
		return error_prefix(err, "upstream %s", upstream_config_of(blob->upstream)->name);
	}
	if (!blob->repository) {
		catalog_folder_grew(blob->cache->catalog);
		return 1;
	}
	return catalog_link_blob(blob->cache->catalog, blob->repository, &blob->digest, err) < 0 ? -1 : 1;
}

/* An empty file for the next source's bytes. Nobody has read the old one: it was held. */
static int start_again(struct cache_blob *blob, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&blob->cache->lock);

	blob_writer_free(take_ptr(blob->writer));
	close(take_fd(&blob->fd));
	blob->wrong = false;
	blob->headed = false;
	blob->written = 0;
	if (blob_writer_new(&blob->writer, catalog_blobs(blob->cache->catalog), BLOB_NO_LIMIT, err) < 0)
		return -1;
	blob->fd = fcntl(blob_writer_fd(blob->writer), F_DUPFD_CLOEXEC, 0);
	return blob->fd < 0 ? error_set_errno(err, ERR_EXHAUSTED, errno, "read a blob that is being fetched") : 0;
}

/* From the first source whose bytes are right. */
static int fetch(struct cache_blob *blob, struct error *err)
{
	size_t from = 0;

	for (;;) {
		AUTO(fetch_head_fini) struct fetch_head head = { 0 };
		int r = fetch_once(&head, blob, from, err);

		if (r >= 0 || !blob->wrong || !head.mirror)
			return r;
		log_warn(blob->cache->log, "a mirror gave wrong bytes; asking the next", F("mirror", head.mirror),
			 F("repository", blob->repository), F("error", err->message));
		error_clear(err);
		from = head.source + 1;
		if (start_again(blob, err) < 0)
			return -1;
	}
}

static void *fetch_thread(void *arg)
{
	struct cache_blob *blob = arg;
	struct cache *cache = blob->cache;
	AUTO(error_clear) struct error err = { 0 };
	int r = fetch(blob, &err);

	if (r < 0)
		log_warn(cache->log, "blob was not fetched", F("repository", blob->repository),
			 F("error", err.message));
	mutex_lock(&cache->lock);
	blob->done = r > 0;
	blob->failed = r <= 0;
	blob->missing = r == 0;
	/* What is wrong with what they sent is nothing the client did. */
	if (err.kind == ERR_INVALID)
		err.kind = ERR_UNAVAILABLE;
	if (error_is_set(&err))
		error_move(&blob->err, &err);
	map_remove(&cache->blobs, blob->key);
	unref_locked(blob);
	cache->threads--;
	condition_broadcast(&cache->changed);
	mutex_unlock(&cache->lock);
	return NULL;
}

/* ---- who asks ---- */

static int start(struct cache_blob **out_blob, struct cache *cache, const struct cache_blob *what, struct error *err)
{
	struct cache_blob *blob = xcalloc(1, sizeof(*blob));

	mutex_assert_held(&cache->lock);
	blob->cache = cache;
	blob->key = xstrdup(what->key);
	blob->repository = xstrdup(what->repository);
	blob->path = xstrdup(what->path);
	blob->url = xstrdup(what->url);
	blob->upstream = what->upstream;
	blob->digest = what->digest;
	blob->fd = -1;
	blob->references = 2;
	if (blob_writer_new(&blob->writer, catalog_blobs(cache->catalog), BLOB_NO_LIMIT, err) == 0) {
		blob->fd = fcntl(blob_writer_fd(blob->writer), F_DUPFD_CLOEXEC, 0);
		cache->threads++;
		if (blob->fd >= 0 && thread_start(NULL, "cache-blob", fetch_thread, blob, err) == 0) {
			map_set(&cache->blobs, blob->key, blob);
			*out_blob = blob;
			return 0;
		}
		cache->threads--;
		if (blob->fd < 0)
			error_set_errno(err, ERR_EXHAUSTED, errno, "read a blob that is being fetched");
	}
	blob->references = 1;
	unref_locked(blob);
	return -1;
}

/* Until it is known what becomes of it. The caller's reference stays. */
static int wait_head(struct cache_blob *blob, struct error *err)
{
	struct cache *cache = blob->cache;

	mutex_assert_held(&cache->lock);
	while (!blob->done && !blob->failed && !(blob->headed && blob->has_size && !blob->held))
		condition_wait(&cache->changed, &cache->lock);
	if (blob->missing)
		return 0;
	if (blob->failed)
		return error_set(err, blob->err.kind, "%s", text_or_empty(blob->err.message));
	return blob->done ? 2 : 1;
}

/* The one that is being fetched, or a new one. */
static int join(struct cache_blob **out_blob, struct cache *cache, const struct cache_blob *what, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&cache->lock);
	struct cache_blob *blob = map_get(&cache->blobs, what->key);
	int r;

	/* Perhaps it has become whole since the caller looked: what leaves the map is in the catalog by then. */
	if (!blob && what->repository) {
		r = catalog_adopt_blob(cache->catalog, what->repository, &what->digest, err);
		if (r != 0)
			return r < 0 ? -1 : 2;
	}
	if (blob)
		blob->references++;
	else if (start(&blob, cache, what, err) < 0)
		return -1;
	r = wait_head(blob, err);
	if (r == 1)
		*out_blob = blob;
	else
		unref_locked(blob);
	return r;
}

int cache_blob_open(struct cache_blob **out_blob, struct cache *cache, const char *repository,
		    const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *key = xasprintf("%s@%s", repository, digest_text(digest, text));
	AUTO_FREE char *path = NULL;
	struct cache_blob what = { .key = key, .repository = (char *)(uintptr_t)repository, .digest = *digest };
	int r = catalog_adopt_blob(cache->catalog, repository, digest, err);

	if (r != 0)
		return r < 0 ? -1 : 2;
	what.upstream = upstream_of(cache->upstreams, repository, &path);
	what.path = path;
	return join(out_blob, cache, &what, err);
}

int cache_object_open(struct cache_blob **out_blob, struct cache *cache, struct upstream *storage, const char *url,
		      const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *key = xasprintf("@%s", digest_text(digest, text));

	return join(out_blob, cache,
		    &(struct cache_blob){
			    .key = key, .upstream = storage, .url = (char *)(uintptr_t)url, .digest = *digest },
		    err);
}

/* How many bytes from `at` on may be handed out; 0: never any. */
static uint64_t wait_bytes(struct cache_blob *blob, uint64_t at)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&blob->cache->lock);
	uint64_t ready;

	for (;;) {
		/* A client that has all of it might not hash it. */
		ready = blob->done || blob->written < blob->size ? blob->written : blob->size - 1;
		if (ready > at)
			return ready - at;
		if (blob->done || blob->failed)
			return 0;
		condition_wait(&blob->cache->changed, &blob->cache->lock);
	}
}

ssize_t cache_blob_read(struct cache_blob *blob, void *data, size_t room, uint64_t offset)
{
	uint64_t ready = wait_bytes(blob, offset);
	ssize_t got;

	if (ready == 0)
		return -1;
	do
		got = pread(blob->fd, data, ready < room ? (size_t)ready : room, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got;
}

int cache_blob_ask(uint64_t *out_size, struct cache *cache, const char *repository, const struct digest *digest,
		   struct error *err)
{
	AUTO_FREE char *name = NULL;
	struct upstream *upstream = upstream_of(cache->upstreams, repository, &name);
	AUTO_FREE char *scope = cache_scope(name);
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = xasprintf("%s/blobs/%s", name, digest_text(digest, text));
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };

	if (upstream_send(&head, upstream, &(struct fetch_call){ .method = "HEAD", .path = path, .scope = scope },
			  err) < 0)
		return cache_judge(&head, err);
	*out_size = head.size;
	return 1;
}
