/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the results to export (mode=min: those of the image's own
 * layers; max: all) are stacks of layers. Each layer once, lower ones first, then
 * the records that name them: keys are what solve.c found them by.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "builder/build_private.h"
#include "builder/exporter.h"
#include "builder/remote_cache.h"
#include "engine/layer_parts.h"
#include "oci/hasher.h"
#include "oci/manifest.h"

/* ---- what may be said ---- */

struct build_cache *build_caches_add(struct build_caches *caches, const char *type)
{
	struct build_cache *cache;

	caches->items = xgrow(caches->items, &caches->capacity, caches->count + 1, sizeof(*caches->items));
	cache = &caches->items[caches->count++];
	*cache = (struct build_cache){ .type = xstrdup(type) };
	return cache;
}

void build_caches_fini(struct build_caches *caches)
{
	for (size_t i = 0; i < caches->count; i++) {
		free(caches->items[i].type);
		text_map_fini(&caches->items[i].attrs);
	}
	free(caches->items);
	*caches = (struct build_caches){ 0 };
}

/* An attribute that is not here, or has another value, is refused: it would do nothing. */
static const struct {
	const char *type;
	const char *key;
	const char *values; /* separated by blanks; NULL: any */
} known_attributes[] = {
	{ "inline", "mode", "min" },
	{ "registry", "ref", NULL },
	{ "registry", "mode", "min max" },
	{ "registry", "image-manifest", "true" },
	{ "registry", "oci-mediatypes", "true" },
	{ "registry", "compression", "uncompressed gzip zstd" },
	{ "registry", "compression-level", NULL },
	{ "registry", "force-compression", "false" },
	{ "registry", "ignore-error", "true false" },
	{ "registry", "registry.insecure", "false" },
	{ "local", "dest", NULL },
	{ "local", "tag", NULL },
	{ "local", "mode", "min max" },
	{ "local", "image-manifest", "true" },
	{ "local", "oci-mediatypes", "true" },
	{ "local", "compression", "uncompressed gzip zstd" },
	{ "local", "compression-level", NULL },
	{ "local", "force-compression", "false" },
	{ "local", "ignore-error", "true false" },
};

static bool is_known_attribute(const struct build_cache *to, const struct text_pair *attr)
{
	for (size_t i = 0; i < sizeof(known_attributes) / sizeof(*known_attributes); i++) {
		AUTO(text_list_fini) struct text_list values = { 0 };

		if (!text_equal(known_attributes[i].type, to->type) || !text_equal(known_attributes[i].key, attr->key))
			continue;
		if (!known_attributes[i].values)
			return true;
		text_list_split(&values, known_attributes[i].values, ' ');
		return text_list_contains(&values, attr->value);
	}
	return false;
}

int build_check_cache_export(const struct build_cache *to, struct error *err)
{
	struct layer_form form;
	const char *needed = text_equal(to->type, "registry") ? "ref" : text_equal(to->type, "local") ? "dest" : NULL;

	if (!needed && !text_equal(to->type, "inline"))
		return error_set(err, ERR_UNSUPPORTED,
				 "cache export type=%s is not supported: type=registry, local and inline are",
				 text_or_empty(to->type));
	for (size_t i = 0; i < to->attrs.count; i++)
		if (!is_known_attribute(to, &to->attrs.items[i]))
			return error_set(err, ERR_UNSUPPORTED, "cache export type=%s: %s=%s is not supported", to->type,
					 to->attrs.items[i].key, to->attrs.items[i].value);
	if (needed && text_empty(text_map_get(&to->attrs, needed)))
		return error_set(err, ERR_INVALID, "%s cache exporter requires %s", to->type, needed);
	return exporter_form(&form, &to->attrs, err);
}

int build_check_cache_import(const struct build_cache *from, struct error *err)
{
	const char *needed = text_equal(from->type, "registry") ? "ref" : "src";

	if (!text_equal(from->type, "registry") && !text_equal(from->type, "local"))
		return error_set(err, ERR_UNSUPPORTED,
				 "cache import type=%s is not supported: type=registry and local are",
				 text_or_empty(from->type));
	if (text_empty(text_map_get(&from->attrs, needed)))
		return error_set(err, ERR_INVALID, "%s cache importer requires %s", from->type, needed);
	return 0;
}

