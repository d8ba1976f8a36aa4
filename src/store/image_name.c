/* SPDX-License-Identifier: Apache-2.0 */
#include "store/image_name.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "store/store_internal.h"

/* The row's key: with a tag the digest does not count. NULL with err if it has neither. */
static char *row_name(const struct reference *reference, struct error *err)
{
	AUTO_FREE char *repository = reference_name(reference);
	char text[DIGEST_TEXT_MAX];

	if (reference->tag)
		return xasprintf("%s:%s", repository, reference->tag);
	if (digest_is_set(&reference->digest))
		return xasprintf("%s@%s", repository, digest_text(&reference->digest, text));
	error_set(err, ERR_INVALID, "image name %s has neither tag nor digest", repository);
	return NULL;
}

static int find_row(struct digest *out_image, struct store *store, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(store), "SELECT image FROM image_name WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	r = query_next(query, err);
	if (r > 0)
		query_digest(query, 0, out_image);
	return r;
}

/* 0 if there is no such image. */
static int insert(struct store *store, const char *name, const struct reference *reference, const struct digest *image,
		  struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	AUTO_FREE char *repository = reference_name(reference);
	struct digest_param memory;

	if (query_new(&query, store_database(store),
		      "INSERT OR REPLACE INTO image_name(name, repository, is_digest, image)"
		      " SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM image WHERE id = ?4)",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	query_bind_text(query, 2, repository);
	query_bind_i64(query, 3, reference->tag == NULL);
	query_bind_digest(query, 4, image, &memory);
	return query_run(query, err);
}

static int note_tag_time(struct store *store, const struct digest *image, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store), "UPDATE image SET tagged_ns = ?2 WHERE id = ?1", err) < 0)
		return -1;
	query_bind_digest(query, 1, image, &memory);
	query_bind_i64(query, 2, clock_wall_ns());
	return query_run(query, err);
}

int image_name_set(struct store *store, const struct reference *reference, const struct digest *image,
		   struct digest *out_previous, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO_FREE char *name = row_name(reference, err);
	struct digest previous = { 0 };
	char text[DIGEST_TEXT_MAX];
	int r;

	if (!name || transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0 ||
	    find_row(&previous, store, name, err) < 0)
		return -1;
	r = insert(store, name, reference, image, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "no such image: %s", digest_text(image, text));
	if (r < 0 || note_tag_time(store, image, err) < 0 || transaction_commit(transaction, err) < 0)
		return -1;
	if (out_previous)
		*out_previous = previous;
	return 0;
}

int image_name_find(struct digest *out_image, struct store *store, const struct reference *reference, struct error *err)
{
	AUTO_FREE char *name = row_name(reference, err);

	return name ? find_row(out_image, store, name, err) : -1;
}

int image_name_remove(struct store *store, const struct reference *reference, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO(query_freep) struct query *query = NULL;
	AUTO_FREE char *name = row_name(reference, err);
	int removed;

	if (!name || transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0 ||
	    query_new(&query, store_database(store), "DELETE FROM image_name WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	removed = query_run(query, err);
	if (removed < 0 || transaction_commit(transaction, err) < 0)
		return -1;
	return removed > 0;
}

int image_name_list_load(struct image_name_list *out_list, struct store *store, const struct digest *image,
			 struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list list = { 0 };
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;
	size_t capacity = 0;
	int r;

	if (query_new(&query, store_database(store),
		      "SELECT name, repository, is_digest, image FROM image_name WHERE ?1 IS NULL OR image = ?1"
		      " ORDER BY name",
		      err) < 0)
		return -1;
	if (image)
		query_bind_digest(query, 1, image, &memory);
	while ((r = query_next(query, err)) > 0) {
		struct image_name *item;

		list.items = xgrow(list.items, &capacity, list.count + 1, sizeof(*list.items));
		item = &list.items[list.count++];
		*item = (struct image_name){ .name = query_text_copy(query, 0),
					     .repository = query_text_copy(query, 1),
					     .is_digest = query_i64(query, 2) != 0 };
		query_digest(query, 3, &item->image);
	}
	if (r < 0)
		return -1;
	*out_list = list;
	list = (struct image_name_list){ 0 };
	return 0;
}

void image_name_list_fini(struct image_name_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].name);
		free(list->items[i].repository);
	}
	free(list->items);
	*list = (struct image_name_list){ 0 };
}
