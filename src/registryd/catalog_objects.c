/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a digest is held while its object is put and its first row made,
 * and while it is removed after its last. Before either, the table `unsure` has
 * it, so that a program that was killed in between leaves nothing for ever: what
 * is there and has no row is removed from the storage, soon or after the start.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "oci/hasher.h"
#include "registryd/catalog_private.h"
#include "registryd/objects.h"

#define CACHE_DEFAULT ((int64_t)1 << 30)
/* At a time; the rest the next. */
#define UNSURE_MAX 256

int catalog_set_objects(struct catalog *catalog, struct objects *objects, struct error *err)
{
	catalog->objects = objects;
	atomic_store(&catalog->folder_grew, true);
	/* In the transaction that deletes, whoever deletes. */
	return objects ? database_run(catalog->database,
				      "CREATE TEMP TRIGGER blob_unsure AFTER DELETE ON main.blob BEGIN "
				      "INSERT OR IGNORE INTO unsure (digest) VALUES (old.digest); END; "
				      "CREATE TEMP TRIGGER manifest_unsure AFTER DELETE ON main.manifest BEGIN "
				      "INSERT OR IGNORE INTO unsure (digest) VALUES (old.digest); END;",
				      err)
		       : 0;
}

void catalog_folder_grew(struct catalog *catalog)
{
	atomic_store(&catalog->folder_grew, true);
}

struct objects *catalog_objects(const struct catalog *catalog)
{
	return catalog->objects;
}

int catalog_row_size(uint64_t *out_size, struct catalog *catalog, const char *digest, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database,
		      "SELECT size FROM blob WHERE digest = ?1 UNION ALL SELECT size FROM manifest WHERE digest = ?1 "
		      "LIMIT 1",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, digest);
	r = query_next(query, err);
	if (r > 0)
		*out_size = (uint64_t)query_i64(query, 0);
	return r;
}

int catalog_blob_size(uint64_t *out_size, struct catalog *catalog, const struct digest *digest, struct error *err)
{
	int r = blob_size(out_size, catalog->blobs, digest, err);
	char text[DIGEST_TEXT_MAX];

	return r == 0 && catalog->objects ? catalog_row_size(out_size, catalog, digest_text(digest, text), err) : r;
}

/* ---- put ---- */

void catalog_hold_fini(struct catalog_hold *hold)
{
	if (hold->objects)
		objects_release(hold->objects, &hold->digest);
	hold->objects = NULL;
}

static int write_down(struct catalog *catalog, const char *digest, bool parts, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;

	if (transaction_begin(&transaction, catalog->database, FILE_SYNC_ALL, err) < 0 ||
	    catalog_run_two(
		    catalog,
		    parts ? "INSERT INTO unsure (digest, parts) VALUES (?1, 1) ON CONFLICT DO UPDATE SET parts = 1"
			  : "INSERT OR IGNORE INTO unsure (digest) VALUES (?1)",
		    digest, NULL, err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}

int catalog_send_object(struct catalog_hold *out_hold, struct catalog *catalog, const struct digest *digest,
			struct error *err)
{
	AUTO(error_clear) struct error gone = { 0 };
	AUTO_CLOSE int fd = -1;
	char text[DIGEST_TEXT_MAX];
	struct stat st;
	int known;

	if (!catalog->objects)
		return 0;
	catalog_folder_grew(catalog);
	objects_hold(catalog->objects, digest);
	*out_hold = (struct catalog_hold){ catalog->objects, *digest };
	known = catalog_is_known(catalog, digest_text(digest, text), err);
	if (known != 0)
		return known < 0 ? -1 : 0;
	/* Whoever makes the row finds out that it is not here. */
	fd = blob_open(catalog->blobs, digest, &gone);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (write_down(catalog, text, objects_in_parts((uint64_t)st.st_size), err) < 0)
		return -1;
	return objects_put(catalog->objects, digest, fd, (uint64_t)st.st_size, err);
}

/* ---- read ---- */

int catalog_read(char **out_text, size_t *out_size, struct catalog *catalog, const struct digest *digest, size_t limit,
		 struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	AUTO(error_clear) struct error missing = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;

	if (!catalog->objects)
		return blob_read(out_text, out_size, catalog->blobs, digest, limit, err);
	if (blob_read(out_text, out_size, catalog->blobs, digest, limit, &missing) == 0)
		return 0;
	if (missing.kind != ERR_NOT_FOUND)
		return error_move(err, &missing);
	if (objects_read(&text, &size, catalog->objects, digest, limit, err) < 0 ||
	    blob_writer_new(&writer, catalog->blobs, size, err) < 0 || blob_writer_write(writer, text, size, err) < 0)
		return -1;
	if (blob_writer_commit(writer, digest, err) < 0)
		return error_prefix(err, "object storage");
	catalog_folder_grew(catalog);
	*out_text = take_ptr(text);
	*out_size = size;
	return 0;
}

/* ---- tidy ---- */

/* 1: it is not in the storage, or there is a row; 0: somebody is at it. */
static int settle(struct catalog *catalog, const struct digest *digest, const char *name, bool parts, struct error *err)
{
	AUTO(catalog_hold_fini) struct catalog_hold hold = { 0 };
	int known;

	if (!objects_try_hold(catalog->objects, digest))
		return 0;
	hold = (struct catalog_hold){ catalog->objects, *digest };
	if (parts && objects_drop_parts(catalog->objects, digest, err) < 0)
		return -1;
	known = catalog_is_known(catalog, name, err);
	if (known < 0 || (known == 0 && objects_remove(catalog->objects, digest, err) < 0))
		return -1;
	return catalog_run_two(catalog, "DELETE FROM unsure WHERE digest = ?1", name, NULL, err) < 0 ? -1 : 1;
}

struct unsure {
	char *name;
	bool parts;
};

static int list_unsure(struct unsure *items, size_t *out_count, struct catalog *catalog, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, catalog->database, "SELECT digest, parts FROM unsure LIMIT ?1", err) < 0)
		return -1;
	query_bind_i64(query, 1, UNSURE_MAX);
	for (*out_count = 0; (r = query_next(query, err)) > 0; (*out_count)++)
		items[*out_count] = (struct unsure){ query_text_copy(query, 0), query_i64(query, 1) != 0 };
	return r;
}

