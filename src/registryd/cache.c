/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "oci/hasher.h"
#include "registryd/cache_private.h"
#include "registryd/manifest_look.h"
#include "registryd/objects.h"

#define TAG_LIFE_DEFAULT_S 300

struct cache *cache_new(struct catalog *catalog, const struct log *log, const struct upstream_config *configs,
			size_t count)
{
	struct cache *cache = xcalloc(1, sizeof(*cache));

	cache->catalog = catalog;
	cache->log = log;
	cache->upstreams = upstream_list_new(configs, count);
	mutex_init(&cache->lock);
	condition_init(&cache->changed);
	map_init(&cache->blobs, NULL);
	map_init(&cache->busy, NULL);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	upstream_list_stop(cache->upstreams);
	objects_stop(catalog_objects(cache->catalog));
	mutex_lock(&cache->lock);
	while (cache->threads > 0)
		condition_wait(&cache->changed, &cache->lock);
	mutex_unlock(&cache->lock);
	upstream_list_free(cache->upstreams);
	map_fini(&cache->blobs);
	map_fini(&cache->busy);
	condition_fini(&cache->changed);
	mutex_fini(&cache->lock);
	free(cache);
}

bool cache_has(const struct cache *cache, const char *repository)
{
	AUTO_FREE char *path = NULL;

	return cache && upstream_of(cache->upstreams, repository, &path);
}

char *cache_canonical(const struct cache *cache, const char *repository)
{
	AUTO_FREE char *path = NULL;
	const struct upstream *upstream = upstream_of(cache->upstreams, repository, &path);

	return upstream ? xasprintf("%s/%s", upstream_prefix(upstream_config_of(upstream)), path) : NULL;
}

char *cache_repository(const struct cache *cache, const char *ns, const char *path)
{
	const struct upstream *upstream = upstream_by_name(cache->upstreams, ns);
	AUTO_FREE char *plain = NULL;

	if (!upstream)
		return NULL;
	plain = xasprintf("%s/%s", upstream_prefix(upstream_config_of(upstream)), path);
	return cache_canonical(cache, plain);
}

char *cache_scope(const char *path)
{
	return xasprintf("repository:%s:pull", path);
}

int cache_judge(const struct fetch_head *head, struct error *err)
{
	if (head->status != 404)
		return -1;
	error_clear(err);
	return 0;
}

/* ---- documents ---- */

static int take_bytes(void *arg, const void *data, size_t size, struct error *err)
{
	struct buffer *buffer = arg;

	buffer_append(buffer, data, size);
	return buffer_failed(buffer)
		       ? error_set(err, ERR_INVALID, "the document is larger than %d bytes", CACHE_DOCUMENT_MAX)
		       : 0;
}

int cache_document(char **out_text, struct fetch_head *out_head, struct cache *cache, const char *repository,
		   const char *what, struct error *err)
{
	AUTO_FREE char *path = NULL;
	struct upstream *upstream = upstream_of(cache->upstreams, repository, &path);
	AUTO_FREE char *scope = cache_scope(path);
	AUTO_FREE char *whole = xasprintf("%s/%s", path, what);
	AUTO(buffer_fini) struct buffer body;

	buffer_init(&body, CACHE_DOCUMENT_MAX);
	if (upstream_send(out_head, upstream,
			  &(struct fetch_call){ .method = "GET",
						.path = whole,
						.scope = scope,
						.once = true,
						.on_bytes = take_bytes,
						.arg = &body },
			  err) < 0)
		return cache_judge(out_head, err);
	*out_text = xstrdup(text_or_empty(buffer_text(&body)));
	return 1;
}

/* ---- manifests ---- */

/* One question about a manifest. */
struct asked {
	struct cache *cache;
	struct upstream *upstream;
	const char *repository; /* here */
	const char *reference;
	const char *path; /* there */
	const char *scope;
};

/* What came is what was asked for, or what the registry said it is. */
static int prove(struct digest *out_digest, const struct asked *asked, const char *claimed, const struct buffer *body,
		 struct error *err)
{
	struct digest expected = { .algorithm = DIGEST_SHA256 };
	char text[DIGEST_TEXT_MAX];

	if (strchr(asked->reference, ':'))
		claimed = asked->reference;
	if (claimed && digest_parse(&expected, claimed, err) < 0)
		return -1;
	digest_of(out_digest, expected.algorithm, body->data, body->size);
	if (claimed && !digest_equal(out_digest, &expected))
		return error_set(err, ERR_UNAVAILABLE, "upstream %s: manifest %s of %s has digest %s",
				 upstream_config_of(asked->upstream)->name, claimed, asked->path,
				 digest_text(out_digest, text));
	return 0;
}

static int keep_manifest(const struct asked *asked, const struct fetch_head *head, struct buffer *body,
			 struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	AUTO(manifest_look_fini) struct manifest_look look = { 0 };
	struct blob_store *blobs = catalog_blobs(asked->cache->catalog);
	const char *tag = strchr(asked->reference, ':') ? NULL : asked->reference;
	struct digest digest;

	if (prove(&digest, asked, head->digest, body, err) < 0)
		return -1;
	if (manifest_look(&look, text_or_empty(buffer_text(body)), body->size, head->media_type, err) < 0)
		return error_prefix(err, "upstream %s: manifest %s", upstream_config_of(asked->upstream)->name,
				    asked->reference);
	look.row.digest = digest;
	look.needs.must_exist = 0;
	if (blob_writer_new(&writer, blobs, body->size, err) < 0 ||
	    blob_writer_write(writer, body->data, body->size, err) < 0 ||
	    blob_writer_commit(writer, &digest, err) < 0 ||
	    catalog_put_manifest(asked->cache->catalog, asked->repository, &look.row, &look.needs, tag, err) < 0)
		return -1;
	return tag ? catalog_check_tag(asked->cache->catalog, asked->repository, tag, err) : 0;
}

