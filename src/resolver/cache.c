/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

#define ANSWER_MAX 4096
#define LIFE_MAX_S 3600

struct place {
	uint8_t *bytes; /* key, then the answer; owned */
	size_t key_size;
	size_t size;
	int64_t put_ns;
	int64_t end_ns;
};

struct cache {
	struct place *places;
	size_t count;
	uint64_t secret;
};

struct cache *cache_new(size_t places, uint64_t secret)
{
	struct cache *cache = xcalloc(1, sizeof(*cache));

	cache->places = xcalloc(places, sizeof(*cache->places));
	cache->count = places;
	cache->secret = secret;
	return cache;
}

void cache_free(struct cache *cache)
{
	for (size_t i = 0; cache && i < cache->count; i++)
		free(cache->places[i].bytes);
	if (cache)
		free(cache->places);
	free(cache);
}

static struct place *place_of(const struct cache *cache, const void *key, size_t key_size)
{
	const uint8_t *bytes = key;
	uint64_t hash = cache->secret;

	for (size_t i = 0; i < key_size; i++) {
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
	}
	return &cache->places[hash % cache->count];
}

void cache_put(struct cache *cache, const void *key, size_t key_size, const uint8_t *response, size_t size,
	       int64_t now_ns, uint32_t seconds)
{
	struct place *place = place_of(cache, key, key_size);

	if (size > ANSWER_MAX || seconds == 0)
		return;
	free(place->bytes);
	place->bytes = xmalloc(key_size + size);
	memcpy(place->bytes, key, key_size);
	memcpy(place->bytes + key_size, response, size);
	place->key_size = key_size;
	place->size = size;
	place->put_ns = now_ns;
	place->end_ns = now_ns + (seconds < LIFE_MAX_S ? seconds : LIFE_MAX_S) * CLOCK_SECOND;
}

const uint8_t *cache_get(const struct cache *cache, const void *key, size_t key_size, int64_t now_ns, size_t *out_size,
			 uint32_t *out_age_s)
{
	const struct place *place = place_of(cache, key, key_size);

	if (!place->bytes || place->end_ns <= now_ns || place->key_size != key_size ||
	    memcmp(place->bytes, key, key_size) != 0)
		return NULL;
	*out_size = place->size;
	*out_age_s = (uint32_t)((now_ns - place->put_ns) / CLOCK_SECOND);
	return place->bytes + key_size;
}
