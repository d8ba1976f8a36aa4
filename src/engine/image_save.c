/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: everything is looked up and leased first; then blobs go out,
 * each once, and behind them the documents that name them.
 */
#include <string.h>

#include "archive/tar_stream.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/image_archive.h"
#include "engine/image_lookup.h"
#include "engine/image_source.h"

struct saved {
	struct image_source source;
	struct digest manifest;
	char *manifest_text;
	struct text_list names; /* full ones, with tags */
};

struct save {
	struct engine *engine;
	const struct image_save_options *options;
	struct lease *lease;
	struct saved *images;
	size_t count;
	size_t capacity;
	struct tar_stream archive;
};

static void save_fini(struct save *save)
{
	for (size_t i = 0; i < save->count; i++) {
		image_source_fini(&save->images[i].source);
		free(save->images[i].manifest_text);
		text_list_fini(&save->images[i].names);
	}
	free(save->images);
	tar_stream_fini(&save->archive);
	lease_free(save->lease);
}

/* ---- what is to be saved ---- */

static struct saved *find_image(struct save *save, const struct digest *id)
{
	for (size_t i = 0; i < save->count; i++)
		if (digest_equal(&save->images[i].source.id, id))
			return &save->images[i];
	return NULL;
}

static int check_platform(const struct image_source *source, const char *text, const char *name, struct error *err)
{
	AUTO(platform_fini) struct platform wanted = { 0 };
	AUTO(platform_fini) struct platform offered = { 0 };

	if (text_empty(text))
		return 0;
	if (json_decode(&wanted, platform_fields, text, strlen(text), err) < 0)
		return error_prefix(err, "failed to parse platform");
	image_config_platform(&source->config, &offered);
	if (platform_rank(&wanted, &offered, PLATFORM_STRICT) >= 0)
		return 0;
	return error_set(err, ERR_NOT_FOUND,
			 "image with reference %s was found but does not provide the specified platform (%s/%s)", name,
			 text_or_empty(wanted.os), text_or_empty(wanted.architecture));
}

static int add_image(struct save *save, const struct image_record *record, const char *full_name, const char *asked,
		     struct error *err)
{
	struct saved *image = find_image(save, &record->id);

	if (!image) {
		struct image_source source = { 0 };

		if (image_source_load(&source, save->engine, record, save->lease, err) < 0)
			return -1;
		save->images = xgrow(save->images, &save->capacity, save->count + 1, sizeof(*save->images));
		image = &save->images[save->count++];
		*image = (struct saved){ .source = source };
		image->manifest_text = image_source_manifest(&image->source, &image->manifest);
	}
	if (full_name && !text_list_contains(&image->names, full_name))
		text_list_add(&image->names, full_name);
	return check_platform(&image->source, save->options->platform, asked, err);
}

