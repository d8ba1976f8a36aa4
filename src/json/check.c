/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the same walk as in decode.c, but nothing is kept and nothing
 * stops it: every value that does not fit its table is told, with the RFC 6901
 * pointer to it.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "json/json.h"
#include "json/parse.h"

struct walk {
	json_check_fn *report;
	void *context;
};

static void check_object(const struct walk *walk, const char *at, const struct json_field *fields, const json_t *value);

static void tell(const struct walk *walk, const char *at, enum json_problem problem, const char *message)
{
	walk->report(walk->context, *at ? at : "/", problem, message);
}

/* RFC 6901: ~ and / are written ~0 and ~1. Yours. */
static char *below(const char *at, const char *key)
{
	struct text pointer = { 0 };

	text_add(&pointer, at);
	text_add_char(&pointer, '/');
	for (; *key; key++) {
		if (*key == '~')
			text_add(&pointer, "~0");
		else if (*key == '/')
			text_add(&pointer, "~1");
		else
			text_add_char(&pointer, *key);
	}
	return text_take(&pointer);
}

static char *below_index(const char *at, size_t index)
{
	struct text pointer = { 0 };

	text_addf(&pointer, "%s/%zu", at, index);
	return text_take(&pointer);
}

static bool is_whole(const json_t *value)
{
	return json_is_integer(value) || (json_is_real(value) && json_real_value(value) >= 9.2e18) ||
	       (json_is_real(value) && json_real_value(value) == (double)(int64_t)json_real_value(value));
}

