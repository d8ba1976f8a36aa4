/* SPDX-License-Identifier: Apache-2.0 */
#include "store/image_record.h"

#include "base/alloc.h"
#include "base/text.h"
#include "store/store_internal.h"

#define COLUMNS "id, manifest, chain_id, size, created_ns, tagged_ns, parent"
#define HEX_MAX 128

static void read_record(struct image_record *out_image, struct query *query)
{
	query_digest(query, 0, &out_image->id);
	query_digest(query, 1, &out_image->manifest);
	query_digest(query, 2, &out_image->chain_id);
	out_image->size = (uint64_t)query_i64(query, 3);
	out_image->created_ns = query_i64(query, 4);
	out_image->tagged_ns = query_i64(query, 5);
	query_digest(query, 6, &out_image->parent);
}

static int insert(struct store *store, const struct image_record *image, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory[4];

	if (query_new(&query, store_database(store),
		      "INSERT INTO image(" COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(id) DO UPDATE SET"
		      " manifest = CASE ?2 WHEN '' THEN manifest ELSE ?2 END, tagged_ns = ?6",
		      err) < 0)
		return -1;
	query_bind_digest(query, 1, &image->id, &memory[0]);
	query_bind_digest(query, 2, &image->manifest, &memory[1]);
	query_bind_digest(query, 3, &image->chain_id, &memory[2]);
	query_bind_i64(query, 4, (int64_t)image->size);
	query_bind_i64(query, 5, image->created_ns);
	query_bind_i64(query, 6, image->tagged_ns);
	query_bind_digest(query, 7, &image->parent, &memory[3]);
	return query_run(query, err);
}

int image_record_put(struct store *store, const struct image_record *image, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;

	if (transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0 ||
	    insert(store, image, err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}

int image_record_find(struct image_record *out_image, struct store *store, const struct digest *id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;
	int r;

	if (query_new(&query, store_database(store), "SELECT " COLUMNS " FROM image WHERE id = ?1", err) < 0)
		return -1;
	query_bind_digest(query, 1, id, &memory);
	r = query_next(query, err);
	if (r > 0)
		read_record(out_image, query);
	return r;
}

static bool is_hex(const char *text)
{
	size_t size = 0;

	for (; text[size]; size++)
		if (!((text[size] >= '0' && text[size] <= '9') || (text[size] >= 'a' && text[size] <= 'f')))
			return false;
	return size > 0 && size <= HEX_MAX;
}

int image_record_find_prefix(struct image_record *out_image, struct store *store, const char *prefix, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO_FREE char *low = NULL;
	AUTO_FREE char *high = NULL;
	const char *hex = text_after(prefix, "sha256:");
	struct image_record found;
	int r;

	hex = hex ? hex : prefix;
	if (!is_hex(hex))
		return 0;
	low = xasprintf("sha256:%s", hex);
	high = xasprintf("sha256:%sg", hex);
	if (query_new(&query, store_database(store), "SELECT " COLUMNS " FROM image WHERE id >= ?1 AND id < ?2 LIMIT 2",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, low);
	query_bind_text(query, 2, high);
	r = query_next(query, err);
	if (r <= 0)
		return r;
	read_record(&found, query);
	r = query_next(query, err);
	if (r > 0)
		return error_set(err, ERR_INVALID, "multiple images begin with %s", prefix);
	if (r == 0)
		*out_image = found;
	return r < 0 ? -1 : 1;
}

int image_record_list_load(struct image_record_list *out_list, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO(image_record_list_fini) struct image_record_list list = { 0 };
	size_t capacity = 0;
	int r;

	if (query_new(&query, store_database(store), "SELECT " COLUMNS " FROM image ORDER BY created_ns DESC, id",
		      err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		list.items = xgrow(list.items, &capacity, list.count + 1, sizeof(*list.items));
		read_record(&list.items[list.count++], query);
	}
	if (r < 0)
		return -1;
	*out_list = list;
	list = (struct image_record_list){ 0 };
	return 0;
}

void image_record_list_fini(struct image_record_list *list)
{
	free(list->items);
	*list = (struct image_record_list){ 0 };
}

static int delete_where(struct store *store, const char *sql, const struct digest *id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store), sql, err) < 0)
		return -1;
	query_bind_digest(query, 1, id, &memory);
	return query_run(query, err) < 0 ? -1 : 0;
}

int image_record_remove(struct store *store, const struct digest *id, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;

	/* Synced: after this the collector removes files that must not be missed when the power fails. */
	if (transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0 ||
	    delete_where(store, "DELETE FROM image_name WHERE image = ?1", id, err) < 0 ||
	    delete_where(store, "DELETE FROM image WHERE id = ?1", id, err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}

static int has_tag(struct store *store, const struct digest *id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store),
		      "SELECT 1 FROM image_name WHERE image = ?1 AND NOT is_digest LIMIT 1", err) < 0)
		return -1;
	query_bind_digest(query, 1, id, &memory);
	return query_next(query, err);
}

int image_record_remove_untagged(struct store *store, const struct digest *id, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	int tagged;

	/* Between the look and the removal nobody can name it. */
	if (transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0)
		return -1;
	tagged = has_tag(store, id, err);
	if (tagged != 0)
		return tagged < 0 ? -1 : 0;
	if (image_record_remove(store, id, err) < 0 || transaction_commit(transaction, err) < 0)
		return -1;
	return 1;
}
