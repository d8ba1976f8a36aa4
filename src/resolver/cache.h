/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - others' answers while they live. A fixed number of places: a new
 * answer takes the place its question hashes to, so memory is bounded and
 * nobody's flood can do more than make others ask again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

/* `secret`: random, so that nobody can choose whose place a question takes. */
struct cache *cache_new(size_t places, uint64_t secret);
void cache_free(struct cache *cache);
/* key: everything the answer depends on. Keeps a copy for `seconds`. */
void cache_put(struct cache *cache, const void *key, size_t key_size, const uint8_t *response, size_t size,
	       int64_t now_ns, uint32_t seconds);
/* The answer (borrowed until the next put) and how long it has been here; NULL if there is none alive. */
const uint8_t *cache_get(const struct cache *cache, const void *key, size_t key_size, int64_t now_ns, size_t *out_size,
			 uint32_t *out_age_s);