static int settle_unsure(struct catalog *catalog, struct error *err)
{
	struct unsure items[UNSURE_MAX];
	size_t count = 0;
	int r = list_unsure(items, &count, catalog, err);

	for (size_t i = 0; i < count; i++) {
		struct digest digest;

		if (r >= 0)
			r = digest_parse(&digest, items[i].name, err);
		if (r >= 0)
			r = settle(catalog, &digest, items[i].name, items[i].parts, err);
		free(items[i].name);
	}
	return r < 0 ? -1 : 0;
}

struct kept {
	struct digest digest;
	uint64_t size;
	int64_t at_ns;
};

struct folder {
	struct catalog *catalog;
	struct kept *items;
	size_t count;
	size_t capacity;
	uint64_t bytes;
};

static int note_kept(void *arg, const struct digest *digest, uint64_t size, struct error *err)
{
	struct folder *folder = arg;
	AUTO(error_clear) struct error gone = { 0 };
	AUTO_CLOSE int fd = blob_open(folder->catalog->blobs, digest, &gone);
	struct stat st;

	(void)err;
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	folder->items = xgrow(folder->items, &folder->capacity, folder->count + 1, sizeof(*folder->items));
	folder->items[folder->count++] = (struct kept){ *digest, size,
							st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec };
	folder->bytes += size;
	return 0;
}

static int compare_age(const void *a, const void *b)
{
	const struct kept *first = a;
	const struct kept *second = b;

	return first->at_ns < second->at_ns ? -1 : first->at_ns > second->at_ns;
}

/* What has no row yet is being pushed: it is nowhere else. */
static int evict(struct catalog *catalog, const struct kept *kept, struct folder *folder, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&catalog->lock);
	char text[DIGEST_TEXT_MAX];
	int known = catalog_is_known(catalog, digest_text(&kept->digest, text), err);

	if (known == 0)
		atomic_store(&catalog->folder_grew, true);
	if (known <= 0)
		return known;
	folder->bytes -= kept->size;
	return blob_remove(catalog->blobs, &kept->digest, err);
}

int catalog_tidy(struct catalog *catalog, struct error *err)
{
	struct folder folder = { .catalog = catalog };
	uint64_t limit;
	int r;

	if (!catalog->objects || settle_unsure(catalog, err) < 0)
		return catalog->objects ? -1 : 0;
	if (!atomic_exchange(&catalog->folder_grew, false))
		return 0;
	limit = (uint64_t)optional_i64_or(objects_config(catalog->objects)->cache, CACHE_DEFAULT);
	r = blob_walk(catalog->blobs, note_kept, &folder, err);
	if (r == 0 && folder.bytes > limit)
		qsort(folder.items, folder.count, sizeof(*folder.items), compare_age);
	for (size_t i = 0; r == 0 && folder.bytes > limit && i < folder.count; i++)
		r = evict(catalog, &folder.items[i], &folder, err);
	free(folder.items);
	return r;
}
