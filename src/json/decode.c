/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: jansson makes the tree; decode_value() walks it beside the
 * table. `struct place` is a linked list on the stack that names where we are,
 * for the error text only.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "json/json.h"
#include "json/parse.h"
#include "json/value.h"

struct place {
	const struct place *parent;
	const char *key; /* NULL: use index */
	size_t index;
};

static int decode_fields(void *target, const struct json_field *fields, const json_t *object, const struct place *place,
			 struct error *err);

static void add_place(struct text *out, const struct place *place)
{
	if (!place)
		return;
	add_place(out, place->parent);
	if (!place->key)
		text_addf(out, "[%zu]", place->index);
	else if (*place->key)
		text_addf(out, "%s%s", out->size ? "." : "", place->key);
}

static int fail(struct error *err, const struct place *place, const char *what)
{
	struct text where = { 0 };

	add_place(&where, place);
	if (where.size)
		error_set(err, ERR_INVALID, "%s: %s", where.data, what);
	else
		error_set(err, ERR_INVALID, "%s", what);
	text_fini(&where);
	return -1;
}

static int decode_text(char **out_text, const json_t *value, const struct place *place, struct error *err)
{
	if (!json_is_string(value))
		return fail(err, place, "expected a string");
	if (strlen(json_string_value(value)) != json_string_length(value))
		return fail(err, place, "a string must not hold a NUL byte");
	free(*out_text);
	*out_text = xstrdup(json_string_value(value));
	return 0;
}

/* jansson reads 1e3 and 2^64-1 as reals; whole ones are numbers all the same. */
static int decode_i64(int64_t *out_number, const json_t *value, const struct place *place, struct error *err)
{
	double real;

	if (json_is_integer(value)) {
		*out_number = json_integer_value(value);
		return 0;
	}
	if (!json_is_real(value))
		return fail(err, place, "expected a number");
	real = json_real_value(value);
	if (real < -9.2233720368547748e18 || real > 9.2233720368547748e18)
		return fail(err, place, "number out of range");
	if (real != (double)(int64_t)real)
		return fail(err, place, "expected a whole number");
	*out_number = (int64_t)real;
	return 0;
}

static int decode_u64(uint64_t *out_number, const json_t *value, const struct place *place, struct error *err)
{
	int64_t number = 0;

	if (json_is_real(value) && json_real_value(value) >= 9.2233720368547748e18) {
		double real = json_real_value(value);

		if (real > 1.8446744073709552e19)
			return fail(err, place, "number out of range");
		*out_number = real >= 1.8446744073709552e19 ? UINT64_MAX : (uint64_t)real;
		return 0;
	}
	if (decode_i64(&number, value, place, err) < 0)
		return -1;
	if (number < 0)
		return fail(err, place, "must not be negative");
	*out_number = (uint64_t)number;
	return 0;
}

static int decode_u32(uint32_t *out_number, const json_t *value, const struct place *place, struct error *err)
{
	uint64_t number = 0;

	if (decode_u64(&number, value, place, err) < 0)
		return -1;
	if (number > UINT32_MAX)
		return fail(err, place, "number out of range");
	*out_number = (uint32_t)number;
	return 0;
}

static int decode_bool(bool *out_flag, const json_t *value, const struct place *place, struct error *err)
{
	if (!json_is_boolean(value))
		return fail(err, place, "expected true or false");
	*out_flag = json_is_true(value);
	return 0;
}

static int decode_text_list(struct text_list *list, const struct json_field *field, const json_t *value,
			    const struct place *place, struct error *err)
{
	text_list_fini(list);
	if (json_is_string(value) && (field->flags & JSON_TEXT_OR_LIST)) {
		text_list_add(list, json_string_value(value));
		return 0;
	}
	if (!json_is_array(value))
		return fail(err, place, "expected an array of strings");
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct place here = { place, NULL, i };
		char *text = NULL;

		if (decode_text(&text, json_array_get(value, i), &here, err) < 0)
			return -1;
		text_list_add_take(list, text);
	}
	if (!list->items) {
		list->items = xgrow(NULL, &list->capacity, 1, sizeof(*list->items));
		list->items[0] = NULL;
	}
	return 0;
}

static int decode_text_map(struct text_map *map, const json_t *value, const struct place *place, struct error *err)
{
	const char *key;
	const json_t *item;

	text_map_fini(map);
	if (!json_is_object(value))
		return fail(err, place, "expected an object");
	json_object_foreach ((json_t *)value, key, item) {
		struct place here = { place, key, 0 };

		if (!json_is_string(item))
			return fail(err, &here, "expected a string");
		text_map_add(map, key, json_string_value(item)); /* jansson holds each key once */
	}
	return 0;
}

