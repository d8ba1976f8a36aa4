/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: mark what images, snapshots and their parents reach; sweep the
 * rest. Each thing is looked at once more under the lease lock right before it
 * goes, so a pull that leased it a moment ago keeps it. A lease that ends while
 * a collection runs lasts until the collection ends: what it protected may have
 * got its row after the marking.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "oci/manifest.h"
#include "store/disk.h"
#include "store/erofs_layer.h"
#include "store/ingest.h"
#include "store/layer.h"
#include "store/store_internal.h"

/* Documents are fetched again in no time; layers are not. */
#define WORTH_KEEPING (64 * 1024)

struct marks {
	struct store *store;
	struct map blobs; /* text -> store */
	struct store_garbage *garbage;
	bool demote; /* at start: keep the bytes as ingests */
};

static void mark(struct marks *marks, const char *digest)
{
	if (!text_empty(digest))
		map_set(&marks->blobs, digest, marks->store);
}

/*
 * An image's manifest names its layers' blobs; damaged or missing ones do not stop the collection. One that cannot be
 * read just now does: its blobs would be taken for nobody's.
 */
static int mark_manifest(struct marks *marks, const char *text, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *data = NULL;
	struct manifest manifest = { 0 };
	struct digest digest;
	size_t size;

	if (text_empty(text) || digest_parse(&digest, text, &ignored) < 0)
		return 0;
	if (blob_read(&data, &size, store_blobs(marks->store), &digest, MANIFEST_SIZE_MAX, &ignored) < 0)
		return ignored.kind == ERR_NOT_FOUND || ignored.kind == ERR_INVALID ? 0 : error_move(err, &ignored);
	if (manifest_decode(&manifest, data, size, NULL, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < manifest.layers.count; i++)
		mark(marks, manifest.layers.items[i].digest);
	manifest_fini(&manifest);
	return 0;
}

static int mark_blobs(struct marks *marks, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(marks->store), "SELECT id, manifest FROM image", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		mark(marks, query_text(query, 0));
		mark(marks, query_text(query, 1));
		if (mark_manifest(marks, query_text(query, 1), err) < 0)
			return -1;
	}
	if (r < 0)
		return -1;
	query_free(take_ptr(query));
	/* Names with a digest keep the index they name. */
	if (query_new(&query, store_database(marks->store),
		      "SELECT substr(name, instr(name, '@') + 1) FROM image_name WHERE is_digest", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0)
		mark(marks, query_text(query, 0));
	if (r < 0)
		return -1;
	query_free(take_ptr(query));
	/* A cached build step keeps the layer it made. */
	if (query_new(&query, store_database(marks->store), "SELECT diff_id FROM build_cache", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0)
		mark(marks, query_text(query, 0));
	return r;
}

static int sweep_blob(void *arg, const struct digest *digest, uint64_t size, struct error *err)
{
	struct marks *marks = arg;
	char text[DIGEST_TEXT_MAX];
	bool leased;
	int r = 0;

	if (map_get(&marks->blobs, digest_text(digest, text)))
		return 0;
	store_lease_lock(marks->store);
	leased = store_is_leased_locked(marks->store, digest);
	if (!leased)
		r = marks->demote && size >= WORTH_KEEPING ? ingest_demote(store_blobs(marks->store), digest, err)
							   : blob_remove(store_blobs(marks->store), digest, err);
	store_lease_unlock(marks->store);
	if (r == 0 && !leased) {
		marks->garbage->blobs++;
		marks->garbage->bytes += size;
	}
	return r;
}

static int sweep_blobs(struct marks *marks, struct error *err)
{
	int r;

	map_init(&marks->blobs, NULL);
	r = mark_blobs(marks, err);
	if (r < 0 && marks->demote) {
		/* A start must not fail because there is nothing to tidy up by. */
		error_clear(err);
		map_fini(&marks->blobs);
		return 0;
	}
	if (r == 0)
		r = blob_walk(store_blobs(marks->store), sweep_blob, marks, err);
	map_fini(&marks->blobs);
	return r;
}

int store_demote_unused(struct store *store, struct error *err)
{
	struct store_garbage garbage = { 0 };
	struct marks marks = { .store = store, .garbage = &garbage, .demote = true };

	return sweep_blobs(&marks, err);
}

/* ---- layers ---- */

struct candidate {
	struct digest chain_id;
	int64_t directory;
	uint64_t size;
};

struct candidates {
	struct candidate *items;
	size_t count;
	size_t capacity;
};

/* Layers on which nothing stands: removing them may free the next below. */
static int load_candidates(struct candidates *list, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	list->count = 0;
	if (query_new(&query, store_database(store),
		      "SELECT chain_id, directory, size FROM layer l WHERE NOT EXISTS"
		      " (SELECT 1 FROM layer WHERE parent = l.chain_id) AND NOT EXISTS"
		      " (SELECT 1 FROM snapshot WHERE chain_id = l.chain_id) AND NOT EXISTS"
		      " (SELECT 1 FROM image WHERE chain_id = l.chain_id) AND NOT EXISTS"
		      " (SELECT 1 FROM build_cache WHERE chain_id = l.chain_id)",
		      err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		list->items = xgrow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
		query_digest(query, 0, &list->items[list->count].chain_id);
		list->items[list->count].directory = query_i64(query, 1);
		list->items[list->count].size = (uint64_t)query_i64(query, 2);
		list->count++;
	}
	return r;
}

/* Once more with all conditions: since the candidate was found, somebody may have come to need it. */
static int delete_row(struct store *store, const struct digest *chain_id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store),
		      "DELETE FROM layer WHERE chain_id = ?1 AND NOT EXISTS (SELECT 1 FROM layer WHERE parent = ?1)"
		      " AND NOT EXISTS (SELECT 1 FROM snapshot WHERE chain_id = ?1)"
		      " AND NOT EXISTS (SELECT 1 FROM image WHERE chain_id = ?1)"
		      " AND NOT EXISTS (SELECT 1 FROM build_cache WHERE chain_id = ?1)",
		      err) < 0)
		return -1;
	query_bind_digest(query, 1, chain_id, &memory);
	return query_run(query, err);
}

