/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/quote.h"
#include "json/json.h"
#include "json/value.h"

/* Added to the flags of every field: JSON_OMIT_EMPTY makes the text sparse. */
typedef unsigned added_flags;

static void encode_fields(struct text *out, const void *source, const struct json_field *fields, added_flags added);

static bool is_empty_fields(const void *source, const struct json_field *fields);

static bool is_empty_number(const void *member, enum json_kind kind)
{
	switch (kind) {
	case JSON_KIND_BOOL:
		return !*(const bool *)member;
	case JSON_KIND_I64:
	case JSON_KIND_U64:
		return *(const uint64_t *)member == 0;
	case JSON_KIND_U32:
		return *(const uint32_t *)member == 0;
	case JSON_KIND_DOUBLE:
		return fpclassify(*(const double *)member) == FP_ZERO;
	case JSON_KIND_OPT_I64:
		return !((const struct optional_i64 *)member)->set;
	case JSON_KIND_OPT_U64:
		return !((const struct optional_u64 *)member)->set;
	case JSON_KIND_OPT_BOOL:
		return !((const struct optional_bool *)member)->set;
	default:
		return false;
	}
}

static bool is_empty(const void *source, const struct json_field *field)
{
	const void *member = (const char *)source + field->offset;

	switch (field->kind) {
	case JSON_KIND_TEXT:
	case JSON_KIND_RAW:
		return text_empty(*(char *const *)member);
	case JSON_KIND_TEXT_LIST:
		return ((const struct text_list *)member)->count == 0;
	case JSON_KIND_TEXT_MAP:
		return ((const struct text_map *)member)->count == 0;
	case JSON_KIND_ARRAY:
	case JSON_KIND_MAP:
		return ((const struct json_array *)member)->count == 0;
	case JSON_KIND_POINTER:
		return !*(void *const *)member;
	case JSON_KIND_OBJECT:
		return is_empty_fields(member, field->fields);
	case JSON_KIND_END:
	case JSON_KIND_KEY:
		return true;
	default:
		return is_empty_number(member, field->kind);
	}
}

static bool is_empty_fields(const void *source, const struct json_field *fields)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		if (!is_empty(source, fields))
			return false;
	return true;
}

static void encode_text(struct text *out, const char *text)
{
	text = text_or_empty(text);
	quote_json(out, text, strlen(text));
}

static void encode_double(struct text *out, double value)
{
	if (value == (double)(int64_t)value && fabs(value) < 1e15)
		text_addf(out, "%" PRId64, (int64_t)value);
	else
		text_addf(out, "%.17g", value);
}

static void encode_number(struct text *out, const void *member, enum json_kind kind)
{
	switch (kind) {
	case JSON_KIND_BOOL:
		text_add(out, *(const bool *)member ? "true" : "false");
		break;
	case JSON_KIND_I64:
		text_addf(out, "%" PRId64, *(const int64_t *)member);
		break;
	case JSON_KIND_U64:
		text_addf(out, "%" PRIu64, *(const uint64_t *)member);
		break;
	case JSON_KIND_U32:
		text_addf(out, "%" PRIu32, *(const uint32_t *)member);
		break;
	case JSON_KIND_DOUBLE:
		encode_double(out, *(const double *)member);
		break;
	case JSON_KIND_OPT_I64:
		text_addf(out, "%" PRId64, ((const struct optional_i64 *)member)->value);
		break;
	case JSON_KIND_OPT_U64:
		text_addf(out, "%" PRIu64, ((const struct optional_u64 *)member)->value);
		break;
	case JSON_KIND_OPT_BOOL:
		text_add(out, ((const struct optional_bool *)member)->value ? "true" : "false");
		break;
	default:
		break;
	}
}

static void encode_text_list(struct text *out, const struct text_list *list)
{
	text_add_char(out, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			text_add_char(out, ',');
		encode_text(out, list->items[i]);
	}
	text_add_char(out, ']');
}

static int compare_keys(const void *a, const void *b, void *offset)
{
	const char *const *left = (const void *)((const char *)*(const void *const *)a + *(const size_t *)offset);
	const char *const *right = (const void *)((const char *)*(const void *const *)b + *(const size_t *)offset);

	return strcmp(*left, *right);
}

/* Go writes maps sorted by key; callers compare texts, so we do too. */
static const void **sorted_items(const struct json_array *array, size_t item_size, size_t key_offset)
{
	const void **items = xcalloc(array->count, sizeof(*items));

	for (size_t i = 0; i < array->count; i++)
		items[i] = (const char *)array->items + i * item_size;
	qsort_r(items, array->count, sizeof(*items), compare_keys, &key_offset);
	return items;
}

static void encode_text_map(struct text *out, const struct text_map *map)
{
	const struct json_array array = { map->items, map->count };
	AUTO_FREE const void **items = sorted_items(&array, sizeof(struct text_pair), offsetof(struct text_pair, key));

	text_add_char(out, '{');
	for (size_t i = 0; i < map->count; i++) {
		const struct text_pair *pair = items[i];

		if (i)
			text_add_char(out, ',');
		encode_text(out, pair->key);
		text_add_char(out, ':');
		encode_text(out, pair->value);
	}
	text_add_char(out, '}');
}

