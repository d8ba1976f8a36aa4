/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h - hash map from strings to pointers.
 *
 * Keys are copied. Values belong to the map if a destructor was given: it is
 * called when a value is replaced, removed or the map ends. Not locked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct map_entry {
	char *key; /* NULL: never used; MAP_REMOVED: was used */
	void *value;
	size_t hash;
};

struct map {
	struct map_entry *entries;
	size_t capacity; /* power of two */
	size_t count;
	size_t used; /* count plus removed ones */
	void (*free_value)(void *value);
};

/* free_value may be NULL: the map then borrows its values. */
void map_init(struct map *map, void (*free_value)(void *value));
void map_fini(struct map *map);
/* Borrowed, or NULL. */
void *map_get(const struct map *map, const char *key);
void map_set(struct map *map, const char *key, void *value);
/* Takes a value out without destroying it, or NULL. */
void *map_take(struct map *map, const char *key);
void map_remove(struct map *map, const char *key);
/* Walks all entries: size_t at = 0; while ((value = map_next(map, &at, &key))) ... No change meanwhile. */
void *map_next(const struct map *map, size_t *at, const char **out_key);