/* One round: rows of layers on which nothing stands. Adds what it removed to `removed`. */
static int delete_round(struct candidates *removed, struct store *store, struct error *err)
{
	struct candidates list = { 0 };
	int deleted = 0;
	int r = load_candidates(&list, store, err);

	for (size_t i = 0; r >= 0 && i < list.count; i++) {
		r = 0;
		if (!store_is_leased_locked(store, &list.items[i].chain_id))
			r = delete_row(store, &list.items[i].chain_id, err);
		if (r <= 0)
			continue;
		removed->items = xgrow(removed->items, &removed->capacity, removed->count + 1, sizeof(*removed->items));
		removed->items[removed->count++] = list.items[i];
		deleted++;
	}
	free(list.items);
	return r < 0 ? -1 : deleted;
}

/* Synced, so that no row comes back after its directory went. */
static int delete_rows(struct candidates *removed, struct store *store, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	int r;

	if (transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0)
		return -1;
	do {
		r = delete_round(removed, store, err);
	} while (r > 0);
	return r < 0 ? -1 : transaction_commit(transaction, err);
}

static int sweep_layers(struct store *store, struct store_garbage *garbage, struct error *err)
{
	struct candidates removed = { 0 };
	char path[DIRECTORY_PATH_MAX];
	int r;

	store_lease_lock(store);
	r = delete_rows(&removed, store, err);
	store_lease_unlock(store);
	for (size_t i = 0; r == 0 && i < removed.count; i++) {
		erofs_layer_forget(store, removed.items[i].directory);
		r = store_discard(store, store_directory(path, removed.items[i].directory, false, ""), err);
		garbage->layers++;
		garbage->bytes += removed.items[i].size;
	}
	free(removed.items);
	return r;
}

int store_collect(struct store_garbage *out_garbage, struct store *store, struct error *err)
{
	struct store_garbage garbage = { 0 };
	struct marks marks = { .store = store, .garbage = &garbage };
	int r;

	store_collecting(store, true);
	r = sweep_layers(store, &garbage, err);
	if (r == 0)
		r = sweep_blobs(&marks, err);
	store_collecting(store, false);
	if (r < 0)
		return error_prefix(err, "collect garbage");
	*out_garbage = garbage;
	return 0;
}