/* ---- layers ---- */

struct exported {
	struct build *build;
	struct remote_config config;
	struct manifest manifest;
	struct layer *layers; /* same index as config.layers and manifest.layers */
	size_t layer_count;
	size_t layer_capacity;
	const struct node **nodes; /* same index as config.records */
	struct layer_form form;
	size_t left_out; /* results whose layers nobody can have */
};

static void exported_fini(struct exported *exported)
{
	json_free_fields(&exported->config, remote_config_fields);
	manifest_fini(&exported->manifest);
	free(exported->layers);
	free(exported->nodes);
}

static int64_t find_layer(const struct exported *exported, const struct digest *chain_id)
{
	for (size_t i = 0; i < exported->layer_count; i++)
		if (digest_equal(&exported->layers[i].chain_id, chain_id))
			return (int64_t)i;
	return -1;
}

/* 1; 0: it is stored as files only. */
static int add_layer(struct exported *exported, const struct layer *layer, int64_t parent, int64_t created_ns,
		     struct error *err)
{
	struct build *build = exported->build;
	struct descriptor blob = { 0 };
	struct remote_layer *item;
	char time[CLOCK_TEXT_MAX];
	char text[DIGEST_TEXT_MAX];
	int r = layer_blob_descriptor(&blob, build->engine, layer, &exported->form, build->lease,
				      build->options->cancel_fd, err);

	if (r <= 0)
		return r;
	digest_text(&layer->diff_id, text);
	text_map_set(&blob.annotations, "containerd.io/uncompressed", text);
	text_map_set(&blob.annotations, "buildkit/createdat", clock_format(time, created_ns));
	item = json_array_add(&exported->config.layers, sizeof(*item));
	*item = (struct remote_layer){ .blob = xstrdup(blob.digest),
				       .parent = parent,
				       .annotations = { .media_type = xstrdup(blob.media_type),
							.diff_id = xstrdup(text),
							.size = (int64_t)blob.size,
							.created_at = xstrdup(time) } };
	*(struct descriptor *)json_array_add(&exported->manifest.layers, sizeof(blob)) = blob;
	exported->layers = xgrow(exported->layers, &exported->layer_capacity, exported->layer_count + 1,
				 sizeof(*exported->layers));
	exported->layers[exported->layer_count++] = *layer;
	return 1;
}

/* The index of a stack's highest layer, which is among them then; -1: not all of it can be had, or fails with -2. */
static int64_t add_stack(struct exported *exported, const struct build_result *result, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	int64_t at = find_layer(exported, &result->chain_id);
	int64_t created_ns = build_clamp_ns(exported->build, result->created_ns);

	if (at >= 0)
		return at;
	if (layer_stack_load(&stack, exported->build->store, &result->chain_id, err) < 0)
		return -2;
	for (size_t i = stack.count; i-- > 0;) {
		int64_t parent = at;
		int r;

		at = find_layer(exported, &stack.items[i].chain_id);
		if (at >= 0)
			continue;
		r = add_layer(exported, &stack.items[i], parent, created_ns, err);
		if (r <= 0)
			return r < 0 ? -2 : -1;
		at = (int64_t)exported->layer_count - 1;
	}
	return at;
}

/* ---- records ---- */

static void add_step(struct exported *exported, const struct digest *key, int64_t created_ns, int64_t layer)
{
	struct remote_step *step = json_array_add(&exported->config.steps, sizeof(*step));
	char time[CLOCK_TEXT_MAX];
	char text[DIGEST_TEXT_MAX];

	*step = (struct remote_step){ .digest = xstrdup(digest_text(key, text)),
				      .created_at =
					      xstrdup(clock_format(time, build_clamp_ns(exported->build, created_ns))),
				      .layer = layer };
}

