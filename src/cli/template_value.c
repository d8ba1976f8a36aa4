/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "cli/template_tree.h"

/* Keys of the engine's objects whose values are Go maps: absent members are no error there, and nil prints map[]. */
static const char *const map_keys[] = { "Annotations", "Containers", "Data",	   "DriverOpts", "ExposedPorts",
					"Labels",      "LogOpts",    "Networks",   "Options",	 "PortBindings",
					"Ports",       "Runtimes",   "StorageOpt", "Sysctls",	 "Tmpfs",
					"UsageData",   "Volumes" };
/* Keys whose null is a Go pointer. */
static const char *const pointer_keys[] = { "Health",	      "Healthcheck", "IPAMConfig",  "Init",
					    "OomKillDisable", "PidsLimit",   "StopTimeout", "MemorySwappiness" };

static bool is_among(const char *key, const char *const *keys, size_t count)
{
	for (size_t i = 0; key && i < count; i++)
		if (text_equal(key, keys[i]))
			return true;
	return false;
}

static bool is_map_key(const char *key)
{
	return is_among(key, map_keys, sizeof(map_keys) / sizeof(map_keys[0]));
}

struct template_value template_text(const char *text)
{
	return (struct template_value){ .kind = TEMPLATE_TEXT, .text = text };
}

struct template_value template_integer(int64_t integer)
{
	return (struct template_value){ .kind = TEMPLATE_INTEGER, .integer = integer };
}

struct template_value template_boolean(bool boolean)
{
	return (struct template_value){ .kind = TEMPLATE_BOOL, .boolean = boolean };
}

struct template_value template_value_of_row(const struct template_row *row)
{
	return (struct template_value){ .kind = TEMPLATE_ROW, .row = row };
}

struct template_value template_value_of_json(const struct json_value *json, const char *key)
{
	struct template_value value = { .kind = TEMPLATE_JSON, .key = key, .json = json };

	switch (json_value_type(json)) {
	case JSON_TYPE_NULL:
		return (struct template_value){ .kind = TEMPLATE_NIL, .key = key };
	case JSON_TYPE_BOOL:
		value = template_boolean(json_value_bool(json));
		break;
	case JSON_TYPE_INTEGER:
		value = template_integer(json_value_integer(json));
		break;
	case JSON_TYPE_REAL:
		value = (struct template_value){ .kind = TEMPLATE_REAL, .real = json_value_real(json) };
		break;
	case JSON_TYPE_TEXT:
		value = template_text(json_value_text(json));
		break;
	case JSON_TYPE_ARRAY:
	case JSON_TYPE_OBJECT:
		break;
	}
	return value;
}

static bool is_object(const struct template_value *value)
{
	return value->kind == TEMPLATE_JSON && json_value_type(value->json) == JSON_TYPE_OBJECT;
}

bool template_truth(const struct template_value *value)
{
	switch (value->kind) {
	case TEMPLATE_NO_VALUE:
	case TEMPLATE_NIL:
		return false;
	case TEMPLATE_BOOL:
		return value->boolean;
	case TEMPLATE_INTEGER:
		return value->integer != 0;
	case TEMPLATE_REAL:
		return value->real != 0;
	case TEMPLATE_TEXT:
		return !text_empty(value->text);
	case TEMPLATE_JSON:
		/* A Go struct is always true; only maps and lists can be empty. */
		return json_value_count(value->json) > 0 || (is_object(value) && !is_map_key(value->key));
	case TEMPLATE_LIST:
		return value->list->count > 0;
	case TEMPLATE_ROW:
		break;
	}
	return true;
}

size_t template_length(const struct template_value *value)
{
	switch (value->kind) {
	case TEMPLATE_TEXT:
		return strlen(value->text);
	case TEMPLATE_JSON:
		return json_value_count(value->json);
	case TEMPLATE_LIST:
		return value->list->count;
	default:
		return 0;
	}
}

/* What index gives for a key that a map lacks: the zero value of what it holds. */
static struct template_value absent(const char *map_key)
{
	static const char *const lists[] = { "Ports", "PortBindings" };

