/* SPDX-License-Identifier: Apache-2.0 */
#include "json/update.h"

#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "json/parse.h"
#include "json/value.h"

/* Objects whose keys a table names; maps have free keys and are replaced whole. */
static bool has_members(const struct json_field *field)
{
	return field->kind == JSON_KIND_OBJECT || field->kind == JSON_KIND_POINTER;
}

static void update_object(json_t *object, json_t *news, const struct json_field *fields)
{
	for (; fields->kind != JSON_KIND_END; fields++) {
		json_t *now = json_object_get(object, fields->name);
		json_t *value = json_object_get(news, fields->name);

		if (!value)
			json_object_del(object, fields->name);
		else if (has_members(fields) && json_is_object(now) && json_is_object(value))
			update_object(now, value, fields->fields);
		else
			json_object_set(object, fields->name, value);
	}
}

char *json_update(const char *original, size_t size, const void *source, const struct json_field *fields,
		  struct error *err)
{
	AUTO_FREE char *encoded = json_encode(source, fields);
	struct text out = { 0 };
	json_t *object;
	json_t *news;

	if (json_parse_text(&object, original, size, err) < 0)
		return NULL;
	if (!json_is_object(object)) {
		json_decref(object);
		error_set(err, ERR_INVALID, "expected an object");
		return NULL;
	}
	if (json_parse_text(&news, encoded, strlen(encoded), err) < 0) {
		json_decref(object);
		return NULL;
	}
	update_object(object, news, fields);
	json_value_encode(&out, (const struct json_value *)object, NULL);
	json_decref(news);
	json_decref(object);
	return text_take(&out);
}
