/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "builder/build_private.h"
#include "engine/image_make.h"
#include "store/image_name.h"

static void add_history(struct image_config *config, const struct build *build, const struct step *step)
{
	struct image_history *history;
	char time[CLOCK_TEXT_MAX];

	if (!step->created_by)
		return;
	history = json_array_add(&config->history, sizeof(*history));
	history->created = xstrdup(clock_format(time, build_clamp_ns(build, step->created_ns)));
	history->created_by = xstrdup(step->created_by);
	history->comment = xstrdup("buildkit.dockerfile.v0");
	history->empty_layer = !step->node || !digest_is_set(&step->node->result.diff_id);
	free(config->created);
	config->created = xstrdup(time);
}

/* From the stage that started from an image down to the target. */
static void add_steps(struct image_config *config, const struct build *build, const struct stage *stage)
{
	char text[DIGEST_TEXT_MAX];

	if (stage->base)
		add_steps(config, build, stage->base);
	for (size_t i = 0; i < stage->step_count; i++) {
		const struct step *step = &stage->steps[i];

		add_history(config, build, step);
		if (step->created_by && step->node && digest_is_set(&step->node->result.diff_id))
			text_list_add(&config->rootfs.diff_ids, digest_text(&step->node->result.diff_id, text));
	}
}

static void add_labels(struct image_config *config, const struct text_map *labels)
{
	for (size_t i = 0; labels && i < labels->count; i++)
		text_map_set(&config->config.labels, labels->items[i].key, labels->items[i].value);
}

static int set_names(struct build *build, const struct digest *id, const struct text_list *tags, struct error *err)
{
	for (size_t i = 0; tags && i < tags->count; i++) {
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO_FREE char *shown = NULL;
		AUTO_FREE char *full = NULL;
		AUTO_FREE char *part = NULL;
		struct digest there;
		int r;

		if (reference_parse(&reference, tags->items[i], err) < 0)
			return -1;
		reference_default_tag(&reference);
		r = image_name_find(&there, build->store, &reference, err);
		if (r < 0)
			return -1;
		if ((r == 0 || !digest_equal(&there, id)) &&
		    image_name_set(build->store, &reference, id, NULL, err) < 0)
			return -1;
		shown = reference_familiar(&reference);
		build_print(build, "Successfully tagged %s\n", shown);
		full = reference_format(&reference);
		part = xasprintf("naming to %s", full);
		vertex_part(build, part, clock_wall_ns(), 0, true);
	}
	return 0;
}

static int fill_config(struct image_config *config, const struct build *build, struct error *err)
{
	const struct stage *target = build->target;
	const struct text_map *labels = build->options->labels;

	json_copy_fields(config, &target->config, image_config_fields);
	if (!config->rootfs.type)
		config->rootfs.type = xstrdup("layers");
	add_steps(config, build, target);
	add_labels(config, labels);
	if (target->step_count <= 1 && !target->base && text_equal(target->base_name, "scratch") &&
	    !(labels && labels->count))
		return error_set(err, ERR_INVALID, "No image was generated. Is your Dockerfile empty?");
	if (!config->created)
		config->created = xstrdup("1970-01-01T00:00:00Z");
	return 0;
}

static bool wants_inline(const struct build *build)
{
	const char *arg = build->options->args ? text_map_get(build->options->args, "BUILDKIT_INLINE_CACHE") : NULL;

	return build->options->inline_cache || text_equal(arg, "1") || text_equal_ignoring_case(arg, "true");
}

static int make_and_name(struct digest *out_id, struct build *build, const struct text_list *tags,
			 const struct text_map *annotations, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO_FREE char *part = NULL;
	int64_t started_ns = clock_wall_ns();
	AUTO_FREE char *cache = wants_inline(build) ? inline_cache_encode(build) : NULL;
	AUTO(reference_fini) struct reference name = { 0 };
	bool is_named = tags && tags->count > 0;
	/* The first name comes with the image: no prune finds it without one. */
	const struct image_make make = { .cache = cache,
					 .config = &config,
					 .base = build->target->base_image,
					 .annotations = annotations,
					 .name = is_named ? &name : NULL,
					 .lease = build->lease };
	char hex[DIGEST_TEXT_MAX];

	if (is_named && reference_parse(&name, tags->items[0], err) < 0)
		return -1;
	reference_default_tag(&name);
	if (fill_config(&config, build, err) < 0)
		return -1;
	vertex_part(build, "exporting layers", started_ns, 0, false);
	if (image_make(out_id, build->engine, &make, err) < 0)
		return -1;
	vertex_part(build, "exporting layers", started_ns, 0, true);
	part = xasprintf("writing image sha256:%s", digest_hex(out_id, hex));
	vertex_part(build, part, started_ns, 0, true);
	build_send_id(build, out_id);
	build_print(build, "Successfully built %.12s\n", digest_hex(out_id, hex));
	return set_names(build, out_id, tags, err);
}

int export_record(struct image_record *out_record, struct build *build, const struct text_map *annotations,
		  struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO_FREE char *cache = wants_inline(build) ? inline_cache_encode(build) : NULL;
	const struct image_make make = { .cache = cache,
					 .config = &config,
					 .base = build->target->base_image,
					 .annotations = annotations,
					 .lease = build->lease };

	if (fill_config(&config, build, err) < 0)
		return -1;
	return image_make_apart(out_record, build->engine, &make, err);
}

int build_write_archive(struct digest *out_id, struct build *build, const struct build_archive *archive,
			struct error *err)
{
	struct image_record record;
	const struct image_save_options save = { .names = archive->tags,
						 .made = &record,
						 .form = archive->docker ? IMAGE_SAVE_BOTH : IMAGE_SAVE_LAYOUT,
						 .write = archive->write,
						 .write_arg = archive->arg };

	if (export_record(&record, build, archive->annotations, err) < 0)
		return -1;
	*out_id = record.id;
	build_send_id(build, out_id);
	return image_save(build->engine, &save, err);
}

int export_image(struct digest *out_id, struct build *build, const struct text_list *tags,
		 const struct text_map *annotations, struct error *err)
{
	struct build_vertex vertex;
	int r;

	vertex_begin(build, &vertex, "exporting to image");
	r = make_and_name(out_id, build, tags, annotations, err);
	vertex_end(build, &vertex, r < 0 ? err : NULL);
	return r;
}
