/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/upload.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "base/text.h"
#include "base/thread.h"

#define IDLE_MAX_NS (3600 * CLOCK_SECOND)
#define ID_BYTES 16
#define UPLOADS_MAX 4096

struct upload_table {
	struct blob_store *blobs; /* borrowed */
	struct mutex lock;
	struct map uploads; /* id -> struct upload */
};

static void free_upload(void *value)
{
	struct upload *upload = value;

	blob_writer_free(upload->writer);
	free(upload->repository);
	free(upload);
}

struct upload_table *upload_table_new(struct blob_store *blobs)
{
	struct upload_table *table = xcalloc(1, sizeof(*table));

	table->blobs = blobs;
	mutex_init(&table->lock);
	map_init(&table->uploads, free_upload);
	return table;
}

void upload_table_free(struct upload_table *table)
{
	if (!table)
		return;
	map_fini(&table->uploads);
	mutex_fini(&table->lock);
	free(table);
}

static void drop_idle_locked(struct upload_table *table)
{
	AUTO(text_list_fini) struct text_list old = { 0 };
	int64_t limit = clock_monotonic_ns() - IDLE_MAX_NS;
	const struct upload *upload;
	const char *id;
	size_t at = 0;

	mutex_assert_held(&table->lock);
	while ((upload = map_next(&table->uploads, &at, &id)))
		if (!upload->busy && upload->touched_ns < limit)
			text_list_add(&old, id);
	for (size_t i = 0; i < old.count; i++)
		map_remove(&table->uploads, old.items[i]);
}

int upload_start(struct upload **out_upload, struct upload_table *table, const char *repository, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&table->lock);
	struct upload *upload;

	drop_idle_locked(table);
	if (table->uploads.count >= UPLOADS_MAX)
		return error_set(err, ERR_UNAVAILABLE, "more than %d uploads at a time", UPLOADS_MAX);
	upload = xcalloc(1, sizeof(*upload));
	if (blob_writer_new(&upload->writer, table->blobs, BLOB_NO_LIMIT, err) < 0) {
		free(upload);
		return -1;
	}
	random_hex(upload->id, ID_BYTES);
	upload->repository = xstrdup(repository);
	upload->busy = true;
	map_set(&table->uploads, upload->id, upload);
	*out_upload = upload;
	return 0;
}

static int find_locked(struct upload **out_upload, struct upload_table *table, const char *repository, const char *id,
		       struct error *err)
{
	struct upload *upload = map_get(&table->uploads, id);

	if (!upload || !text_equal(upload->repository, repository))
		return error_set(err, ERR_NOT_FOUND, "blob upload unknown to registry");
	if (upload->busy)
		return error_set(err, ERR_CONFLICT, "another request works on this upload");
	*out_upload = upload;
	return 0;
}

int upload_take(struct upload **out_upload, struct upload_table *table, const char *repository, const char *id,
		struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&table->lock);
	int r = find_locked(out_upload, table, repository, id, err);

	if (r == 0)
		(*out_upload)->busy = true;
	return r;
}

int upload_look(uint64_t *out_size, struct upload_table *table, const char *repository, const char *id,
		struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&table->lock);
	struct upload *upload;

	if (find_locked(&upload, table, repository, id, err) < 0)
		return -1;
	upload->touched_ns = clock_monotonic_ns();
	*out_size = upload->size;
	return 0;
}

void upload_give(struct upload_table *table, struct upload *upload)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&table->lock);

	upload->touched_ns = clock_monotonic_ns();
	upload->busy = false;
}

void upload_drop(struct upload_table *table, struct upload *upload)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&table->lock);

	map_remove(&table->uploads, upload->id);
}