static void check_number(const struct walk *walk, const char *at, enum json_kind kind, const json_t *value)
{
	bool is_signed = kind == JSON_KIND_I64 || kind == JSON_KIND_OPT_I64;

	if (!json_is_number(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected a number");
	else if (kind == JSON_KIND_DOUBLE)
		return;
	else if (!is_whole(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected a whole number");
	else if (!is_signed && json_number_value(value) < 0)
		tell(walk, at, JSON_PROBLEM_WRONG, "must not be negative");
	else if (kind == JSON_KIND_U32 && json_number_value(value) > (double)UINT32_MAX)
		tell(walk, at, JSON_PROBLEM_WRONG, "number out of range");
}

static void check_text(const struct walk *walk, const char *at, const json_t *value)
{
	if (!json_is_string(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected a string");
	else if (strlen(json_string_value(value)) != json_string_length(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "a string must not hold a NUL byte");
}

static void check_text_list(const struct walk *walk, const char *at, const json_t *value)
{
	if (!json_is_array(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected an array of strings");
	for (size_t i = 0; i < json_array_size(value); i++) {
		AUTO_FREE char *here = below_index(at, i);

		check_text(walk, here, json_array_get(value, i));
	}
}

static void check_text_map(const struct walk *walk, const char *at, const json_t *value)
{
	const char *key;
	const json_t *item;

	if (!json_is_object(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected an object");
	json_object_foreach ((json_t *)value, key, item) {
		AUTO_FREE char *here = below(at, key);

		check_text(walk, here, item);
	}
}

static void check_value(const struct walk *walk, const char *at, const struct json_field *field, const json_t *value);

/* An item is an object, or a bare value when its table has a field named "". */
static void check_item(const struct walk *walk, const char *at, const struct json_field *fields, const json_t *value)
{
	if (json_is_null(value))
		return;
	for (const struct json_field *field = fields; field->kind != JSON_KIND_END; field++)
		if (field->kind != JSON_KIND_KEY && field->name[0] == '\0') {
			check_value(walk, at, field, value);
			return;
		}
	check_object(walk, at, fields, value);
}

static void check_array(const struct walk *walk, const char *at, const struct json_field *field, const json_t *value)
{
	if (!json_is_array(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected an array");
	for (size_t i = 0; i < json_array_size(value); i++) {
		AUTO_FREE char *here = below_index(at, i);

		check_item(walk, here, field->fields, json_array_get(value, i));
	}
}

static void check_map(const struct walk *walk, const char *at, const struct json_field *field, const json_t *value)
{
	const char *key;
	const json_t *item;

	if (!json_is_object(value))
		tell(walk, at, JSON_PROBLEM_WRONG, "expected an object");
	json_object_foreach ((json_t *)value, key, item) {
		AUTO_FREE char *here = below(at, key);

		check_item(walk, here, field->fields, item);
	}
}

static void check_value(const struct walk *walk, const char *at, const struct json_field *field, const json_t *value)
{
	switch (field->kind) {
	case JSON_KIND_TEXT:
		check_text(walk, at, value);
		break;
	case JSON_KIND_BOOL:
	case JSON_KIND_OPT_BOOL:
		if (!json_is_boolean(value))
			tell(walk, at, JSON_PROBLEM_WRONG, "expected true or false");
		break;
	case JSON_KIND_TEXT_LIST:
		check_text_list(walk, at, value);
		break;
	case JSON_KIND_TEXT_MAP:
		check_text_map(walk, at, value);
		break;
	case JSON_KIND_OBJECT:
	case JSON_KIND_POINTER:
		check_object(walk, at, field->fields, value);
		break;
	case JSON_KIND_ARRAY:
		check_array(walk, at, field, value);
		break;
	case JSON_KIND_MAP:
		check_map(walk, at, field, value);
		break;
	case JSON_KIND_RAW:
	case JSON_KIND_KEY:
	case JSON_KIND_END:
		break;
	default:
		check_number(walk, at, field->kind, value);
	}
}

static const struct json_field *field_of(const struct json_field *fields, const char *key)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		if (fields->kind != JSON_KIND_KEY && text_equal_ignoring_case(fields->name, key))
			return fields;
	return NULL;
}

/* json_decode() takes a key of other case if none has the exact name; people should know that others may not. */
static const json_t *member_of(const json_t *object, const char *name)
{
	const json_t *exact = json_object_get(object, name);
	const char *key;
	const json_t *item;

	if (exact)
		return exact;
	json_object_foreach ((json_t *)object, key, item)
		if (text_equal_ignoring_case(key, name))
			return item;
	return NULL;
}

static void check_key(const struct walk *walk, const char *at, const struct json_field *fields, const char *key)
{
	const struct json_field *field = field_of(fields, key);
	AUTO_FREE char *here = below(at, key);
	struct text message = { 0 };

	if (field && strcmp(field->name, key) == 0)
		return;
	text_add(&message, field ? "the specification writes " : "unknown property, is ignored");
	text_add(&message, field ? field->name : "");
	tell(walk, here, JSON_PROBLEM_UNKNOWN, message.data);
	text_fini(&message);
}

static void check_object(const struct walk *walk, const char *at, const struct json_field *fields, const json_t *value)
{
	const char *key;
	const json_t *item;

	if (!json_is_object(value)) {
		tell(walk, at, JSON_PROBLEM_WRONG, "expected an object");
		return;
	}
	for (const struct json_field *field = fields; field->kind != JSON_KIND_END; field++) {
		AUTO_FREE char *here = NULL;

		if (field->kind == JSON_KIND_KEY)
			continue;
		here = below(at, field->name);
		item = member_of(value, field->name);
		if (item && !json_is_null(item))
			check_value(walk, here, field, item);
		else if (field->flags & JSON_REQUIRED)
			tell(walk, here, JSON_PROBLEM_WRONG, "is missing");
	}
	json_object_foreach ((json_t *)value, key, item)
		check_key(walk, at, fields, key);
}

int json_check(const struct json_field *fields, const char *text, size_t size, json_check_fn *report, void *context,
	       struct error *err)
{
	const struct walk walk = { report, context };
	json_t *root;

	if (json_parse_text(&root, text, size, err) < 0)
		return -1;
	check_object(&walk, "", fields, root);
	json_decref(root);
	return 0;
}