/* 1: it is here now; 0: the registry does not have it. */
static int get_manifest_from(struct fetch_head *out_head, const struct asked *asked, size_t from, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/manifests/%s", asked->path, asked->reference);
	AUTO(buffer_fini) struct buffer body;

	buffer_init(&body, CACHE_DOCUMENT_MAX);
	if (upstream_send(out_head, asked->upstream,
			  &(struct fetch_call){ .method = "GET",
						.path = path,
						.scope = asked->scope,
						.manifest = true,
						.from = from,
						.on_bytes = take_bytes,
						.arg = &body },
			  err) < 0)
		return cache_judge(out_head, err);
	return keep_manifest(asked, out_head, &body, err) < 0 ? -1 : 1;
}

/* From the first source that sends a manifest, and the one that was asked for. */
static int get_manifest(const struct asked *asked, struct error *err)
{
	size_t from = 0;

	for (;;) {
		AUTO(fetch_head_fini) struct fetch_head head = { 0 };
		int r = get_manifest_from(&head, asked, from, err);

		if (r >= 0 || !head.mirror || head.status / 100 != 2 ||
		    (err->kind != ERR_INVALID && err->kind != ERR_UNAVAILABLE))
			return r;
		log_warn(asked->cache->log, "a mirror gave a wrong manifest; asking the next", F("mirror", head.mirror),
			 F("repository", asked->repository), F("error", err->message));
		error_clear(err);
		from = head.source + 1;
	}
}

/* Is the tag what it was? 1 yes, 2 no: get it; 0 it is gone. */
static int ask_tag(const struct asked *asked, const struct digest *known, struct error *err)
{
	AUTO_FREE char *path = xasprintf("%s/manifests/%s", asked->path, asked->reference);
	AUTO(fetch_head_fini) struct fetch_head head = { 0 };
	char text[DIGEST_TEXT_MAX];

	if (upstream_send(
		    &head, asked->upstream,
		    &(struct fetch_call){
			    .method = "HEAD", .path = path, .scope = asked->scope, .manifest = true, .once = true },
		    err) < 0)
		return cache_judge(&head, err);
	return text_equal(head.digest, digest_text(known, text)) ? 1 : 2;
}

static bool is_fresh(const struct asked *asked, int64_t checked_ns)
{
	int64_t life_s = optional_i64_or(upstream_config_of(asked->upstream)->tag_life_s, TAG_LIFE_DEFAULT_S);

	return clock_wall_ns() - checked_ns < life_s * CLOCK_SECOND;
}

/* The tag is here: as it was, changed or gone there. */
static int renew_tag(const struct asked *asked, const struct digest *known, struct error *err)
{
	struct catalog *catalog = asked->cache->catalog;
	int r;

	if (upstream_is_down(asked->upstream))
		return CACHE_STALE;
	r = ask_tag(asked, known, err);
	if (r == 1)
		r = catalog_check_tag(catalog, asked->repository, asked->reference, err) < 0 ? -1 : 1;
	else if (r == 2)
		r = get_manifest(asked, err);
	if (r == 0)
		return catalog_remove_manifest(catalog, asked->repository, asked->reference, err) < 0 ? -1
												      : CACHE_NOTHING;
	if (r > 0)
		return CACHE_FRESH;
	/* Who may not ask must not get it from us; anything else may be over tomorrow. */
	if (err->kind == ERR_UNAUTHORIZED || err->kind == ERR_FORBIDDEN)
		return -1;
	log_warn(asked->cache->log, "serving what was fetched before", F("repository", asked->repository),
		 F("reference", asked->reference), F("error", err->message));
	error_clear(err);
	return CACHE_STALE;
}

static int refresh(const struct asked *asked, struct error *err)
{
	struct catalog *catalog = asked->cache->catalog;
	AUTO(catalog_manifest_fini) struct catalog_manifest row = { 0 };
	int64_t checked_ns = 0;
	uint64_t size;
	int r = catalog_find_manifest(&row, catalog, asked->repository, asked->reference, err);

	/* One whose bytes were damaged is as good as none. */
	if (r > 0)
		r = catalog_blob_size(&size, catalog, &row.digest, err);
	if (r < 0)
		return -1;
	if (r == 0)
		return get_manifest(asked, err);
	if (strchr(asked->reference, ':'))
		return CACHE_FRESH;
	if (catalog_tag_checked(&checked_ns, catalog, asked->repository, asked->reference, err) < 0)
		return -1;
	return is_fresh(asked, checked_ns) ? CACHE_FRESH : renew_tag(asked, &row.digest, err);
}

int cache_manifest(struct cache *cache, const char *repository, const char *reference, struct error *err)
{
	AUTO_FREE char *path = NULL;
	struct upstream *upstream = upstream_of(cache->upstreams, repository, &path);
	AUTO_FREE char *key = xasprintf("%s@%s", repository, reference);
	AUTO_FREE char *scope = cache_scope(path);
	const struct asked asked = { cache, upstream, repository, reference, path, scope };
	int r;

	/* A hundred machines that start one image are one question. */
	mutex_lock(&cache->lock);
	while (map_get(&cache->busy, key))
		condition_wait(&cache->changed, &cache->lock);
	map_set(&cache->busy, key, cache);
	mutex_unlock(&cache->lock);
	r = refresh(&asked, err);
	mutex_lock(&cache->lock);
	map_remove(&cache->busy, key);
	condition_broadcast(&cache->changed);
	mutex_unlock(&cache->lock);
	return r;
}