static const struct json_field *value_field(const struct json_field *fields)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		if (fields->kind != JSON_KIND_KEY && fields->name[0] == '\0')
			return fields;
	return NULL;
}

static const struct json_field *key_field(const struct json_field *fields)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		if (fields->kind == JSON_KIND_KEY)
			return fields;
	return NULL;
}

static int decode_value(void *target, const struct json_field *field, const json_t *value, const struct place *place,
			struct error *err);

/* An item of an array or map: an object, or a bare value when its table has a field named "". */
static int decode_item(void *item, const struct json_field *fields, const json_t *value, const struct place *place,
		       struct error *err)
{
	const struct json_field *bare = value_field(fields);

	if (bare)
		return json_is_null(value) ? 0 : decode_value(item, bare, value, place, err);
	if (json_is_null(value))
		return 0;
	return decode_fields(item, fields, value, place, err);
}

static int decode_array(struct json_array *array, const struct json_field *field, const json_t *value,
			const struct place *place, struct error *err)
{
	json_free_array(array, field->fields, field->size);
	if (!json_is_array(value))
		return fail(err, place, "expected an array");
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct place here = { place, NULL, i };
		void *item = json_array_add(array, field->size);

		if (decode_item(item, field->fields, json_array_get(value, i), &here, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_map(struct json_array *array, const struct json_field *field, const json_t *value,
		      const struct place *place, struct error *err)
{
	const struct json_field *name = key_field(field->fields);
	const char *key;
	const json_t *member;

	json_free_array(array, field->fields, field->size);
	if (!json_is_object(value))
		return fail(err, place, "expected an object");
	json_object_foreach ((json_t *)value, key, member) {
		struct place here = { place, key, 0 };
		char *item = json_array_add(array, field->size);

		*(char **)(void *)(item + name->offset) = xstrdup(key);
		if (decode_item(item, field->fields, member, &here, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_pointer(void **pointer, const struct json_field *field, const json_t *value,
			  const struct place *place, struct error *err)
{
	if (!json_is_object(value))
		return fail(err, place, "expected an object");
	if (!*pointer)
		*pointer = xcalloc(1, field->size);
	return decode_fields(*pointer, field->fields, value, place, err);
}

static void decode_raw(char **out_text, const json_t *value)
{
	struct text text = { 0 };

	json_value_encode(&text, (const struct json_value *)value, NULL);
	free(*out_text);
	*out_text = text_take(&text);
}

static int decode_scalar(void *member, const struct json_field *field, const json_t *value, const struct place *place,
			 struct error *err)
{
	struct optional_i64 *i64 = member;
	struct optional_u64 *u64 = member;
	struct optional_bool *flag = member;

	switch (field->kind) {
	case JSON_KIND_BOOL:
		return decode_bool(member, value, place, err);
	case JSON_KIND_I64:
		return decode_i64(member, value, place, err);
	case JSON_KIND_U64:
		return decode_u64(member, value, place, err);
	case JSON_KIND_U32:
		return decode_u32(member, value, place, err);
	case JSON_KIND_DOUBLE:
		if (!json_is_number(value))
			return fail(err, place, "expected a number");
		*(double *)member = json_number_value(value);
		return 0;
	case JSON_KIND_OPT_I64:
		i64->set = true;
		return decode_i64(&i64->value, value, place, err);
	case JSON_KIND_OPT_U64:
		u64->set = true;
		return decode_u64(&u64->value, value, place, err);
	case JSON_KIND_OPT_BOOL:
		flag->set = true;
		return decode_bool(&flag->value, value, place, err);
	default:
		return 0;
	}
}

static int decode_value(void *target, const struct json_field *field, const json_t *value, const struct place *place,
			struct error *err)
{
	void *member = (char *)target + field->offset;

	switch (field->kind) {
	case JSON_KIND_TEXT:
		return decode_text(member, value, place, err);
	case JSON_KIND_RAW:
		decode_raw(member, value);
		return 0;
	case JSON_KIND_TEXT_LIST:
		return decode_text_list(member, field, value, place, err);
	case JSON_KIND_TEXT_MAP:
		return decode_text_map(member, value, place, err);
	case JSON_KIND_OBJECT:
		return decode_fields(member, field->fields, value, place, err);
	case JSON_KIND_POINTER:
		return decode_pointer(member, field, value, place, err);
	case JSON_KIND_ARRAY:
		return decode_array(member, field, value, place, err);
	case JSON_KIND_MAP:
		return decode_map(member, field, value, place, err);
	default:
		return decode_scalar(member, field, value, place, err);
	}
}

static const struct json_field *field_of(const struct json_field *fields, const char *key, bool ignoring_case)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		if (fields->name && *fields->name &&
		    (ignoring_case ? text_equal_ignoring_case(fields->name, key) : text_equal(fields->name, key)))
			return fields;
	return NULL;
}

static const json_t *find_ignoring_case(const json_t *object, const char *name)
{
	const char *key;
	json_t *member;

	json_object_foreach ((json_t *)object, key, member)
		if (text_equal_ignoring_case(key, name))
			return member;
	return NULL;
}

/* Go takes "detachKeys" for "DetachKeys" too, if nothing has the exact name; its clients rely on that. */
static int decode_other_cases(void *target, const struct json_field *fields, const json_t *object,
			      const struct place *place, struct error *err)
{
	const char *key;
	json_t *member;

	json_object_foreach ((json_t *)object, key, member) {
		const struct json_field *field = field_of(fields, key, false) ? NULL : field_of(fields, key, true);
		struct place here = { place, key, 0 };

		if (field && !json_is_null(member) && !json_object_get(object, field->name) &&
		    decode_value(target, field, member, &here, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_fields(void *target, const struct json_field *fields, const json_t *object, const struct place *place,
			 struct error *err)
{
	size_t known = 0;

	if (!json_is_object(object))
		return fail(err, place, "expected an object");
	for (const struct json_field *field = fields; field->kind != JSON_KIND_END; field++) {
		struct place here = { place, field->name, 0 };
		const json_t *value;

		if (field->kind == JSON_KIND_KEY)
			continue;
		value = json_object_get(object, field->name);
		known += value != NULL;
		if (!value && field->flags & JSON_REQUIRED)
			value = find_ignoring_case(object, field->name);
		if (!value || json_is_null(value)) {
			if (field->flags & JSON_REQUIRED)
				return fail(err, &here, "is missing");
			continue;
		}
		if (decode_value(target, field, value, &here, err) < 0)
			return -1;
	}
	return known < json_object_size(object) ? decode_other_cases(target, fields, object, place, err) : 0;
}

/* Of jansson's hash tables, against chosen keys. Its own way of finding one opens and reads /dev/urandom. */
static void seed(void)
{
	size_t number;

	random_bytes(&number, sizeof(number));
	json_object_seed(number | 1);
}

/* The library's words, but for those that name its own flags. */
static const char *problem_words(const json_error_t *problem)
{
	return json_error_code(problem) == json_error_null_character ? "a text cannot hold the character \\u0000"
								     : problem->text;
}

int json_parse_text(json_t **out_root, const char *text, size_t size, struct error *err)
{
	static pthread_once_t seeded = PTHREAD_ONCE_INIT;
	json_error_t problem;
	json_t *root;

	pthread_once(&seeded, seed);
	root = json_loadb(text, size, JSON_DECODE_ANY, &problem);

	/* 2^64-1 (RLIM_INFINITY) does not fit jansson's integers; decode_u64() takes it as a real. */
	if (!root && json_error_code(&problem) == json_error_numeric_overflow)
		root = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &problem);
	if (!root)
		return error_set(err, ERR_INVALID, "invalid JSON: line %d column %d: %s", problem.line, problem.column,
				 problem_words(&problem));
	*out_root = root;
	return 0;
}

int json_decode(void *target, const struct json_field *fields, const char *text, size_t size, struct error *err)
{
	json_t *root;
	int r;

	if (json_parse_text(&root, text, size, err) < 0)
		return -1;
	r = decode_fields(target, fields, root, NULL, err);
	json_decref(root);
	if (r < 0)
		json_free_fields(target, fields);
	return r;
}

int json_decode_array(void *array, const struct json_field *item_fields, size_t item_size, const char *text,
		      size_t size, struct error *err)
{
	const struct json_field field = { "", JSON_KIND_ARRAY, 0, 0, item_size, item_fields };
	json_t *root;
	int r;

	if (json_parse_text(&root, text, size, err) < 0)
		return -1;
	r = decode_array(array, &field, root, NULL, err);
	json_decref(root);
	if (r < 0)
		json_free_array(array, item_fields, item_size);
	return r;
}
