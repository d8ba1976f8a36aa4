/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_cache.h - results of steps in a registry or a client's folder, as
 * BuildKit lays them out; inside builder/ only.
 *
 * An OCI manifest whose config (application/vnd.buildkit.cacheconfig.v0) lists
 * layers, each with the one below it, and records: a key and the layer its result
 * ends with. Keys are ours (solve.c), so records of other builders are never
 * found. What the format has no word for, steps that made no layer, stands beside
 * it under "kist.steps", which others skip. Secrets are in none of it.
 *
 * Only config and manifest are read at first; layers when a step is found.
 * What somebody else's cache says is bounded and proven (engine/layer_parts.h).
 */
#pragma once

#include "builder/place.h"
#include "json/json.h"

#define MEDIA_CACHE_CONFIG "application/vnd.buildkit.cacheconfig.v0"

struct build;
struct build_result;
struct manifest;

/* ---- the config ---- */

struct remote_annotations {
	char *media_type;
	char *diff_id;
	int64_t size;
	char *created_at;
};

struct remote_layer {
	char *blob;
	int64_t parent; /* index; -1: the lowest */
	struct remote_annotations annotations;
};

struct remote_result {
	int64_t layer;
	char *created_at;
};

struct remote_link {
	int64_t record; /* index */
};

struct remote_input {
	JSON_ARRAY_OF(struct remote_link) links;
};

struct remote_record {
	char *digest;
	JSON_ARRAY_OF(struct remote_result) results;
	JSON_ARRAY_OF(struct remote_input) inputs;
};

struct remote_step {
	char *digest;
	char *created_at;
	int64_t layer; /* -1: it has no files */
};

struct remote_config {
	JSON_ARRAY_OF(struct remote_layer) layers;
	JSON_ARRAY_OF(struct remote_record) records;
	JSON_ARRAY_OF(struct remote_step) steps;
};
extern const struct json_field remote_config_fields[];

/* ---- in ---- */

struct remote_cache;

/*
 * 1: the place's document is a cache: its records count for this build from now on, and the place is its. 0: it is
 * something else.
 */
int remote_cache_import(struct build *build, struct place *place, struct error *err);
/* Brings the layers of a result that was found. Threads: any. */
int remote_cache_fetch(struct remote_cache *cache, struct build *build, int64_t layer, struct error *err);
void remote_cache_free(struct remote_cache *cache);