	if (is_among(map_key, lists, 2))
		return (struct template_value){ .kind = TEMPLATE_NIL, .key = map_key };
	return is_map_key(map_key) ? template_text("") : (struct template_value){ .kind = TEMPLATE_NO_VALUE };
}

bool template_may_lack(const char *map_key, const char *name, struct template_value *out_value)
{
	if (is_among(name, pointer_keys, sizeof(pointer_keys) / sizeof(pointer_keys[0]))) {
		*out_value = (struct template_value){ .kind = TEMPLATE_NIL, .key = name };
		return true;
	}
	*out_value = (struct template_value){ .kind = TEMPLATE_NO_VALUE };
	return is_map_key(map_key);
}

static int index_object(struct template_value *out_value, const struct template_value *value,
			const struct template_value *key, struct error *err)
{
	const struct json_value *member;

	if (key->kind != TEMPLATE_TEXT)
		return error_set(err, ERR_INVALID, "value has type int; should be string");
	member = is_object(value) ? json_value_get(value->json, key->text) : NULL;
	*out_value = member ? template_value_of_json(member, key->text) : absent(value->key);
	return 0;
}

static const char *kind_name(const struct template_value *value)
{
	switch (value->kind) {
	case TEMPLATE_INTEGER:
		return "int";
	case TEMPLATE_REAL:
		return "float64";
	case TEMPLATE_BOOL:
		return "bool";
	default:
		return "interface {}";
	}
}

int template_index(struct template_value *out_value, const struct template_value *value,
		   const struct template_value *key, struct error *err)
{
	size_t length = template_length(value);

	if (is_object(value) || (value->kind == TEMPLATE_NIL && is_map_key(value->key)))
		return index_object(out_value, value, key, err);
	if (value->kind == TEMPLATE_NIL || value->kind == TEMPLATE_NO_VALUE)
		return error_set(err, ERR_INVALID, "index of untyped nil");
	if (value->kind != TEMPLATE_TEXT && value->kind != TEMPLATE_JSON && value->kind != TEMPLATE_LIST)
		return error_set(err, ERR_INVALID, "can't index item of type %s", kind_name(value));
	if (key->kind != TEMPLATE_INTEGER)
		return error_set(err, ERR_INVALID, "cannot index slice/array with type string");
	if (key->integer < 0 || (uint64_t)key->integer >= length)
		return error_set(err, ERR_INVALID, "index out of range: %" PRId64, key->integer);
	if (value->kind == TEMPLATE_TEXT)
		*out_value = template_integer((unsigned char)value->text[key->integer]);
	else if (value->kind == TEMPLATE_LIST)
		*out_value = template_text(value->list->items[key->integer]);
	else
		*out_value = template_value_of_json(json_value_at(value->json, (size_t)key->integer), NULL);
	return 0;
}

/* ---- printing ---- */

static void print_real(struct text *out, double real)
{
	char digits[64];

	if (fabs(real) < 1e21 && real == rint(real)) {
		text_addf(out, "%.0f", real);
		return;
	}
	for (int precision = 1; precision <= 17; precision++) {
		snprintf(digits, sizeof(digits), "%.*g", precision, real);
		if (strtod(digits, NULL) == real)
			break;
	}
	text_add(out, digits);
}

static void print_nil(struct text *out, const char *key)
{
	if (is_map_key(key))
		text_add(out, "map[]");
	else if (key && !is_among(key, pointer_keys, sizeof(pointer_keys) / sizeof(pointer_keys[0])))
		text_add(out, "[]");
	else
		text_add(out, "<nil>");
}

static void print_object(struct text *out, const struct json_value *json)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };

	json_value_keys(&keys, json, true);
	text_add(out, "map[");
	for (size_t i = 0; i < keys.count; i++) {
		struct template_value member = template_value_of_json(json_value_get(json, keys.items[i]),
								      keys.items[i]);

		text_addf(out, "%s%s:", i ? " " : "", keys.items[i]);
		template_print(out, &member);
	}
	text_add_char(out, ']');
}