static void add_record(struct exported *exported, const struct node *node, int64_t layer)
{
	size_t index = exported->config.records.count;
	struct remote_record *record = json_array_add(&exported->config.records, sizeof(*record));
	struct remote_result *result = json_array_add(&record->results, sizeof(*result));
	char time[CLOCK_TEXT_MAX];
	char text[DIGEST_TEXT_MAX];

	record->digest = xstrdup(digest_text(&node->key, text));
	result->layer = layer;
	result->created_at = xstrdup(clock_format(time, build_clamp_ns(exported->build, node->result.created_ns)));
	exported->nodes = xrealloc(exported->nodes, (index + 1) * sizeof(*exported->nodes));
	exported->nodes[index] = node;
	/* Nodes come behind what they are made from. */
	for (size_t i = 0; i < index; i++)
		if (exported->nodes[i] == node->input) {
			struct remote_input *input = json_array_add(&record->inputs, sizeof(*input));
			struct remote_link *link = json_array_add(&input->links, sizeof(*link));

			link->record = (int64_t)i;
		}
}

/* Builds for several platforms have steps in common. */
static bool is_known(const struct exported *exported, const struct digest *key)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(key, text);
	for (size_t i = 0; i < exported->config.records.count; i++)
		if (text_equal(exported->config.records.items[i].digest, text))
			return true;
	for (size_t i = 0; i < exported->config.steps.count; i++)
		if (text_equal(exported->config.steps.items[i].digest, text))
			return true;
	return false;
}

static int add_node(struct exported *exported, const struct node *node, struct error *err)
{
	int64_t layer = -1;

	if (node->state != NODE_SOLVED || (node->kind != NODE_EXEC && node->kind != NODE_COPY &&
					   node->kind != NODE_DIRECTORY && node->kind != NODE_LINK))
		return 0;
	if (is_known(exported, &node->key))
		return 0;
	if (digest_is_set(&node->result.chain_id)) {
		layer = add_stack(exported, &node->result, err);
		if (layer == -2)
			return -1;
		if (layer == -1) {
			exported->left_out++;
			return 0;
		}
	}
	if (digest_is_set(&node->result.diff_id))
		add_record(exported, node, layer);
	else
		add_step(exported, &node->key, node->result.created_ns, layer);
	return 0;
}

static int add_stage(struct exported *exported, const struct stage *stage, bool base_too, struct error *err)
{
	if (stage->base && base_too && add_stage(exported, stage->base, true, err) < 0)
		return -1;
	for (size_t i = 0; i < stage->step_count; i++) {
		const struct step *step = &stage->steps[i];

		if (step->created_by && !step->node && !is_known(exported, &step->key))
			add_step(exported, &step->key, step->created_ns, -1);
		else if (step->created_by && step->node && base_too && add_node(exported, step->node, err) < 0)
			return -1;
	}
	return 0;
}

static int collect(struct exported *exported, bool all, struct error *err)
{
	const struct build *build = exported->build;

	if (!all)
		return add_stage(exported, build->target, true, err);
	for (size_t i = 0; i < build->graph.count; i++)
		if (add_node(exported, build->graph.nodes[i], err) < 0)
			return -1;
	for (size_t i = 0; i < build->stages.count; i++)
		if (build->stages.items[i].needed && add_stage(exported, &build->stages.items[i], false, err) < 0)
			return -1;
	return 0;
}

/* ---- to a place ---- */

static int put_blob(const struct exported *exported, const struct place *place, const struct descriptor *blob,
		    struct error *err)
{
	struct build *build = exported->build;
	AUTO_FREE char *part = xasprintf("writing layer %s", blob->digest);
	int64_t started_ns = clock_wall_ns();
	AUTO_CLOSE int fd = -1;
	struct digest digest;
	int there = place->has ? place->has(place->arg, blob, err) : 0;

	if (there < 0)
		return -1;
	vertex_part(build, part, started_ns, 0, false);
	descriptor_digest(blob, &digest);
	if (!there) {
		fd = blob_open(store_blobs(build->store), &digest, err);
		if (fd < 0 || place->put(place->arg, blob, fd, err) < 0)
			return error_prefix(err, "layer %s", blob->digest);
	}
	vertex_part(build, part, started_ns, (int64_t)blob->size, true);
	return 0;
}

