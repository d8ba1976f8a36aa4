/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/inline_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "builder/build_private.h"
#include "builder/remote_cache.h"
#include "engine/engine.h"
#include "oci/hasher.h"
#include "json/value.h"

#define RECORDS_MAX 10000

/* ---- out ---- */

static void add_record(struct text *json, const struct digest *key, int64_t created_ns, long layer, bool is_new)
{
	char time[CLOCK_TEXT_MAX];
	char text[DIGEST_TEXT_MAX];

	if (text_has_suffix(json->data, "}"))
		text_add_char(json, ',');
	text_addf(json, "{\"digest\":\"%s\",\"createdat\":\"%s\",\"layer\":%ld,\"new\":%s}", digest_text(key, text),
		  clock_format(time, created_ns), layer, is_new ? "true" : "false");
}

/* The layer of the image that a step's root ends with; -1: not one of them. */
static long find_layer(const struct digest *chains, size_t count, const struct digest *chain_id)
{
	for (size_t i = 0; i < count; i++)
		if (digest_equal(&chains[i], chain_id))
			return (long)i;
	return -1;
}

static void add_stage(struct text *json, const struct build *build, const struct stage *stage,
		      const struct digest *chains, size_t count)
{
	if (stage->base)
		add_stage(json, build, stage->base, chains, count);
	for (size_t i = 0; i < stage->step_count; i++) {
		const struct step *step = &stage->steps[i];
		const struct node *node = step->node;
		long layer = node ? find_layer(chains, count, &node->result.chain_id) : -1;

		if (!step->created_by)
			continue;
		if (layer >= 0)
			add_record(json, &node->key, build_clamp_ns(build, node->result.created_ns), layer,
				   digest_is_set(&node->result.diff_id));
		else if (!node)
			add_record(json, &step->key, build_clamp_ns(build, step->created_ns), -1, false);
	}
}

/* Chain ids of all layers, lowest first; yours. */
static struct digest *chains_of(const struct text_list *diff_ids)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct digest *chains = xcalloc(diff_ids->count + 1, sizeof(*chains));
	struct digest chain = { 0 };

	for (size_t i = 0; i < diff_ids->count; i++) {
		struct digest diff_id;

		if (digest_parse(&diff_id, diff_ids->items[i], &ignored) < 0)
			break;
		chain_id_add(&chain, &diff_id);
		chains[i] = chain;
	}
	return chains;
}

char *inline_cache_encode(const struct build *build)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(text_fini) struct text json = { 0 };
	AUTO_FREE struct digest *chains = NULL;

	if (layer_stack_load(&stack, build->store, &build->target->rootfs->result.chain_id, &ignored) < 0)
		return NULL;
	chains = xcalloc(stack.count + 1, sizeof(*chains));
	for (size_t i = 0; i < stack.count; i++)
		chains[stack.count - 1 - i] = stack.items[i].chain_id;
	text_add(&json, "{\"records\":[");
	add_stage(&json, build, build->target, chains, stack.count);
	text_add(&json, "]}");
	return base64_encode(json.data, json.size);
}

/* ---- in ---- */

void imported_steps_add(struct imported_steps *steps, const struct imported_step *step)
{
	steps->items = xgrow(steps->items, &steps->capacity, steps->count + 1, sizeof(*steps->items));
	steps->items[steps->count++] = *step;
}

void imported_steps_keep(struct imported_steps *steps, struct remote_cache *cache)
{
	steps->caches = xrealloc(steps->caches, (steps->cache_count + 1) * sizeof(*steps->caches));
	steps->caches[steps->cache_count++] = cache;
}

void imported_steps_fini(struct imported_steps *steps)
{
	for (size_t i = 0; i < steps->count; i++)
		build_result_fini(&steps->items[i].result);
	free(steps->items);
	for (size_t i = 0; i < steps->cache_count; i++)
		remote_cache_free(steps->caches[i]);
	free(steps->caches);
}

/* A record that makes no sense is none. */
static void take_record(struct imported_steps *steps, const struct json_value *record, const struct image_ready *image,
			const struct digest *chains)
{
	const struct text_list *diff_ids = &image->config.rootfs.diff_ids;
	const char *created = text_or_empty(json_value_text(json_value_get(record, "createdat")));
	const struct json_value *layer = json_value_get(record, "layer");
	int64_t number = json_value_integer(layer);
	AUTO(error_clear) struct error ignored = { 0 };
	struct imported_step step = { 0 };

	if (digest_parse(&step.key, text_or_empty(json_value_text(json_value_get(record, "digest"))), &ignored) < 0 ||
	    clock_parse(&step.result.created_ns, created) < 0 || !layer || number < -1 ||
	    number >= (int64_t)diff_ids->count)
		return;
	if (number >= 0)
		step.result.chain_id = chains[number];
	if (number >= 0 && json_value_bool(json_value_get(record, "new")) &&
	    digest_parse(&step.result.diff_id, diff_ids->items[number], &ignored) < 0)
		return;
	imported_steps_add(steps, &step);
}

static int take_records(struct build *build, const struct image_ready *image, const char *encoded, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO_FREE struct digest *chains = chains_of(&image->config.rootfs.diff_ids);
	const struct json_value *records;
	AUTO_FREE char *json = NULL;
	size_t size;

	if (base64_decode(&json, &size, encoded) < 0)
		return error_set(err, ERR_INVALID, "its cache is no base64");
	if (json_value_parse(&value, json, size, err) < 0)
		return error_prefix(err, "its cache");
	records = json_value_get(value, "records");
	if (json_value_count(records) > RECORDS_MAX)
		return error_set(err, ERR_INVALID, "its cache has more than %d records", RECORDS_MAX);
	for (size_t i = 0; i < json_value_count(records); i++)
		take_record(&build->imported, json_value_at(records, i), image, chains);
	return 0;
}

