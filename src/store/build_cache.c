/* SPDX-License-Identifier: Apache-2.0 */
#include "store/build_cache.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "store/layer.h"
#include "store/store_internal.h"

void build_result_fini(struct build_result *result)
{
	free(result->text);
	*result = (struct build_result){ 0 };
}

static void read_result(struct build_result *result, struct query *query, int column)
{
	query_digest(query, column, &result->chain_id);
	query_digest(query, column + 1, &result->diff_id);
	result->size_bytes = (uint64_t)query_i64(query, column + 2);
	result->created_ns = query_i64(query, column + 3);
	result->text = query_text_copy(query, column + 4);
}

/* The collector may have been told to drop what a row of an older start still names. */
static int is_whole(struct store *store, const struct build_result *result, struct error *err)
{
	struct layer layer = { 0 };
	int r;

	if (digest_is_set(&result->chain_id)) {
		r = layer_find(&layer, store, &result->chain_id, err);
		if (r <= 0)
			return r;
	}
	if (!digest_is_set(&result->diff_id))
		return 1;
	r = blob_exists(store_blobs(store), &result->diff_id, err);
	/* A layer that was pulled is there as the registry has it. */
	return r == 0 && digest_is_set(&layer.blob) ? blob_exists(store_blobs(store), &layer.blob, err) : r;
}

static int note_use(struct store *store, const struct digest *key, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store),
		      "UPDATE build_cache SET used_ns = ?2, use_count = use_count + 1 WHERE key = ?1", err) < 0)
		return -1;
	query_bind_digest(query, 1, key, &memory);
	query_bind_i64(query, 2, clock_wall_ns());
	return query_run(query, err);
}

int build_cache_find(struct build_result *out_result, struct store *store, const struct digest *key, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO(build_result_fini) struct build_result result = { 0 };
	struct digest_param memory;
	int r;

	if (query_new(&query, store_database(store),
		      "SELECT chain_id, diff_id, size, created_ns, text FROM build_cache WHERE key = ?1", err) < 0)
		return -1;
	query_bind_digest(query, 1, key, &memory);
	r = query_next(query, err);
	if (r <= 0)
		return r;
	read_result(&result, query, 0);
	query_free(take_ptr(query));
	r = is_whole(store, &result, err);
	if (r <= 0)
		return r;
	if (note_use(store, key, err) < 0)
		return -1;
	*out_result = result;
	result = (struct build_result){ 0 };
	return 1;
}

int build_cache_put(struct store *store, const struct digest *key, const char *description,
		    const struct build_result *result, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory[3];

	if (query_new(&query, store_database(store),
		      "INSERT OR REPLACE INTO build_cache(key, chain_id, diff_id, size, created_ns, text, description,"
		      " used_ns, use_count) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, 0)",
		      err) < 0)
		return -1;
	query_bind_digest(query, 1, key, &memory[0]);
	query_bind_digest(query, 2, &result->chain_id, &memory[1]);
	query_bind_digest(query, 3, &result->diff_id, &memory[2]);
	query_bind_i64(query, 4, (int64_t)result->size_bytes);
	query_bind_i64(query, 5, result->created_ns);
	query_bind_text(query, 6, result->text);
	query_bind_text(query, 7, description);
	return query_run(query, err) < 0 ? -1 : 0;
}

int build_cache_list(struct build_rows *out_rows, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO(build_rows_fini) struct build_rows rows = { 0 };
	size_t capacity = 0;
	int r;

	if (query_new(&query, store_database(store),
		      "SELECT key, description, used_ns, use_count, chain_id, diff_id, size, created_ns, text"
		      " FROM build_cache ORDER BY used_ns DESC, key",
		      err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		struct build_row row = { .description = query_text_copy(query, 1),
					 .used_ns = query_i64(query, 2),
					 .use_count = query_i64(query, 3) };

		query_digest(query, 0, &row.key);
		read_result(&row.result, query, 4);
		rows.items = xgrow(rows.items, &capacity, rows.count + 1, sizeof(*rows.items));
		rows.items[rows.count++] = row;
	}
	if (r < 0)
		return -1;
	*out_rows = rows;
	rows = (struct build_rows){ 0 };
	return 0;
}

void build_rows_fini(struct build_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		free(rows->items[i].description);
		build_result_fini(&rows->items[i].result);
	}
	free(rows->items);
	*rows = (struct build_rows){ 0 };
}

int build_cache_remove(struct store *store, const struct digest *key, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store), "DELETE FROM build_cache WHERE key = ?1", err) < 0)
		return -1;
	query_bind_digest(query, 1, key, &memory);
	return query_run(query, err) < 0 ? -1 : 0;
}