static int put_config(struct exported *exported, const struct place *place, struct error *err)
{
	AUTO_FREE char *text = json_encode(&exported->config, remote_config_fields);
	AUTO_FREE char *part = NULL;
	struct store *store = exported->build->store;
	int64_t started_ns = clock_wall_ns();
	AUTO_CLOSE int fd = -1;
	struct digest digest;

	exported->manifest.config = xcalloc(1, sizeof(*exported->manifest.config));
	place_describe(exported->manifest.config, MEDIA_CACHE_CONFIG, text);
	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	lease_add(exported->build->lease, &digest);
	if (blob_put(&digest, store_blobs(store), text, strlen(text), err) < 0)
		return -1;
	fd = blob_open(store_blobs(store), &digest, err);
	part = xasprintf("writing config %s", exported->manifest.config->digest);
	if (fd < 0 || place->put(place->arg, exported->manifest.config, fd, err) < 0)
		return -1;
	vertex_part(exported->build, part, started_ns, 0, true);
	return 0;
}

static int put_manifest(char **out_manifest, struct exported *exported, const struct place *place, struct error *err)
{
	AUTO(descriptor_fini) struct descriptor descriptor = { 0 };
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *part = NULL;
	int64_t started_ns = clock_wall_ns();

	exported->manifest.kind = MANIFEST_IMAGE;
	exported->manifest.schema_version = 2;
	exported->manifest.media_type = xstrdup(MEDIA_OCI_MANIFEST);
	text = manifest_encode_compact(&exported->manifest);
	place_describe(&descriptor, MEDIA_OCI_MANIFEST, text);
	part = xasprintf("writing cache image manifest %s", descriptor.digest);
	if (place->put_document(place->arg, &descriptor, text, true, err) < 0)
		return -1;
	vertex_part(exported->build, part, started_ns, 0, true);
	*out_manifest = json_encode(&descriptor, descriptor_fields);
	return 0;
}

static int open_place(struct place *place, const struct build *build, const struct build_cache *to, struct error *err)
{
	const struct build_client *client = build->options->client;

	if (text_equal(to->type, "registry"))
		return place_open_registry(place, build, text_map_get(&to->attrs, "ref"), err);
	if (!client || !client->open_folder)
		return error_set(err, ERR_UNSUPPORTED, "this way of building cannot reach a client's folder");
	return client->open_folder(client->arg, place, text_map_get(&to->attrs, "dest"), NULL,
				   build->options->cancel_fd, err);
}

static int export_cache(char **out_manifest, const struct build_images *images, const struct build_cache *to,
			const struct place *place, struct error *err)
{
	AUTO(exported_fini) struct exported exported = { 0 };
	bool all = text_equal(text_map_get(&to->attrs, "mode"), "max");
	struct build *build = images->builds[0];
	int64_t started_ns = clock_wall_ns();

	vertex_part(build, "preparing build cache for export", started_ns, 0, false);
	if (exporter_form(&exported.form, &to->attrs, err) < 0)
		return -1;
	for (size_t i = images->count; i-- > 0;) {
		exported.build = images->builds[i];
		if (collect(&exported, all, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < exported.manifest.layers.count; i++)
		if (put_blob(&exported, place, &exported.manifest.layers.items[i], err) < 0)
			return -1;
	if (put_config(&exported, place, err) < 0 || put_manifest(out_manifest, &exported, place, err) < 0)
		return -1;
	if (exported.left_out)
		build_print(build, "[Warning] %zu cached results are on layers without archives and stay here\n",
			    exported.left_out);
	vertex_part(build, "preparing build cache for export", started_ns, 0, true);
	return 0;
}

int build_export_cache(char **out_manifest, const struct build_images *images, const struct build_cache *to,
		       struct place *place, struct error *err)
{
	struct build *build = images->builds[0];
	AUTO(error_clear) struct error problem = { 0 };
	AUTO(place_close) struct place own = { 0 };
	struct build_vertex vertex;
	int r;

	vertex_begin(build, &vertex,
		     text_equal(to->type, "registry") ? "exporting cache to registry"
						      : "exporting cache to client directory");
	r = place ? 0 : open_place(&own, build, to, &problem);
	if (r == 0)
		r = export_cache(out_manifest, images, to, place ? place : &own, &problem);
	if (r < 0)
		error_prefix(&problem, "cache export type=%s", to->type);
	vertex_end(build, &vertex, r < 0 ? &problem : NULL);
	if (r == 0)
		return 0;
	if (problem.kind == ERR_CANCELED || place || !text_equal(text_map_get(&to->attrs, "ignore-error"), "true"))
		return error_move(err, &problem);
	build_print(build, "[Warning] %s\n", problem.message);
	return 0;
}