static int read_image(struct build *build, const struct image_ready *image, struct error *err)
{
	AUTO(json_value_freep) struct json_value *config = NULL;
	AUTO_FREE char *text = NULL;
	const char *encoded;
	struct digest id;
	size_t size;

	if (digest_parse(&id, image->id, err) < 0)
		return -1;
	lease_add(build->lease, &id);
	if (digest_is_set(&image->chain_id))
		lease_add(build->lease, &image->chain_id);
	if (blob_read(&text, &size, store_blobs(build->store), &id, IMAGE_CONFIG_SIZE_MAX, err) < 0 ||
	    json_value_parse(&config, text, size, err) < 0)
		return -1;
	encoded = json_value_text(json_value_get(config, "moby.buildkit.cache.v0"));
	if (text_empty(encoded))
		return error_set(err, ERR_NOT_FOUND, "the image has no inline cache");
	return take_records(build, image, encoded, err);
}

/* As the registry has it now, or as it is here if there is no asking. */
static int import_image(struct build *build, const char *name, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	AUTO(image_ready_fini) struct image_ready image = { 0 };

	if (compile_pull(build, name, NULL, &problem) < 0 && problem.kind == ERR_CANCELED)
		return error_move(err, &problem);
	if (image_resolve(&image, build->engine, name, err) < 0) {
		if (error_is_set(&problem)) {
			error_clear(err);
			error_move(err, &problem);
		}
		return -1;
	}
	return read_image(build, &image, err);
}

/* A cache, or else an image that has one inside. */
static int import_registry(struct build *build, const struct build_cache *from, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	AUTO(place_close) struct place place = { 0 };
	const char *ref = text_or_empty(text_map_get(&from->attrs, "ref"));
	int r = place_open_registry(&place, build, ref, &problem);

	if (r == 0)
		r = remote_cache_import(build, &place, &problem);
	if (r > 0)
		return 0;
	if (r < 0 && problem.kind == ERR_CANCELED)
		return error_move(err, &problem);
	/* What no registry can be asked for may be here. */
	return import_image(build, ref, err);
}

static int import_local(struct build *build, const struct build_cache *from, struct error *err)
{
	const struct build_client *client = build->options->client;
	AUTO(place_close) struct place place = { 0 };
	int r;

	if (!client || !client->open_folder)
		return error_set(err, ERR_UNSUPPORTED, "this way of building cannot reach a client's folder");
	if (client->open_folder(client->arg, &place, text_or_empty(text_map_get(&from->attrs, "src")),
				text_map_get(&from->attrs, "digest"), build->options->cancel_fd, err) < 0)
		return -1;
	r = remote_cache_import(build, &place, err);
	return r == 0 ? error_set(err, ERR_INVALID, "it is no cache") : r < 0 ? -1 : 0;
}

static int import_one(struct build *build, const struct build_cache *from, struct error *err)
{
	return text_equal(from->type, "local") ? import_local(build, from, err) : import_registry(build, from, err);
}

/* The name of one as it is shown. */
static const char *place_of(const struct build_cache *from)
{
	return text_or_empty(text_map_get(&from->attrs, text_equal(from->type, "local") ? "src" : "ref"));
}

int inline_cache_import(struct build *build, struct error *err)
{
	const struct build_caches *caches = build->options->cache_from;

	for (size_t i = 0; caches && !build->options->no_cache && i < caches->count; i++) {
		AUTO_FREE char *shown = xasprintf("importing cache manifest from %s", place_of(&caches->items[i]));
		AUTO(error_clear) struct error problem = { 0 };
		struct build_vertex vertex;
		int r;

		vertex_begin(build, &vertex, shown);
		r = import_one(build, &caches->items[i], &problem);
		vertex_end(build, &vertex, r < 0 ? &problem : NULL);
		if (r < 0 && problem.kind == ERR_CANCELED)
			return error_move(err, &problem);
		if (r < 0)
			build_print(build, "[Warning] %s: %s\n", shown, problem.message);
	}
	return 0;
}

/* 1: its layers are here now; 0: they cannot be had, which is told. */
static int bring_layers(struct build *build, struct node *node, const struct imported_step *step, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	struct layer layer;
	int r;

	if (!digest_is_set(&step->result.chain_id))
		return 1;
	lease_add(build->lease, &step->result.chain_id);
	r = layer_find(&layer, build->store, &step->result.chain_id, err);
	if (r != 0 || !step->cache)
		return r;
	if (remote_cache_fetch(step->cache, build, step->layer, &problem) == 0)
		return 1;
	if (problem.kind == ERR_CANCELED)
		return error_move(err, &problem);
	if (node)
		node_print(build, node, "[Warning] a cached result cannot be had: %s\n", problem.message);
	return 0;
}

int inline_cache_find(struct build_result *out_result, struct build *build, struct node *node, const struct digest *key,
		      struct error *err)
{
	for (size_t i = 0; i < build->imported.count; i++) {
		const struct imported_step *step = &build->imported.items[i];
		struct layer layer = { 0 };
		int r;

		if (!digest_equal(&step->key, key))
			continue;
		r = bring_layers(build, node, step, err);
		if (r < 0)
			return -1;
		if (r == 0)
			continue;
		if (digest_is_set(&step->result.diff_id) &&
		    layer_find(&layer, build->store, &step->result.chain_id, err) < 0)
			return -1;
		*out_result = step->result;
		out_result->size_bytes = layer.size;
		return 1;
	}
	return 0;
}
