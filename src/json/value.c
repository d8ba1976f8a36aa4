/* SPDX-License-Identifier: Apache-2.0 */
#include "json/value.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "json/parse.h"

/* A json_value is a json_t under another name, so that jansson stays in this folder. */
static const json_t *tree(const struct json_value *value)
{
	return (const json_t *)value;
}

static const struct json_value *wrap(const json_t *node)
{
	return (const struct json_value *)node;
}

int json_value_parse(struct json_value **out_value, const char *text, size_t size, struct error *err)
{
	json_t *root;

	if (json_parse_text(&root, text, size, err) < 0)
		return -1;
	*out_value = (struct json_value *)root;
	return 0;
}

void json_value_free(struct json_value *value)
{
	json_decref((json_t *)value);
}

enum json_type json_value_type(const struct json_value *value)
{
	if (!value)
		return JSON_TYPE_NULL;
	switch (json_typeof(tree(value))) {
	case JSON_OBJECT:
		return JSON_TYPE_OBJECT;
	case JSON_ARRAY:
		return JSON_TYPE_ARRAY;
	case JSON_STRING:
		return JSON_TYPE_TEXT;
	case JSON_INTEGER:
		return JSON_TYPE_INTEGER;
	case JSON_REAL:
		return JSON_TYPE_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return JSON_TYPE_BOOL;
	default:
		return JSON_TYPE_NULL;
	}
}

bool json_value_bool(const struct json_value *value)
{
	return value && json_is_true(tree(value));
}

int64_t json_value_integer(const struct json_value *value)
{
	double real;

	if (!value)
		return 0;
	if (!json_is_real(tree(value)))
		return json_integer_value(tree(value));
	real = json_real_value(tree(value));
	return fabs(real) < 9.2e18 ? (int64_t)real : 0;
}

double json_value_real(const struct json_value *value)
{
	return value ? json_number_value(tree(value)) : 0;
}

const char *json_value_text(const struct json_value *value)
{
	return value ? json_string_value(tree(value)) : NULL;
}

size_t json_value_count(const struct json_value *value)
{
	if (!value)
		return 0;
	return json_is_array(tree(value)) ? json_array_size(tree(value)) : json_object_size(tree(value));
}

const struct json_value *json_value_at(const struct json_value *value, size_t index)
{
	return value ? wrap(json_array_get(tree(value), index)) : NULL;
}

const struct json_value *json_value_get(const struct json_value *value, const char *key)
{
	return value ? wrap(json_object_get(tree(value), key)) : NULL;
}

void json_value_keys(struct text_list *out_keys, const struct json_value *value, bool sorted)
{
	const char *key;
	const json_t *member;

	if (json_value_type(value) != JSON_TYPE_OBJECT)
		return;
	json_object_foreach ((json_t *)tree(value), key, member) {
		(void)member;
		text_list_add(out_keys, key);
	}
	if (sorted)
		text_list_sort(out_keys);
}

static void add_line(struct text *out, const char *indent, unsigned depth)
{
	if (!indent)
		return;
	text_add_char(out, '\n');
	while (depth--)
		text_add(out, indent);
}

static void encode_node(struct text *out, const json_t *node, const char *indent, unsigned depth);

static void encode_array(struct text *out, const json_t *array, const char *indent, unsigned depth)
{
	size_t count = json_array_size(array);

	text_add_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			text_add_char(out, ',');
		add_line(out, indent, depth + 1);
		encode_node(out, json_array_get(array, i), indent, depth + 1);
	}
	if (count)
		add_line(out, indent, depth);
	text_add_char(out, ']');
}

static void encode_object(struct text *out, const json_t *object, const char *indent, unsigned depth)
{
	const char *key;
	const json_t *member;
	bool first = true;

	text_add_char(out, '{');
	json_object_foreach ((json_t *)object, key, member) {
		if (!first)
			text_add_char(out, ',');
		first = false;
		add_line(out, indent, depth + 1);
		quote_json(out, key, strlen(key));
		text_add(out, indent ? ": " : ":");
		encode_node(out, member, indent, depth + 1);
	}
	if (!first)
		add_line(out, indent, depth);
	text_add_char(out, '}');
}

static void encode_real(struct text *out, double real)
{
	if (real == rint(real) && fabs(real) < 1e15)
		text_addf(out, "%" PRId64, (int64_t)real);
	else
		text_addf(out, "%.17g", real);
}

static void encode_node(struct text *out, const json_t *node, const char *indent, unsigned depth)
{
	switch (json_typeof(node)) {
	case JSON_OBJECT:
		encode_object(out, node, indent, depth);
		break;
	case JSON_ARRAY:
		encode_array(out, node, indent, depth);
		break;
	case JSON_STRING:
		quote_json(out, json_string_value(node), json_string_length(node));
		break;
	case JSON_INTEGER:
		text_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(node));
		break;
	case JSON_REAL:
		encode_real(out, json_real_value(node));
		break;
	case JSON_TRUE:
		text_add(out, "true");
		break;
	case JSON_FALSE:
		text_add(out, "false");
		break;
	default:
		text_add(out, "null");
	}
}

void json_value_encode(struct text *out, const struct json_value *value, const char *indent)
{
	if (value)
		encode_node(out, tree(value), indent, 0);
	else
		text_add(out, "null");
}
