/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_use.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine_private.h"
#include "json/json.h"

#define IDLE_KEY "image-idle"

struct idle_document {
	struct text_map idle;
};

static const struct json_field idle_fields[] = {
	JSON_TEXT_MAP("idle", struct idle_document, idle, 0),
	JSON_END,
};

void image_use_note(struct engine *engine, const char *image_id)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);

	text_map_set(&engine->used_images, image_id, "");
}

void image_use_take(struct text_list *out_ids, struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->index);

	for (size_t i = 0; i < engine->used_images.count; i++)
		text_list_add(out_ids, engine->used_images.items[i].key);
	text_map_fini(&engine->used_images);
}

int image_idle_load(struct text_map *out_idle, struct engine *engine, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct idle_document document = { 0 };
	const char *text;
	int r;

	if (query_new(&query, store_database(engine->store), "SELECT value FROM engine WHERE key = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, IDLE_KEY);
	r = query_next(query, err);
	if (r <= 0)
		return r;
	text = text_or_empty(query_text(query, 0));
	if (json_decode(&document, idle_fields, text, strlen(text), err) < 0)
		return -1;
	*out_idle = document.idle;
	return 0;
}

int image_idle_save(struct engine *engine, const struct text_map *idle, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	const struct idle_document document = { *idle };
	AUTO_FREE char *text = json_encode(&document, idle_fields);

	if (query_new(&query, store_database(engine->store),
		      "INSERT OR REPLACE INTO engine (key, value) VALUES (?1, ?2)", err) < 0)
		return -1;
	query_bind_text(query, 1, IDLE_KEY);
	query_bind_text(query, 2, text);
	return query_run(query, err);
}
