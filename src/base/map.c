/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static char removed_mark[] = "";
#define MAP_REMOVED removed_mark

/* FNV-1a; keys are ids and names of our own, not chosen by an attacker in bulk. */
static size_t hash_key(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3ULL;
	return (size_t)(hash ^ (hash >> 32));
}

static bool is_live(const struct map_entry *entry)
{
	return entry->key && entry->key != MAP_REMOVED;
}

void map_init(struct map *map, void (*free_value)(void *value))
{
	*map = (struct map){ .free_value = free_value };
}

void map_fini(struct map *map)
{
	for (size_t i = 0; i < map->capacity; i++) {
		if (!is_live(&map->entries[i]))
			continue;
		free(map->entries[i].key);
		if (map->free_value)
			map->free_value(map->entries[i].value);
	}
	free(map->entries);
	map_init(map, map->free_value);
}

/* The entry that holds key, or the free one where it belongs. Never NULL: the table is never full. */
static struct map_entry *find_entry(const struct map *map, const char *key, size_t hash)
{
	struct map_entry *entry;
	struct map_entry *free_entry = NULL;

	for (size_t i = hash & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
		entry = &map->entries[i];
		if (!entry->key)
			return free_entry ? free_entry : entry;
		if (entry->key == MAP_REMOVED) {
			if (!free_entry)
				free_entry = entry;
		} else if (entry->hash == hash && strcmp(entry->key, key) == 0) {
			return entry;
		}
	}
}

static struct map_entry *find_live(const struct map *map, const char *key)
{
	struct map_entry *entry;

	if (!map->capacity)
		return NULL;
	entry = find_entry(map, key, hash_key(key));
	return is_live(entry) ? entry : NULL;
}

void *map_get(const struct map *map, const char *key)
{
	const struct map_entry *entry = find_live(map, key);

	return entry ? entry->value : NULL;
}

static void grow(struct map *map)
{
	struct map old = *map;

	map->capacity = 16;
	while (map->capacity < old.count * 4)
		map->capacity *= 2;
	map->entries = xcalloc(map->capacity, sizeof(*map->entries));
	map->used = old.count;
	for (size_t i = 0; i < old.capacity; i++)
		if (is_live(&old.entries[i]))
			*find_entry(map, old.entries[i].key, old.entries[i].hash) = old.entries[i];
	free(old.entries);
}

void map_set(struct map *map, const char *key, void *value)
{
	struct map_entry *entry;
	size_t hash = hash_key(key);

	if ((map->used + 1) * 4 > map->capacity * 3)
		grow(map);
	entry = find_entry(map, key, hash);
	if (is_live(entry)) {
		if (map->free_value && entry->value != value)
			map->free_value(entry->value);
		entry->value = value;
		return;
	}
	if (!entry->key)
		map->used++;
	map->count++;
	*entry = (struct map_entry){ .key = xstrdup(key), .value = value, .hash = hash };
}

void *map_take(struct map *map, const char *key)
{
	struct map_entry *entry = find_live(map, key);
	void *value;

	if (!entry)
		return NULL;
	value = entry->value;
	free(entry->key);
	*entry = (struct map_entry){ .key = MAP_REMOVED };
	map->count--;
	return value;
}

void map_remove(struct map *map, const char *key)
{
	void *value = map_take(map, key);

	if (value && map->free_value)
		map->free_value(value);
}

void *map_next(const struct map *map, size_t *at, const char **out_key)
{
	while (*at < map->capacity) {
		const struct map_entry *entry = &map->entries[(*at)++];

		if (is_live(entry)) {
			if (out_key)
				*out_key = entry->key;
			return entry->value;
		}
	}
	return NULL;
}
