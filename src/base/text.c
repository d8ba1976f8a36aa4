/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* Numbers and short words, which need no memory of their own. */
#define SMALL_MAX 128

bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_equal_ignoring_case(const char *a, const char *b)
{
	return a == b || (a && b && strcasecmp(a, b) == 0);
}

bool text_has_prefix(const char *text, const char *prefix)
{
	return text_after(text, prefix) != NULL;
}

bool text_has_suffix(const char *text, const char *suffix)
{
	size_t text_size = strlen(text);
	size_t suffix_size = strlen(suffix);

	return text_size >= suffix_size && strcmp(text + text_size - suffix_size, suffix) == 0;
}

const char *text_after(const char *text, const char *prefix)
{
	size_t size = strlen(prefix);

	return text && strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

bool text_empty(const char *text)
{
	return !text || !*text;
}

const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

int text_parse_u64(uint64_t *out_value, const char *text, uint64_t max)
{
	uint64_t value = 0;

	if (text_empty(text))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	if (value > max)
		return -ERANGE;
	*out_value = value;
	return 0;
}

int text_parse_i64(int64_t *out_value, const char *text, int64_t min, int64_t max)
{
	uint64_t size;
	int64_t value;
	bool negative;
	int r;

	if (text_empty(text))
		return -EINVAL;
	negative = *text == '-';
	r = text_parse_u64(&size, text + negative, (uint64_t)INT64_MAX + negative);
	if (r < 0)
		return r;
	value = negative ? (int64_t)(0 - size) : (int64_t)size;
	if (value < min || value > max)
		return -ERANGE;
	*out_value = value;
	return 0;
}

int text_parse_octal(uint32_t *out_value, const char *text, uint32_t max)
{
	uint64_t value = 0;

	if (text_empty(text))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return -EINVAL;
		value = value * 8 + (uint64_t)(*text - '0');
		if (value > max)
			return -ERANGE;
	}
	*out_value = (uint32_t)value;
	return 0;
}

/* "", "b", "k", "kb", "KiB", ... as a factor; 0 if it is none. */
static double size_unit(const char *text)
{
	static const char units[] = "bkmgtp";
	const char *unit;

	if (!*text)
		return 1;
	unit = strchr(units, tolower((unsigned char)*text++));
	if (!unit)
		return 0;
	if (unit != units && *text == 'i')
		text++;
	if (unit != units && (*text == 'b' || *text == 'B'))
		text++;
	return *text ? 0 : ldexp(1, 10 * (int)(unit - units));
}

int text_parse_size(int64_t *out_bytes, const char *text)
{
	char *end;
	double value;
	double factor;

	if (text_equal(text, "-1")) {
		*out_bytes = -1;
		return 0;
	}
	if (text_empty(text) || !(isdigit((unsigned char)*text) || *text == '.'))
		return -EINVAL;
	value = strtod(text, &end);
	if (strspn(text, "0123456789.") != (size_t)(end - text))
		return -EINVAL;
	while (*end == ' ')
		end++;
	factor = size_unit(end);
	if (factor < 1)
		return -EINVAL;
	if (value * factor >= ldexp(1, 63))
		return -ERANGE;
	*out_bytes = (int64_t)(value * factor);
	return 0;
}

char *text_trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* ---- builder ---- */

char *text_extend(struct text *text, size_t size)
{
	char *place;

	text->data = xgrow(text->data, &text->capacity, text->size + size + 1, 1);
	place = text->data + text->size;
	text->size += size;
	place[size] = '\0';
	return place;
}

void text_add_bytes(struct text *text, const void *data, size_t size)
{
	char *place = text_extend(text, size);

	if (size)
		memcpy(place, data, size);
}

void text_add(struct text *text, const char *more)
{
	text_add_bytes(text, more, strlen(more));
}

void text_add_char(struct text *text, char c)
{
	text_add_bytes(text, &c, 1);
}

void text_addf(struct text *text, const char *format, ...)
{
	char small[SMALL_MAX];
	AUTO_FREE char *large = NULL;
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(small, sizeof(small), format, args);
	va_end(args);
	if (size >= 0 && (size_t)size < sizeof(small)) {
		text_add_bytes(text, small, (size_t)size);
		return;
	}
	va_start(args, format);
	large = xvasprintf(format, args);
	va_end(args);
	text_add(text, large);
}

void text_add_escaped(struct text *text, const char *more, bool blank_is_plus)
{
	for (; *more; more++) {
		char c = *more;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c))
			text_add_char(text, c);
		else if (c == ' ' && blank_is_plus)
			text_add_char(text, '+');
		else
			text_addf(text, "%%%02X", (unsigned char)c);
	}
}

