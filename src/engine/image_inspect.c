/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/container_config.h"
#include "engine/engine.h"
#include "engine/image_lookup.h"
#include "store/layer.h"

static const struct json_field driver_data_fields[] = {
	JSON_TEXT("LowerDir", struct image_driver_data, lower_dir, JSON_OMIT_EMPTY),
	JSON_TEXT("MergedDir", struct image_driver_data, merged_dir, JSON_OMIT_EMPTY),
	JSON_TEXT("UpperDir", struct image_driver_data, upper_dir, JSON_OMIT_EMPTY),
	JSON_TEXT("WorkDir", struct image_driver_data, work_dir, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field driver_fields[] = {
	JSON_OBJECT("Data", struct image_driver, data, driver_data_fields, 0),
	JSON_TEXT("Name", struct image_driver, name, 0),
	JSON_END,
};

static const struct json_field layers_fields[] = {
	JSON_TEXT("Type", struct image_layers, type, 0),
	JSON_TEXT_LIST("Layers", struct image_layers, layers, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field metadata_fields[] = {
	JSON_TEXT("LastTagTime", struct image_metadata, last_tag_time, 0),
	JSON_END,
};

/* As in an image's own document, but dockerd shows some keys even where there is nothing. */
#define R struct image_run
static const struct json_field config_fields[] = {
	JSON_TEXT("Hostname", R, hostname, JSON_OMIT_EMPTY),
	JSON_TEXT("Domainname", R, domainname, JSON_OMIT_EMPTY),
	JSON_TEXT("User", R, user, 0),
	JSON_MAP("ExposedPorts", R, exposed_ports, key_item_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("Tty", R, tty, JSON_OMIT_EMPTY),
	JSON_BOOL("OpenStdin", R, open_stdin, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("Env", R, env, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("Cmd", R, cmd, JSON_EMPTY_NULL),
	JSON_POINTER("Healthcheck", R, healthcheck, image_healthcheck_fields, JSON_OMIT_EMPTY),
	JSON_BOOL("ArgsEscaped", R, args_escaped, JSON_OMIT_EMPTY),
	JSON_MAP("Volumes", R, volumes, key_item_fields, JSON_EMPTY_NULL),
	JSON_TEXT("WorkingDir", R, working_dir, 0),
	JSON_TEXT_LIST("Entrypoint", R, entrypoint, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("OnBuild", R, on_build, JSON_EMPTY_NULL),
	JSON_TEXT_MAP("Labels", R, labels, JSON_EMPTY_NULL),
	JSON_TEXT("StopSignal", R, stop_signal, JSON_OMIT_EMPTY),
	JSON_OPT_I64("StopTimeout", R, stop_timeout, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("Shell", R, shell, JSON_OMIT_EMPTY),
	JSON_END,
};
#undef R

const struct json_field image_details_fields[] = {
	JSON_TEXT("Id", struct image_details, id, 0),
	JSON_TEXT_LIST("RepoTags", struct image_details, repo_tags, 0),
	JSON_TEXT_LIST("RepoDigests", struct image_details, repo_digests, 0),
	JSON_TEXT("Parent", struct image_details, parent, 0),
	JSON_TEXT("Comment", struct image_details, comment, 0),
	JSON_TEXT("Created", struct image_details, created, JSON_OMIT_EMPTY),
	JSON_TEXT("DockerVersion", struct image_details, docker_version, 0),
	JSON_TEXT("Author", struct image_details, author, 0),
	JSON_OBJECT("Config", struct image_details, config, config_fields, 0),
	JSON_TEXT("Architecture", struct image_details, architecture, 0),
	JSON_TEXT("Variant", struct image_details, variant, JSON_OMIT_EMPTY),
	JSON_TEXT("Os", struct image_details, os, 0),
	JSON_TEXT("OsVersion", struct image_details, os_version, JSON_OMIT_EMPTY),
	JSON_I64("Size", struct image_details, size, 0),
	JSON_OBJECT("GraphDriver", struct image_details, driver, driver_fields, 0),
	JSON_OBJECT("RootFS", struct image_details, root_fs, layers_fields, 0),
	JSON_OBJECT("Metadata", struct image_details, metadata, metadata_fields, 0),
	JSON_END,
};

const struct json_field image_history_item_fields[] = {
	JSON_TEXT("Comment", struct image_history_item, comment, 0),
	JSON_I64("Created", struct image_history_item, created, 0),
	JSON_TEXT("CreatedBy", struct image_history_item, created_by, 0),
	JSON_TEXT("Id", struct image_history_item, id, 0),
	JSON_I64("Size", struct image_history_item, size, 0),
	JSON_TEXT_LIST("Tags", struct image_history_item, tags, JSON_EMPTY_NULL),
	JSON_END,
};

/* ---- inspect ---- */

static char *directory_of(struct engine *engine, const struct layer *layer, const char *name)
{
	return xasprintf("%s/snapshots/%lld/%s", store_root(engine_store(engine)), (long long)layer->directory, name);
}

static int fill_driver(struct image_driver *driver, struct engine *engine, const struct digest *chain_id,
		       struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct text lower = { 0 };

	driver->name = xstrdup(store_driver_name(store_driver(engine_store(engine))));
	if (layer_stack_load(&stack, engine_store(engine), chain_id, err) < 0)
		return -1;
	if (stack.count == 0 || store_driver(engine_store(engine)) == STORE_COPY)
		return 0;
	for (size_t i = 1; i < stack.count; i++) {
		AUTO_FREE char *path = directory_of(engine, &stack.items[i], "fs");

		text_addf(&lower, "%s%s", i > 1 ? ":" : "", path);
	}
	if (lower.size > 0)
		driver->data.lower_dir = text_take(&lower);
	driver->data.upper_dir = directory_of(engine, &stack.items[0], "fs");
	driver->data.merged_dir = directory_of(engine, &stack.items[0], "merged");
	driver->data.work_dir = directory_of(engine, &stack.items[0], "work");
	return 0;
}

static void fill_config(struct image_details *details, struct image_config *config)
{
	size_t last = config->history.count;

	details->comment = xstrdup(last > 0 ? text_or_empty(config->history.items[last - 1].comment) : "");
	details->created = take_ptr(config->created);
	details->docker_version = xstrdup("");
	details->author = config->author ? take_ptr(config->author) : xstrdup("");
	details->architecture = config->architecture ? take_ptr(config->architecture) : xstrdup("");
	details->variant = take_ptr(config->variant);
	details->os = config->os ? take_ptr(config->os) : xstrdup("");
	details->os_version = take_ptr(config->os_version);
	details->root_fs.type = xstrdup("layers");
	text_list_add_all(&details->root_fs.layers, &config->rootfs.diff_ids);
	details->config = config->config;
	config->config = (struct image_run){ 0 };
}

static void fill_record(struct image_details *details, const struct image_record *record)
{
	char text[DIGEST_TEXT_MAX];
	char time[CLOCK_TEXT_MAX];

	details->id = xstrdup(digest_text(&record->id, text));
	details->parent = xstrdup(digest_text(&record->parent, text));
	details->size = (int64_t)record->size;
	details->metadata.last_tag_time = xstrdup(clock_format(time, record->tagged_ns));
}

int image_inspect(struct image_details *out_details, struct engine *engine, const char *name, struct error *err)
{
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	struct image_details details = { 0 };

	if (image_lookup(&hit, engine, name, err) < 0 || image_load_config(&config, engine, &hit.record.id, err) < 0)
		return -1;
	if (image_load_names(&details.repo_tags, &details.repo_digests, engine, &hit.record.id, err) < 0 ||
	    fill_driver(&details.driver, engine, &hit.record.chain_id, err) < 0) {
		json_free_fields(&details, image_details_fields);
		return -1;
	}
	fill_record(&details, &hit.record);
	fill_config(&details, &config);
	*out_details = details;
	return 0;
}

/* ---- history ---- */

static void add_step(struct image_history_items *items, const struct image_history *step, int64_t size)
{
	struct image_history_item *item = json_array_add(items, sizeof(*item));
	int64_t created_ns = 0;

	if (step->created)
		clock_parse(&created_ns, step->created);
	item->id = xstrdup("<missing>");
	item->created = created_ns / CLOCK_SECOND;
	item->created_by = xstrdup(text_or_empty(step->created_by));
	item->comment = xstrdup(text_or_empty(step->comment));
	item->size = size;
}

static int fill_history(struct image_history_items *items, struct engine *engine, const struct image_record *record,
			const struct image_config *config, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	AUTO(text_list_fini) struct text_list digests = { 0 };
	size_t next_layer = 0; /* highest first, as the stack */
	char text[DIGEST_TEXT_MAX];

	if (layer_stack_load(&stack, engine_store(engine), &record->chain_id, err) < 0)
		return -1;
	for (size_t i = config->history.count; i-- > 0;) {
		const struct image_history *step = &config->history.items[i];
		bool has_layer = !step->empty_layer && next_layer < stack.count;

		add_step(items, step, has_layer ? (int64_t)stack.items[next_layer].size : 0);
		next_layer += has_layer;
	}
	if (items->count == 0)
		return 0;
	free(items->items[0].id);
	items->items[0].id = xstrdup(digest_text(&record->id, text));
	return image_load_names(&items->items[0].tags, &digests, engine, &record->id, err);
}

int image_history(struct image_history_items *out_items, struct engine *engine, const char *name, struct error *err)
{
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	struct image_history_items items = { 0 };

	if (image_lookup(&hit, engine, name, err) < 0 || image_load_config(&config, engine, &hit.record.id, err) < 0)
		return -1;
	if (fill_history(&items, engine, &hit.record, &config, err) < 0) {
		json_free_array(&items, image_history_item_fields, sizeof(struct image_history_item));
		return -1;
	}
	*out_items = items;
	return 0;
}
