/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/remote_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "builder/build_private.h"
#include "engine/layer_parts.h"
#include "oci/hasher.h"
#include "oci/manifest.h"

#define CONFIG_SIZE_MAX (32 * 1024 * 1024)
#define RECORDS_MAX 100000
#define DEPTH_MAX 512 /* layers above each other */

/* ---- the config ---- */

static const struct json_field annotations_fields[] = {
	JSON_TEXT("mediaType", struct remote_annotations, media_type, JSON_OMIT_EMPTY),
	JSON_TEXT("diffID", struct remote_annotations, diff_id, JSON_OMIT_EMPTY),
	JSON_I64("size", struct remote_annotations, size, JSON_OMIT_EMPTY),
	JSON_TEXT("createdAt", struct remote_annotations, created_at, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field layer_fields[] = {
	JSON_TEXT("blob", struct remote_layer, blob, 0),
	JSON_I64("parent", struct remote_layer, parent, 0),
	JSON_OBJECT("annotations", struct remote_layer, annotations, annotations_fields, 0),
	JSON_END,
};

static const struct json_field result_fields[] = {
	JSON_I64("layer", struct remote_result, layer, 0),
	JSON_TEXT("createdat", struct remote_result, created_at, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field link_fields[] = {
	JSON_I64("link", struct remote_link, record, 0),
	JSON_END,
};

static const struct json_field input_fields[] = {
	JSON_ARRAY("", struct remote_input, links, link_fields, 0),
	JSON_END,
};

static const struct json_field record_fields[] = {
	JSON_ARRAY("layers", struct remote_record, results, result_fields, JSON_OMIT_EMPTY),
	JSON_TEXT("digest", struct remote_record, digest, 0),
	JSON_ARRAY("inputs", struct remote_record, inputs, input_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field step_fields[] = {
	JSON_TEXT("digest", struct remote_step, digest, 0),
	JSON_TEXT("createdat", struct remote_step, created_at, 0),
	JSON_I64("layer", struct remote_step, layer, 0),
	JSON_END,
};

const struct json_field remote_config_fields[] = {
	JSON_ARRAY("layers", struct remote_config, layers, layer_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("records", struct remote_config, records, record_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("kist.steps", struct remote_config, steps, step_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

/* ---- what was read ---- */

struct part {
	struct descriptor blob;
	struct digest diff_id;
	struct digest chain_id; /* once it is known */
	int64_t parent;
};

struct remote_cache {
	struct place place;
	struct part *parts;
	size_t count;
	struct mutex mutex; /* one fetch at a time: two stacks may have layers in common */
};

void remote_cache_free(struct remote_cache *cache)
{
	if (!cache)
		return;
	place_close(&cache->place);
	for (size_t i = 0; i < cache->count; i++)
		descriptor_fini(&cache->parts[i].blob);
	free(cache->parts);
	mutex_fini(&cache->mutex);
	free(cache);
}

DEFINE_AUTO(struct remote_cache, remote_cache_free)

static int read_fd(char **out_text, int fd, const struct descriptor *blob, struct error *err)
{
	size_t size = (size_t)blob->size;
	AUTO_FREE char *text = xcalloc(1, size + 1);
	struct digest wanted;
	struct digest got;
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != blob->size || pread(fd, text, size, 0) != (ssize_t)size)
		return error_set(err, ERR_INVALID, "its config is not of the size that is said");
	descriptor_digest(blob, &wanted);
	digest_of(&got, wanted.algorithm, text, size);
	if (!digest_equal(&wanted, &got))
		return error_set(err, ERR_INVALID, "its config is not %s", blob->digest);
	*out_text = take_ptr(text);
	return 0;
}

static int read_config(struct remote_config *config, struct place *place, const struct descriptor *blob,
		       struct error *err)
{
	AUTO_CLOSE int fd = file_memory("cache config", "", 0);
	AUTO_FREE char *text = NULL;

	if (blob->size > CONFIG_SIZE_MAX)
		return error_set(err, ERR_INVALID, "its config has more than %d bytes", CONFIG_SIZE_MAX);
	if (fd < 0)
		return error_set_errno(err, ERR_EXHAUSTED, fd, "no memory for a cache's config");
	if (place->get(place->arg, blob, fd, err) < 0 || read_fd(&text, fd, blob, err) < 0)
		return -1;
	if (json_decode(config, remote_config_fields, text, (size_t)blob->size, err) < 0)
		return error_prefix(err, "its config");
	if (config->records.count > RECORDS_MAX || config->steps.count > RECORDS_MAX ||
	    config->layers.count > RECORDS_MAX) {
		json_free_fields(config, remote_config_fields);
		return error_set(err, ERR_INVALID, "its config has more than %d records", RECORDS_MAX);
	}
	return 0;
}

static const struct descriptor *find_blob(const struct manifest *manifest, size_t index, const char *digest)
{
	if (index < manifest->layers.count && text_equal(manifest->layers.items[index].digest, digest))
		return &manifest->layers.items[index];
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (text_equal(manifest->layers.items[i].digest, digest))
			return &manifest->layers.items[i];
	return NULL;
}

/* A layer that makes no sense has no parent within reach, so nothing above it is found. */
static void take_layers(struct remote_cache *cache, const struct remote_config *config, const struct manifest *manifest)
{
	cache->count = config->layers.count;
	cache->parts = xcalloc(cache->count + 1, sizeof(*cache->parts));
	for (size_t i = 0; i < cache->count; i++) {
		const struct remote_layer *layer = &config->layers.items[i];
		const struct descriptor *blob = find_blob(manifest, i, text_or_empty(layer->blob));
		AUTO(error_clear) struct error ignored = { 0 };
		struct part *part = &cache->parts[i];

		part->parent = -2;
		if (!blob || media_type_layer_packing(blob->media_type) == LAYER_UNKNOWN ||
		    digest_parse(&part->diff_id, text_or_empty(layer->annotations.diff_id), &ignored) < 0)
			continue;
		descriptor_copy(&part->blob, blob);
		part->parent = layer->parent;
	}
}

/* Indexes from the layer down: how many, or 0 if the chain is broken, round or too long. */
static size_t walk_down(const struct remote_cache *cache, int64_t layer, int64_t out_indexes[DEPTH_MAX])
{
	size_t count = 0;

	for (; layer != -1; layer = cache->parts[layer].parent) {
		if (layer < 0 || layer >= (int64_t)cache->count || count == DEPTH_MAX)
			return 0;
		out_indexes[count++] = layer;
	}
	return count;
}

static bool find_chain(struct digest *out_chain, struct remote_cache *cache, int64_t layer)
{
	int64_t indexes[DEPTH_MAX];
	size_t count = walk_down(cache, layer, indexes);
	struct digest chain = { 0 };
	size_t known = count;

	if (count == 0)
		return false;
	/* The lowest part of most chains was looked at before. */
	for (size_t i = 0; i < count; i++)
		if (digest_is_set(&cache->parts[indexes[i]].chain_id)) {
			chain = cache->parts[indexes[i]].chain_id;
			known = i;
			break;
		}
	for (size_t i = known; i-- > 0;) {
		chain_id_add(&chain, &cache->parts[indexes[i]].diff_id);
		cache->parts[indexes[i]].chain_id = chain;
	}
	*out_chain = chain;
	return true;
}

/* ---- records ---- */

/* is_new: the step made that layer. A record that makes no sense is none. */
static void take_record(struct build *build, struct remote_cache *cache, const char *digest, const char *created_at,
			int64_t layer, bool is_new)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct imported_step step = { .cache = cache, .layer = layer };

	if (digest_parse(&step.key, text_or_empty(digest), &ignored) < 0 ||
	    clock_parse(&step.result.created_ns, text_or_empty(created_at)) < 0 ||
	    (layer != -1 && !find_chain(&step.result.chain_id, cache, layer)))
		return;
	if (is_new)
		step.result.diff_id = cache->parts[layer].diff_id;
	imported_steps_add(&build->imported, &step);
}

static void take_records(struct build *build, struct remote_cache *cache, const struct remote_config *config)
{
	for (size_t i = 0; i < config->records.count; i++) {
		const struct remote_record *record = &config->records.items[i];

		if (record->results.count > 0 && record->results.items[0].layer >= 0)
			take_record(build, cache, record->digest, record->results.items[0].created_at,
				    record->results.items[0].layer, true);
	}
	for (size_t i = 0; i < config->steps.count; i++)
		take_record(build, cache, config->steps.items[i].digest, config->steps.items[i].created_at,
			    config->steps.items[i].layer, false);
}

int remote_cache_import(struct build *build, struct place *place, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(remote_cache_freep) struct remote_cache *cache = NULL;
	struct remote_config config = { 0 };
	AUTO_FREE char *text = NULL;

	if (place->get_root(place->arg, &text, err) < 0)
		return -1;
	if (strlen(text) > MANIFEST_SIZE_MAX)
		return error_set(err, ERR_INVALID, "its manifest is too big");
	if (manifest_decode(&manifest, text, strlen(text), NULL, err) < 0)
		return -1;
	if (manifest.kind != MANIFEST_IMAGE || !text_equal(manifest.config->media_type, MEDIA_CACHE_CONFIG))
		return 0;
	if (read_config(&config, place, manifest.config, err) < 0)
		return -1;
	cache = xcalloc(1, sizeof(*cache));
	mutex_init(&cache->mutex);
	take_layers(cache, &config, &manifest);
	take_records(build, cache, &config);
	json_free_fields(&config, remote_config_fields);
	cache->place = *place;
	*place = (struct place){ 0 };
	imported_steps_keep(&build->imported, take_ptr(cache));
	return 1;
}

/* ---- layers of what was found ---- */

static int get(void *arg, const struct descriptor *blob, int fd, struct error *err)
{
	struct remote_cache *cache = arg;

	return cache->place.get(cache->place.arg, blob, fd, err);
}

int remote_cache_fetch(struct remote_cache *cache, struct build *build, int64_t layer, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&cache->mutex);
	int64_t indexes[DEPTH_MAX];
	size_t count = walk_down(cache, layer, indexes);
	AUTO_FREE struct layer_part *parts = xcalloc(count + 1, sizeof(*parts));
	const struct layers_fetch fetch = { .parts = parts,
					    .count = count,
					    .get = get,
					    .arg = cache,
					    .lease = build->lease,
					    .cancel_fd = build_cancel_fd(build) };

	for (size_t i = 0; i < count; i++) {
		const struct part *part = &cache->parts[indexes[count - 1 - i]];

		parts[i] = (struct layer_part){ .blob = &part->blob, .diff_id = part->diff_id };
	}
	return layers_fetch(build->engine, &fetch, err);
}
