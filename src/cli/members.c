/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/members.h"

#include <inttypes.h>
#include <string.h>

#include "base/quote.h"

static void separate(struct text *json)
{
	if (json->size && !strchr("{[:", json->data[json->size - 1]))
		text_add_char(json, ',');
}

void members_key(struct text *json, const char *key)
{
	separate(json);
	quote_json(json, key, strlen(key));
	text_add_char(json, ':');
}

void members_text(struct text *json, const char *key, const char *value)
{
	members_key(json, key);
	quote_json(json, value, strlen(value));
}

void members_integer(struct text *json, const char *key, int64_t value)
{
	members_key(json, key);
	text_addf(json, "%" PRId64, value);
}

void members_bool(struct text *json, const char *key, bool value)
{
	members_key(json, key);
	text_add(json, value ? "true" : "false");
}

void members_text_item(struct text *json, const char *text)
{
	separate(json);
	quote_json(json, text, strlen(text));
}

void members_open_item(struct text *json)
{
	separate(json);
	text_add_char(json, '{');
}

void members_list(struct text *json, const char *key, const struct text_list *list)
{
	members_key(json, key);
	text_add_char(json, '[');
	for (size_t i = 0; i < list->count; i++)
		members_text_item(json, list->items[i]);
	text_add_char(json, ']');
}

void members_map(struct text *json, const char *key, const struct text_map *map)
{
	members_key(json, key);
	text_add_char(json, '{');
	for (size_t i = 0; i < map->count; i++)
		members_text(json, map->items[i].key, map->items[i].value);
	text_add_char(json, '}');
}
