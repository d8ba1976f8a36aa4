/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_row.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/engine_private.h"
#include "engine/volume_plugin.h"

/* Labels and options are stored as JSON objects: this struct is their frame. */
struct labels_document {
	struct text_map labels;
};

static const struct json_field labels_document_fields[] = {
	JSON_TEXT_MAP("labels", struct labels_document, labels, 0),
	JSON_END,
};

/* ---- whose turn it is ---- */

static bool take_name_locked(struct engine *engine, const char *name)
{
	mutex_assert_held(&engine->volumes);
	if (text_list_contains(&engine->volumes_busy, name))
		return false;
	text_list_add(&engine->volumes_busy, name);
	return true;
}

int volume_claim(struct engine *engine, const char *name, int cancel_fd, struct error *err)
{
	struct watcher watcher;
	bool taken = false;
	int r = 1;

	mutex_lock(&engine->volumes);
	taken = take_name_locked(engine, name);
	mutex_unlock(&engine->volumes);
	if (taken)
		return 0;
	if (watcher_open(&watcher, err) < 0)
		return -1;
	mutex_lock(&engine->volumes);
	watch_add(&engine->volumes_changed, &watcher);
	while (r > 0 && !(taken = take_name_locked(engine, name))) {
		mutex_unlock(&engine->volumes);
		r = watcher_wait(&watcher, cancel_fd, engine->closing_fd, 0, err);
		mutex_lock(&engine->volumes);
	}
	watch_remove(&watcher);
	mutex_unlock(&engine->volumes);
	watcher_close(&watcher);
	return taken ? 0 : -1;
}

void volume_release(struct engine *engine, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->volumes);

	for (size_t i = engine->volumes_busy.count; i > 0; i--)
		if (text_equal(engine->volumes_busy.items[i - 1], name))
			text_list_remove(&engine->volumes_busy, i - 1);
	watch_notify(&engine->volumes_changed);
}

/* ---- rows ---- */

static void fill_map(struct text_map *out_map, const char *json)
{
	AUTO(error_clear) struct error err = { 0 };
	struct labels_document document = { 0 };

	if (json_decode(&document, labels_document_fields, text_or_empty(json), strlen(text_or_empty(json)), &err) == 0)
		*out_map = document.labels;
}

/* Columns: name, created, labels, options, driver. */
static void fill(struct volume *volume, const struct engine *engine, struct query *query)
{
	char time[CLOCK_TEXT_MAX];

	volume->name = xstrdup(text_or_empty(query_text(query, 0)));
	volume->driver = xstrdup(text_or_empty(query_text(query, 4)));
	volume->scope = xstrdup("local");
	volume->created_at = xstrdup(clock_format(time, query_i64(query, 1) * CLOCK_SECOND));
	volume->mountpoint = text_equal(volume->driver, VOLUME_DRIVER_LOCAL)
				     ? xasprintf("%s/volumes/%s/_data", engine->data_root, volume->name)
				     : xstrdup("");
	fill_map(&volume->labels, query_text(query, 2));
	fill_map(&volume->options, query_text(query, 3));
}

int volume_row_find(struct volume *out_volume, struct engine *engine, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(engine->store),
		      "SELECT name, created, labels, options, driver FROM volumes WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	r = query_next(query, err);
	if (r > 0 && out_volume)
		fill(out_volume, engine, query);
	return r;
}

int volume_row_list(struct volume_list *out_list, struct engine *engine, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(engine->store),
		      "SELECT name, created, labels, options, driver FROM volumes ORDER BY name", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0)
		fill(json_array_add(&out_list->volumes, sizeof(struct volume)), engine, query);
	return r;
}

int volume_row_insert(struct engine *engine, const char *name, const char *driver, const struct text_map *labels,
		      const struct text_map *options, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO(query_freep) struct query *query = NULL;
	const struct labels_document document = { *labels };
	const struct labels_document chosen = { *options };
	AUTO_FREE char *text = json_encode(&document, labels_document_fields);
	AUTO_FREE char *options_text = json_encode(&chosen, labels_document_fields);

	/* A volume's name must survive power loss: its files do. */
	if (transaction_begin(&transaction, store_database(engine->store), FILE_SYNC_ALL, err) < 0 ||
	    query_new(&query, store_database(engine->store),
		      "INSERT OR IGNORE INTO volumes (name, created, labels, options, driver) VALUES (?1, ?2, ?3, "
		      "?4, ?5)",
		      err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	query_bind_i64(query, 2, clock_wall_ns() / CLOCK_SECOND);
	query_bind_text(query, 3, text);
	query_bind_text(query, 4, options_text);
	query_bind_text(query, 5, driver);
	if (query_run(query, err) < 0)
		return -1;
	query_reset(query);
	return transaction_commit(transaction, err);
}

int volume_row_delete(struct engine *engine, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(engine->store), "DELETE FROM volumes WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	return query_run(query, err) < 0 ? -1 : 0;
}

/* ---- users ---- */

static void users_of(struct text_list *out_ids, struct engine *engine, const char *name)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	for (size_t i = 0; i < count; i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&items[i]->mutex);
		const struct container_document *document = &items[i]->document;

		for (size_t j = 0; j < document->mounts.count; j++) {
			if (!text_equal(document->mounts.items[j].type, "volume") ||
			    !text_equal(document->mounts.items[j].name, name))
				continue;
			text_list_add(out_ids, items[i]->id);
			break;
		}
	}
	container_all_free(items, count);
}

/* Of a container that is just being made: nobody else can see its mounts yet. */
static void holders_of_locked(struct text_list *out_ids, struct engine *engine, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);
	const struct container *container;
	const char *id;
	size_t at = 0;

	mutex_assert_held(&engine->volumes);
	while ((container = map_next(&engine->by_id, &at, &id)))
		if (text_list_contains(&container->held_volumes, name) && !text_list_contains(out_ids, id))
			text_list_add(out_ids, id);
}

void volume_users_locked(struct text_list *out_ids, struct engine *engine, const char *name)
{
	users_of(out_ids, engine, name);
	holders_of_locked(out_ids, engine, name);
}

int volume_check_unused_locked(struct engine *engine, const char *name, const char *but_id, struct error *err)
{
	AUTO(text_list_fini) struct text_list users = { 0 };
	AUTO_FREE char *ids = NULL;

	volume_users_locked(&users, engine, name);
	for (size_t i = users.count; i > 0; i--)
		if (text_equal(users.items[i - 1], but_id))
			text_list_remove(&users, i - 1);
	if (users.count == 0)
		return 0;
	ids = text_list_join(&users, ", ");
	return error_set(err, ERR_CONFLICT, "remove %s: volume is in use - [%s]", name, ids);
}

void volume_publish(struct engine *engine, const char *action, const char *name, const char *driver)
{
	struct text_map attributes = { 0 };

	text_map_set(&attributes, "driver", driver);
	event_publish(engine->events, "volume", action, name, &attributes);
	text_map_fini(&attributes);
}