static void print_items(struct text *out, const struct template_value *value)
{
	text_add_char(out, '[');
	for (size_t i = 0; i < template_length(value); i++) {
		struct template_value item = value->kind == TEMPLATE_LIST
						     ? template_text(value->list->items[i])
						     : template_value_of_json(json_value_at(value->json, i), NULL);

		if (i)
			text_add_char(out, ' ');
		template_print(out, &item);
	}
	text_add_char(out, ']');
}

void template_print(struct text *out, const struct template_value *value)
{
	switch (value->kind) {
	case TEMPLATE_NO_VALUE:
		text_add(out, "<no value>");
		break;
	case TEMPLATE_NIL:
		print_nil(out, value->key);
		break;
	case TEMPLATE_BOOL:
		text_add(out, value->boolean ? "true" : "false");
		break;
	case TEMPLATE_INTEGER:
		text_addf(out, "%" PRId64, value->integer);
		break;
	case TEMPLATE_REAL:
		print_real(out, value->real);
		break;
	case TEMPLATE_TEXT:
		text_add(out, value->text);
		break;
	case TEMPLATE_JSON:
		if (is_object(value))
			print_object(out, value->json);
		else
			print_items(out, value);
		break;
	case TEMPLATE_LIST:
		print_items(out, value);
		break;
	case TEMPLATE_ROW:
		template_row_json(out, value->row);
		break;
	}
}

/* Rows go through Go's json.Marshal, which escapes these three. */
static void quote_html_safe(struct text *out, const char *value)
{
	AUTO(text_fini) struct text quoted = { 0 };

	quote_json(&quoted, value, strlen(value));
	for (const char *c = quoted.data; *c; c++) {
		if (strchr("<>&", *c))
			text_addf(out, "\\u%04x", (unsigned)*c);
		else
			text_add_char(out, *c);
	}
}

void template_row_json(struct text *out, const struct template_row *row)
{
	AUTO(text_list_fini) struct text_list keys = { 0 };

	for (size_t i = 0; i < row->fields.count; i++)
		text_list_add(&keys, row->fields.items[i].key);
	text_list_sort(&keys);
	text_add_char(out, '{');
	for (size_t i = 0; i < keys.count; i++) {
		const char *value = text_map_get(&row->fields, keys.items[i]);

		text_addf(out, "%s\"%s\":", i ? "," : "", keys.items[i]);
		/* ps: the one column that is an object in Go. */
		if (text_equal(keys.items[i], "Platform"))
			text_add(out, text_empty(value) ? "null" : value);
		else if (text_equal(keys.items[i], row->flag))
			text_add(out, value);
		else
			quote_html_safe(out, value);
	}
	text_add_char(out, '}');
}

void template_print_json(struct text *out, const struct template_value *value)
{
	switch (value->kind) {
	case TEMPLATE_NO_VALUE:
	case TEMPLATE_NIL:
		text_add(out, "null");
		break;
	case TEMPLATE_TEXT:
		quote_json(out, value->text, strlen(value->text));
		break;
	case TEMPLATE_JSON:
		json_value_encode(out, value->json, NULL);
		break;
	case TEMPLATE_LIST:
		text_add_char(out, '[');
		for (size_t i = 0; i < value->list->count; i++) {
			text_add(out, i ? "," : "");
			quote_json(out, value->list->items[i], strlen(value->list->items[i]));
		}
		text_add_char(out, ']');
		break;
	case TEMPLATE_BOOL:
	case TEMPLATE_INTEGER:
	case TEMPLATE_REAL:
	case TEMPLATE_ROW:
		template_print(out, value);
		break;
	}
}

/* ---- what a run allocates ---- */

const char *arena_keep(struct template_arena *arena, char *text_owned)
{
	text_list_add_take(&arena->texts, text_owned);
	return text_owned;
}

struct text_list *arena_list(struct template_arena *arena)
{
	arena->lists = xgrow(arena->lists, &arena->capacity, arena->count + 1, sizeof(*arena->lists));
	arena->lists[arena->count] = xcalloc(1, sizeof(struct text_list));
	return arena->lists[arena->count++];
}

void arena_fini(struct template_arena *arena)
{
	for (size_t i = 0; i < arena->count; i++) {
		text_list_fini(arena->lists[i]);
		free(arena->lists[i]);
	}
	free(arena->lists);
	text_list_fini(&arena->texts);
}