static void encode_value(struct text *out, const void *source, const struct json_field *field, added_flags added);

static void encode_item(struct text *out, const void *item, const struct json_field *fields, added_flags added)
{
	for (const struct json_field *field = fields; field->kind != JSON_KIND_END; field++) {
		if (field->kind != JSON_KIND_KEY && field->name[0] == '\0') {
			encode_value(out, item, field, added);
			return;
		}
	}
	encode_fields(out, item, fields, added);
}

static void encode_array(struct text *out, const struct json_array *array, const struct json_field *fields,
			 size_t item_size, added_flags added)
{
	text_add_char(out, '[');
	for (size_t i = 0; i < array->count; i++) {
		if (i)
			text_add_char(out, ',');
		encode_item(out, (const char *)array->items + i * item_size, fields, added);
	}
	text_add_char(out, ']');
}

static void encode_map(struct text *out, const struct json_array *array, const struct json_field *field,
		       added_flags added)
{
	const struct json_field *name = field->fields;
	const void **items;

	while (name->kind != JSON_KIND_KEY)
		name++;
	items = sorted_items(array, field->size, name->offset);
	text_add_char(out, '{');
	for (size_t i = 0; i < array->count; i++) {
		if (i)
			text_add_char(out, ',');
		encode_text(out, *(char *const *)(const void *)((const char *)items[i] + name->offset));
		text_add_char(out, ':');
		encode_item(out, items[i], field->fields, added);
	}
	text_add_char(out, '}');
	free(items);
}

static bool is_null(const void *source, const struct json_field *field)
{
	switch (field->kind) {
	case JSON_KIND_POINTER:
	case JSON_KIND_RAW:
	case JSON_KIND_OPT_I64:
	case JSON_KIND_OPT_U64:
	case JSON_KIND_OPT_BOOL:
		return is_empty(source, field);
	default:
		return (field->flags & JSON_EMPTY_NULL) && is_empty(source, field);
	}
}

static void encode_value(struct text *out, const void *source, const struct json_field *field, added_flags added)
{
	const void *member = (const char *)source + field->offset;

	if (is_null(source, field)) {
		text_add(out, "null");
		return;
	}
	switch (field->kind) {
	case JSON_KIND_TEXT:
		encode_text(out, *(char *const *)member);
		break;
	case JSON_KIND_RAW:
		text_add(out, *(char *const *)member);
		break;
	case JSON_KIND_TEXT_LIST:
		encode_text_list(out, member);
		break;
	case JSON_KIND_TEXT_MAP:
		encode_text_map(out, member);
		break;
	case JSON_KIND_OBJECT:
		encode_fields(out, member, field->fields, added);
		break;
	case JSON_KIND_POINTER:
		encode_fields(out, *(void *const *)member, field->fields, added);
		break;
	case JSON_KIND_ARRAY:
		encode_array(out, member, field->fields, field->size, added);
		break;
	case JSON_KIND_MAP:
		encode_map(out, member, field, added);
		break;
	default:
		encode_number(out, member, field->kind);
	}
}

static bool is_left_out(const void *source, const struct json_field *field, added_flags added)
{
	if (field->kind == JSON_KIND_KEY)
		return true;
	return (field->flags | added) & JSON_OMIT_EMPTY && !(field->flags & JSON_REQUIRED) && is_empty(source, field);
}

static void encode_fields(struct text *out, const void *source, const struct json_field *fields, added_flags added)
{
	bool first = true;

	text_add_char(out, '{');
	for (; fields->kind != JSON_KIND_END; fields++) {
		if (is_left_out(source, fields, added))
			continue;
		if (!first)
			text_add_char(out, ',');
		first = false;
		encode_text(out, fields->name);
		text_add_char(out, ':');
		encode_value(out, source, fields, added);
	}
	text_add_char(out, '}');
}

void json_encode_to(struct text *out, const void *source, const struct json_field *fields)
{
	encode_fields(out, source, fields, 0);
}

char *json_encode(const void *source, const struct json_field *fields)
{
	struct text out = { 0 };

	encode_fields(&out, source, fields, 0);
	return text_take(&out);
}

char *json_encode_sparse(const void *source, const struct json_field *fields)
{
	struct text out = { 0 };

	encode_fields(&out, source, fields, JSON_OMIT_EMPTY);
	return text_take(&out);
}

char *json_encode_array(const void *array, const struct json_field *item_fields, size_t item_size)
{
	struct text out = { 0 };

	encode_array(&out, array, item_fields, item_size, 0);
	return text_take(&out);
}

char *json_encode_pretty(const void *source, const struct json_field *fields, const char *indent)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO_FREE char *compact = json_encode(source, fields);
	struct text out = { 0 };

	/* Only a JSON_RAW member with broken text can fail here; show it as it is. */
	if (json_value_parse(&value, compact, strlen(compact), &err) < 0)
		return take_ptr(compact);
	json_value_encode(&out, value, indent);
	return text_take(&out);
}