/* All tags of a repository; 0 if it has none. */
static int add_repository(struct save *save, const struct reference *reference, const char *asked, struct error *err)
{
	AUTO(image_name_list_fini) struct image_name_list names = { 0 };
	AUTO_FREE char *repository = reference_name(reference);
	struct store *store = engine_store(save->engine);
	int found = 0;

	if (image_name_list_load(&names, store, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		const struct image_name *name = &names.items[i];
		struct image_record record;
		int r;

		if (name->is_digest || !text_equal(name->repository, repository))
			continue;
		r = image_record_find(&record, store, &name->image, err);
		if (r > 0)
			r = add_image(save, &record, name->name, asked, err);
		if (r < 0)
			return -1;
		found = 1;
	}
	return found;
}

static int add_name(struct save *save, const char *name, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(image_hit_fini) struct image_hit hit = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *full = NULL;

	if (reference_parse(&reference, name, &ignored) == 0 && !reference.tag && !digest_is_set(&reference.digest)) {
		int r = add_repository(save, &reference, name, err);

		if (r != 0)
			return r < 0 ? -1 : 0;
	}
	if (image_lookup(&hit, save->engine, name, err) < 0)
		return -1;
	if (!hit.by_id && hit.reference.tag)
		full = reference_format(&hit.reference);
	return add_image(save, &hit.record, full, name, err);
}

/* ---- the archive ---- */

static int put_blob(struct save *save, const struct digest *digest, uint64_t size, struct error *err)
{
	AUTO_FREE char *path = archive_blob_path(digest);
	AUTO_CLOSE int fd = -1;

	fd = blob_open(store_blobs(engine_store(save->engine)), digest, err);
	return fd < 0 ? -1 : tar_stream_copy(&save->archive, path, fd, size, err);
}

static int put_folders(struct save *save, struct error *err)
{
	if (tar_stream_begin(&save->archive, "blobs/", 0, err) < 0 ||
	    tar_stream_begin(&save->archive, "blobs/sha256/", 0, err) < 0)
		return -1;
	for (size_t i = 0; i < save->count; i++)
		for (size_t j = 0; j < save->images[i].source.part_count; j++)
			if (save->images[i].source.parts[j].blob.algorithm == DIGEST_SHA512 &&
			    tar_stream_begin(&save->archive, "blobs/sha512/", 0, err) < 0)
				return -1;
	return 0;
}

static int put_image(struct save *save, const struct saved *image, struct error *err)
{
	AUTO_FREE char *manifest = archive_blob_path(&image->manifest);

	for (size_t i = 0; i < image->source.part_count; i++)
		if (put_blob(save, &image->source.parts[i].blob, image->source.parts[i].size, err) < 0)
			return -1;
	if (put_blob(save, &image->source.id, image->source.config_size, err) < 0)
		return -1;
	return tar_stream_text(&save->archive, manifest, image->manifest_text, err);
}

/* ---- documents ---- */

static void add_index_entry(struct manifest *index, const struct saved *image, const char *name)
{
	struct descriptor *entry = json_array_add(&index->manifests, sizeof(*entry));
	const char *colon = name ? strrchr(name, ':') : NULL;
	char text[DIGEST_TEXT_MAX];

	entry->media_type = xstrdup(image_source_media_type(&image->source));
	entry->digest = xstrdup(digest_text(&image->manifest, text));
	entry->size = strlen(image->manifest_text);
	if (!name)
		return;
	text_map_set(&entry->annotations, ARCHIVE_NAME, name);
	text_map_set(&entry->annotations, ARCHIVE_REFERENCE, colon + 1);
}

static char *make_index(const struct save *save)
{
	struct manifest index = { .kind = MANIFEST_INDEX, .schema_version = 2 };
	char *text;

	index.media_type = xstrdup(MEDIA_OCI_INDEX);
	for (size_t i = 0; i < save->count; i++) {
		const struct saved *image = &save->images[i];

		for (size_t j = 0; j < image->names.count; j++)
			add_index_entry(&index, image, image->names.items[j]);
		if (image->names.count == 0)
			add_index_entry(&index, image, NULL);
	}
	text = manifest_encode(&index);
	manifest_fini(&index);
	return text;
}

static char *make_manifest(const struct save *save)
{
	struct archive_images images = { 0 };
	char *text;

	for (size_t i = 0; i < save->count; i++) {
		const struct saved *saved = &save->images[i];
		struct archive_image *image = json_array_add(&images, sizeof(*image));
		char diff_id[DIGEST_TEXT_MAX];

		image->config = archive_blob_path(&saved->source.id);
		for (size_t j = 0; j < saved->names.count; j++)
			text_list_add_take(&image->repo_tags, image_familiar(saved->names.items[j]));
		for (size_t j = 0; j < saved->source.part_count; j++) {
			struct archive_source *source = json_array_add(&image->sources, sizeof(*source));

			source->diff_id = xstrdup(digest_text(&saved->source.parts[j].diff_id, diff_id));
			descriptor_copy(&source->layer, &saved->source.manifest.layers.items[j]);
			text_list_add_take(&image->layers, archive_blob_path(&saved->source.parts[j].blob));
		}
	}
	text = json_encode_array(&images, archive_image_fields, sizeof(struct archive_image));
	json_free_array(&images, archive_image_fields, sizeof(struct archive_image));
	return text;
}

/* What docker read before it had manifest.json, and still writes: {"busybox":{"1":"<hex of the top layer>"}}. */
static char *make_repositories(const struct save *save)
{
	struct text json = { 0 };
	const char *last = NULL;
	char hex[DIGEST_TEXT_MAX];

	text_add_char(&json, '{');
	for (size_t i = 0; i < save->count; i++) {
		const struct saved *saved = &save->images[i];
		size_t layers = saved->source.part_count;

		for (size_t j = 0; layers > 0 && j < saved->names.count; j++) {
			AUTO_FREE char *name = image_familiar(saved->names.items[j]);
			char *colon = strrchr(name, ':');

			*colon = '\0';
			text_addf(&json, "%s\"%s\":{\"%s\":\"%s\"}", last ? "," : "", name, colon + 1,
				  digest_hex(&saved->source.parts[layers - 1].diff_id, hex));
			last = name;
		}
	}
	text_add_char(&json, '}');
	return text_take(&json);
}

static int put_documents(struct save *save, struct error *err)
{
	AUTO_FREE char *index = make_index(save);
	AUTO_FREE char *manifest = make_manifest(save);
	AUTO_FREE char *repositories = make_repositories(save);

	if (tar_stream_text(&save->archive, "index.json", index, err) < 0 ||
	    tar_stream_text(&save->archive, "oci-layout", ARCHIVE_LAYOUT, err) < 0)
		return -1;
	if (save->options->form == IMAGE_SAVE_BOTH &&
	    (tar_stream_text(&save->archive, "manifest.json", manifest, err) < 0 ||
	     tar_stream_text(&save->archive, "repositories", repositories, err) < 0))
		return -1;
	return tar_stream_end(&save->archive, err);
}

/* One that nobody else knows: its names are what it is to be called. */
static int add_made(struct save *save, struct error *err)
{
	const struct image_save_options *options = save->options;

	if (add_image(save, options->made, NULL, "", err) < 0)
		return -1;
	for (size_t i = 0; options->names && i < options->names->count; i++) {
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO_FREE char *full = NULL;

		if (reference_parse(&reference, options->names->items[i], err) < 0)
			return -1;
		reference_default_tag(&reference);
		full = reference_format(&reference);
		if (!text_list_contains(&save->images[0].names, full))
			text_list_add(&save->images[0].names, full);
	}
	return 0;
}

static int find_images(struct save *save, struct error *err)
{
	const struct text_list *names = save->options->names;

	if (save->options->made)
		return add_made(save, err);
	if (names->count == 0)
		return error_set(err, ERR_INVALID, "no image is named");
	for (size_t i = 0; i < names->count; i++)
		if (add_name(save, names->items[i], err) < 0)
			return -1;
	return 0;
}

int image_save(struct engine *engine, const struct image_save_options *options, struct error *err)
{
	AUTO(save_fini) struct save save = { .engine = engine, .options = options };

	save.lease = lease_new(engine_store(engine));
	tar_stream_init(&save.archive, options->write, options->write_arg);
	if (find_images(&save, err) < 0)
		return -1;
	if (put_folders(&save, err) < 0)
		return -1;
	for (size_t i = 0; i < save.count; i++) {
		char text[DIGEST_TEXT_MAX];

		if (put_image(&save, &save.images[i], err) < 0)
			return -1;
		digest_text(&save.images[i].source.id, text);
		if (!options->made)
			image_event(engine, "save", text, &save.images[i].source.id, text);
	}
	return put_documents(&save, err);
}