void text_reset(struct text *text)
{
	text->size = 0;
	if (text->data)
		text->data[0] = '\0';
}

char *text_take(struct text *text)
{
	char *data = text->data ? text->data : xstrdup("");

	*text = (struct text){ 0 };
	return data;
}

void text_fini(struct text *text)
{
	free(text->data);
	*text = (struct text){ 0 };
}

/* ---- list ---- */

void text_list_add_take(struct text_list *list, char *text)
{
	list->items = xgrow(list->items, &list->capacity, list->count + 2, sizeof(*list->items));
	list->items[list->count++] = text;
	list->items[list->count] = NULL;
}

void text_list_add(struct text_list *list, const char *text)
{
	text_list_add_take(list, xstrdup(text));
}

void text_list_addf(struct text_list *list, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_list_add_take(list, xvasprintf(format, args));
	va_end(args);
}

void text_list_add_all(struct text_list *list, const struct text_list *more)
{
	for (size_t i = 0; i < more->count; i++)
		text_list_add(list, more->items[i]);
}

bool text_list_contains(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i], text))
			return true;
	return false;
}

void text_list_remove(struct text_list *list, size_t index)
{
	free(list->items[index]);
	memmove(&list->items[index], &list->items[index + 1], (list->count - index) * sizeof(*list->items));
	list->count--;
}

char *const *text_list_argv(const struct text_list *list)
{
	static char *const none[] = { NULL };

	return list->items ? list->items : none;
}

void text_list_split(struct text_list *list, const char *text, char separator)
{
	const char *end;

	if (text_empty(text))
		return;
	while ((end = strchr(text, separator))) {
		text_list_add_take(list, xstrndup(text, (size_t)(end - text)));
		text = end + 1;
	}
	text_list_add(list, text);
}

char *text_list_join(const struct text_list *list, const char *separator)
{
	struct text text = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		if (i)
			text_add(&text, separator);
		text_add(&text, list->items[i]);
	}
	return text_take(&text);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void text_list_sort(struct text_list *list)
{
	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), compare_texts);
}

void text_list_fini(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct text_list){ 0 };
}

static char **find_env(const struct text_list *list, const char *key)
{
	size_t size = strlen(key);

	for (size_t i = 0; i < list->count; i++)
		if (strncmp(list->items[i], key, size) == 0 && list->items[i][size] == '=')
			return &list->items[i];
	return NULL;
}

const char *text_list_env(const struct text_list *list, const char *key)
{
	char **item = find_env(list, key);

	return item ? *item + strlen(key) + 1 : NULL;
}

void text_list_set_env(struct text_list *list, const char *key, const char *value)
{
	char **item = find_env(list, key);
	char *text = xasprintf("%s=%s", key, value);

	if (!item) {
		text_list_add_take(list, text);
		return;
	}
	free(*item);
	*item = text;
}

/* ---- map ---- */

static struct text_pair *find_pair(const struct text_map *map, const char *key)
{
	for (size_t i = 0; i < map->count; i++)
		if (text_equal(map->items[i].key, key))
			return &map->items[i];
	return NULL;
}

const char *text_map_get(const struct text_map *map, const char *key)
{
	const struct text_pair *pair = find_pair(map, key);

	return pair ? pair->value : NULL;
}

void text_map_set(struct text_map *map, const char *key, const char *value)
{
	struct text_pair *pair = find_pair(map, key);
	char *copy;

	if (!pair) {
		text_map_add(map, key, value);
		return;
	}
	copy = xstrdup(value);
	free(pair->value);
	pair->value = copy;
}

void text_map_add(struct text_map *map, const char *key, const char *value)
{
	map->items = xgrow(map->items, &map->capacity, map->count + 1, sizeof(*map->items));
	map->items[map->count++] = (struct text_pair){ .key = xstrdup(key), .value = xstrdup(value) };
}

void text_map_remove(struct text_map *map, const char *key)
{
	struct text_pair *pair = find_pair(map, key);
	size_t index;

	if (!pair)
		return;
	index = (size_t)(pair - map->items);
	free(pair->key);
	free(pair->value);
	map->count--;
	memmove(pair, pair + 1, (map->count - index) * sizeof(*pair));
}

void text_map_copy(struct text_map *to, const struct text_map *from)
{
	bool was_empty = to->count == 0;

	for (size_t i = 0; i < from->count; i++)
		(was_empty ? text_map_add : text_map_set)(to, from->items[i].key, from->items[i].value);
}

void text_map_fini(struct text_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		free(map->items[i].key);
		free(map->items[i].value);
	}
	free(map->items);
	*map = (struct text_map){ 0 };
}
