/* SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/filter.h"
#include "json/value.h"

static void values_free(void *pointer)
{
	struct text_list *values = pointer;

	text_list_fini(values);
	free(values);
}

void filter_set_init(struct filter_set *set)
{
	map_init(&set->keys, values_free);
}

void filter_set_fini(struct filter_set *set)
{
	map_fini(&set->keys);
}

void filter_set_add(struct filter_set *set, const char *key, const char *value)
{
	struct text_list *values = map_get(&set->keys, key);

	if (!values) {
		values = xcalloc(1, sizeof(*values));
		map_set(&set->keys, key, values);
	}
	text_list_add(values, value);
}

static bool is_allowed(const char *key, const char *const *allowed)
{
	if (!allowed)
		return true;
	for (; *allowed; allowed++)
		if (text_equal(*allowed, key))
			return true;
	return false;
}

static int add_list(struct filter_set *set, const char *key, const struct json_value *list, struct error *err)
{
	for (size_t i = 0; i < json_value_count(list); i++) {
		const char *value = json_value_text(json_value_at(list, i));

		if (!value)
			return error_set(err, ERR_INVALID, "invalid filter '%s': expected an array of strings", key);
		filter_set_add(set, key, value);
	}
	return 0;
}

static int add_map(struct filter_set *set, const char *key, const struct json_value *object, struct error *err)
{
	struct text_list values = { 0 };

	json_value_keys(&values, object, false);
	for (size_t i = 0; i < values.count; i++) {
		if (json_value_type(json_value_get(object, values.items[i])) != JSON_TYPE_BOOL) {
			text_list_fini(&values);
			return error_set(err, ERR_INVALID, "invalid filter '%s': expected true or false", key);
		}
		if (json_value_bool(json_value_get(object, values.items[i])))
			filter_set_add(set, key, values.items[i]);
	}
	text_list_fini(&values);
	return 0;
}

static int add_key(struct filter_set *set, const char *key, const struct json_value *value, const char *const *allowed,
		   struct error *err)
{
	if (!is_allowed(key, allowed))
		return error_set(err, ERR_INVALID, "invalid filter '%s'", key);
	switch (json_value_type(value)) {
	case JSON_TYPE_ARRAY:
		return add_list(set, key, value, err);
	case JSON_TYPE_OBJECT:
		return add_map(set, key, value, err);
	default:
		return error_set(err, ERR_INVALID, "invalid filter '%s': expected an object or an array", key);
	}
}

static int parse_document(struct filter_set *set, const struct json_value *document, const char *const *allowed,
			  struct error *err)
{
	struct text_list keys = { 0 };
	int r = 0;

	if (json_value_type(document) == JSON_TYPE_NULL)
		return 0;
	if (json_value_type(document) != JSON_TYPE_OBJECT)
		return error_set(err, ERR_INVALID, "invalid filter: expected an object");
	json_value_keys(&keys, document, false);
	for (size_t i = 0; i < keys.count && r == 0; i++)
		r = add_key(set, keys.items[i], json_value_get(document, keys.items[i]), allowed, err);
	text_list_fini(&keys);
	return r;
}

int filter_set_parse(struct filter_set *out_set, const char *text, const char *const *allowed, struct error *err)
{
	AUTO(json_value_freep) struct json_value *document = NULL;

	filter_set_init(out_set);
	if (text_empty(text))
		return 0;
	if (json_value_parse(&document, text, strlen(text), err) < 0)
		return error_prefix(err, "invalid filter");
	if (parse_document(out_set, document, allowed, err) < 0) {
		filter_set_fini(out_set);
		filter_set_init(out_set);
		return -1;
	}
	return 0;
}

const struct text_list *filter_values(const struct filter_set *set, const char *key)
{
	return set ? map_get(&set->keys, key) : NULL;
}

bool filter_has(const struct filter_set *set, const char *key)
{
	return filter_values(set, key) != NULL;
}

bool filter_match_exact(const struct filter_set *set, const char *key, const char *value)
{
	const struct text_list *values = filter_values(set, key);

	return !values || text_list_contains(values, text_or_empty(value));
}

/* glibc copies what a + or {} repeats, so nesting them costs 2^n memory; back references cost 2^n time. */
static bool is_costly(const char *expression)
{
	unsigned copies = 0;

	for (const char *at = expression; *at; at++) {
		if (*at == '{' || (*at == '\\' && at[1] >= '1' && at[1] <= '9'))
			return true;
		if (*at == '+' && ++copies > 8)
			return true;
	}
	return strlen(expression) > 1024;
}

static bool matches_expression(const char *expression, const char *value)
{
	regex_t compiled;
	bool found;

	if (is_costly(expression) || regcomp(&compiled, expression, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	found = regexec(&compiled, value, 0, NULL, 0) == 0;
	regfree(&compiled);
	return found;
}

bool filter_match_pattern(const struct filter_set *set, const char *key, const char *value)
{
	const struct text_list *values = filter_values(set, key);

	if (!values)
		return true;
	value = text_or_empty(value);
	for (size_t i = 0; i < values->count; i++)
		if (strstr(value, values->items[i]) || matches_expression(values->items[i], value))
			return true;
	return false;
}

bool filter_match_prefix(const struct filter_set *set, const char *key, const char *value)
{
	const struct text_list *values = filter_values(set, key);

	if (!values)
		return true;
	for (size_t i = 0; i < values->count; i++)
		if (text_has_prefix(text_or_empty(value), values->items[i]))
			return true;
	return false;
}

static bool has_label(const struct text_map *labels, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	AUTO_FREE char *key = equals ? xstrndup(wanted, (size_t)(equals - wanted)) : xstrdup(wanted);
	const char *value = text_map_get(labels, key);

	return value && (!equals || text_equal(value, equals + 1));
}

bool filter_match_labels(const struct filter_set *set, const char *key, const struct text_map *labels)
{
	const struct text_list *values = filter_values(set, key);

	for (size_t i = 0; values && i < values->count; i++)
		if (!has_label(labels, values->items[i]))
			return false;
	return true;
}

int filter_bool(bool *out_value, const struct filter_set *set, const char *key, bool otherwise, struct error *err)
{
	const struct text_list *values = filter_values(set, key);
	bool value = otherwise;

	for (size_t i = 0; values && i < values->count; i++) {
		const char *text = values->items[i];

		if (text_equal(text, "1") || text_equal_ignoring_case(text, "true"))
			value = true;
		else if (text_equal(text, "0") || text_equal_ignoring_case(text, "false"))
			value = false;
		else
			return error_set(err, ERR_INVALID, "invalid filter '%s=[%s]'", key, text);
	}
	*out_value = value;
	return 0;
}

int filter_until(int64_t *out_ns, const struct filter_set *filters, struct error *err)
{
	const struct text_list *values = filter_values(filters, "until");

	*out_ns = 0;
	if (!values)
		return 0;
	if (values->count != 1)
		return error_set(err, ERR_INVALID, "more than one until filter specified");
	if (clock_parse_moment(out_ns, values->items[0]) < 0)
		return error_set(err, ERR_INVALID, "invalid filter 'until=[%s]'", values->items[0]);
	return 0;
}
