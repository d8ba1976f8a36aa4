/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - the build cache as people see and prune it: GET /system/df,
 * POST /build/prune.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "engine/filter.h"
#include "json/json.h"

struct engine;

/* One item of BuildCache. */
struct cache_record {
	char *id;
	char *type; /* "regular", "internal" */
	char *description;
	bool in_use;
	bool shared; /* an image has its layers too */
	int64_t size;
	char *created_at;
	char *last_used_at;
	int64_t usage_count;
};
extern const struct json_field cache_record_fields[];

struct cache_records {
	struct cache_record *items;
	size_t count;
};

/* Newest use first; free with json_free_array(). */
int cache_list(struct cache_records *out_records, struct engine *engine, struct error *err);

extern const char *const cache_prune_filter_keys[];

struct cache_prune_options {
	bool all; /* also what images share */
	const struct filter_set *filters;
	bool keep_mounts;   /* RUN --mount=type=cache folders and kept contexts stay, even with `all` */
	int64_t keep_bytes; /* the newest that fit in this much stay; 0: nothing */
};

struct cache_prune_report {
	struct text_list deleted; /* ids */
	int64_t space_reclaimed;
};
extern const struct json_field cache_prune_report_fields[];
int cache_prune(struct cache_prune_report *out_report, struct engine *engine, const struct cache_prune_options *options,
		struct error *err);
