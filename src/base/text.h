/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - strings: compare, parse, build, lists and string-to-string maps.
 *
 * struct text, text_list and text_map start as {0} and end with their _fini.
 * A list's `items` always ends with NULL once something was added, so it can
 * serve as argv; text_list_argv() gives that form even for an empty list.
 * A map keeps the order of insertion and holds each key once.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both NULL is equal; NULL and "" are not. */
bool text_equal(const char *a, const char *b);
bool text_equal_ignoring_case(const char *a, const char *b);
bool text_has_prefix(const char *text, const char *prefix);
bool text_has_suffix(const char *text, const char *suffix);
/* The rest of text behind prefix (borrowed), or NULL. */
const char *text_after(const char *text, const char *prefix);
/* true for NULL and "". */
bool text_empty(const char *text);
/* text, or "" for NULL (borrowed). */
const char *text_or_empty(const char *text);

/* Decimal only, the whole text, no sign for u64, no blanks. 0, -EINVAL or -ERANGE (> max or outside [min,max]). */
int text_parse_u64(uint64_t *out_value, const char *text, uint64_t max);
int text_parse_i64(int64_t *out_value, const char *text, int64_t min, int64_t max);
/* Octal file modes: "0755", "644". */
int text_parse_octal(uint32_t *out_value, const char *text, uint32_t max);
/* "512m", "1.5GiB", "100": bytes, 1024-based, as docker reads sizes. "-1" gives -1. */
int text_parse_size(int64_t *out_bytes, const char *text);

/* Removes white space at both ends in place; returns the new start (borrowed). */
char *text_trim(char *text);

/* ---- builder ---- */

struct text {
	char *data; /* NUL-terminated once something was added */
	size_t size;
	size_t capacity;
};

void text_add(struct text *text, const char *more);
void text_add_bytes(struct text *text, const void *data, size_t size);
void text_add_char(struct text *text, char c);
/* The text is longer by size bytes, which the caller writes. */
char *text_extend(struct text *text, size_t size);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* RFC 3986: all but letters, digits and -._~ as %XX. Of a query's value; blank_is_plus: as of a form. */
void text_add_escaped(struct text *text, const char *more, bool blank_is_plus);
void text_reset(struct text *text);
/* The text, never NULL, yours; the builder is empty again. */
char *text_take(struct text *text);
void text_fini(struct text *text);

/* ---- list ---- */

struct text_list {
	char **items;
	size_t count;
	size_t capacity;
};

void text_list_add(struct text_list *list, const char *text);
void text_list_addf(struct text_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_list_add_take(struct text_list *list, char *text);
void text_list_add_all(struct text_list *list, const struct text_list *more);
bool text_list_contains(const struct text_list *list, const char *text);
void text_list_remove(struct text_list *list, size_t index);
/* NULL-terminated, borrowed, never NULL. */
char *const *text_list_argv(const struct text_list *list);
/* Splits at each separator; "a::b" has an empty item, "" has none. */
void text_list_split(struct text_list *list, const char *text, char separator);
char *text_list_join(const struct text_list *list, const char *separator);
void text_list_sort(struct text_list *list);
void text_list_fini(struct text_list *list);

/* KEY=VALUE lists (environments): the value of key (borrowed) or NULL; set replaces. */
const char *text_list_env(const struct text_list *list, const char *key);
void text_list_set_env(struct text_list *list, const char *key, const char *value);

/* ---- map ---- */

struct text_pair {
	char *key;
	char *value;
};

struct text_map {
	struct text_pair *items;
	size_t count;
	size_t capacity;
};

const char *text_map_get(const struct text_map *map, const char *key);
void text_map_set(struct text_map *map, const char *key, const char *value);
/* The same for a key that is known not to be there: without a look at all others. */
void text_map_add(struct text_map *map, const char *key, const char *value);
void text_map_remove(struct text_map *map, const char *key);
void text_map_copy(struct text_map *to, const struct text_map *from);
void text_map_fini(struct text_map *map);
