/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest create, annotate, inspect, push: an index of images that are in a
 * registry, put together in a file of the user's (request->output) and pushed
 * when it is as wanted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "image/convert.h"
#include "image/copy.h"
#include "image/jobs.h"
#include "image/place_registry.h"
#include "image/show_whole.h"
#include "oci/image_config.h"
#include "oci/reference.h"

#define FILE_MAX_BYTES (4 * 1024 * 1024)

struct list_entry {
	char *reference; /* as it was typed */
	struct descriptor descriptor;
};

struct list {
	char *name;
	JSON_ARRAY_OF(struct list_entry) entries;
};

static const struct json_field entry_fields[] = {
	JSON_TEXT("reference", struct list_entry, reference, JSON_REQUIRED),
	JSON_OBJECT("descriptor", struct list_entry, descriptor, descriptor_fields, 0),
	JSON_END,
};
static const struct json_field list_fields[] = {
	JSON_TEXT("name", struct list, name, JSON_REQUIRED),
	JSON_ARRAY("entries", struct list, entries, entry_fields, 0),
	JSON_END,
};

static void list_fini(struct list *list)
{
	json_free_fields(list, list_fields);
}

/* ---- the file ---- */

/* 1, or 0 if there is none. */
static int load(struct list *out_list, const struct image_request *request, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int r = file_read(&text, &size, AT_FDCWD, text_or_empty(request->output), FILE_MAX_BYTES);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", request->output);
	if (json_decode(out_list, list_fields, text, size, err) < 0)
		return error_prefix(err, "%s", request->output);
	for (size_t i = 0; i < out_list->entries.count; i++)
		if (descriptor_check(&out_list->entries.items[i].descriptor, err) < 0) {
			list_fini(out_list);
			return error_prefix(err, "%s", request->output);
		}
	return 1;
}

static int load_known(struct list *out_list, const struct image_request *request, struct error *err)
{
	int r = load(out_list, request, err);

	return r == 0 ? error_set(err, ERR_NOT_FOUND, "No such manifest: %s", request->operands.items[0]) : r;
}

static int save(const struct list *list, const struct image_request *request, struct error *err)
{
	AUTO_FREE char *text = json_encode_pretty(list, list_fields, "\t");
	AUTO_FREE char *folder = path_parent(request->output);
	int r = mkdir_all(AT_FDCWD, folder, 0700);

	if (r == 0)
		r = file_write_atomic(AT_FDCWD, request->output, text, strlen(text), 0644, FILE_SYNC_ALL);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", request->output) : 0;
}

/* ---- create ---- */

int job_fill_platform(struct descriptor *descriptor, struct place *place, const struct document *document,
		      struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO_FREE char *text = NULL;

	if (manifest_decode(&manifest, document->text, document->size, document->media_type, err) < 0 ||
	    job_load_config(place, &manifest, &text, err) < 0)
		return -1;
	if (!media_type_is_config(manifest.config->media_type))
		return 0;
	if (image_config_decode(&config, text, strlen(text), err) < 0)
		return -1;
	descriptor->platform = xcalloc(1, sizeof(*descriptor->platform));
	image_config_platform(&config, descriptor->platform);
	return 0;
}

static int add_image(struct list *list, const struct image_request *request, const char *name, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	struct list_entry *entry;

	if (job_source(&place, request, name, err) < 0 || place_document(place, &document, NULL, err) < 0)
		return -1;
	if (!place->registry)
		return error_set(err, ERR_UNSUPPORTED, "%s: a list is made of images in a registry", name);
	if (media_type_is_index(document.media_type))
		return error_set(err, ERR_UNSUPPORTED, "%s is a manifest list", name);
	entry = json_array_add(&list->entries, sizeof(*entry));
	entry->reference = xstrdup(name);
	entry->descriptor = (struct descriptor){ .media_type = xstrdup(document.media_type),
						 .digest = xstrdup(document.digest),
						 .size = document.size };
	return job_fill_platform(&entry->descriptor, place, &document, err);
}

/* The same name, however it was typed. */
static bool is_same_name(const char *a, const char *b)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference one = { 0 };
	AUTO(reference_fini) struct reference other = { 0 };
	AUTO_FREE char *one_full = NULL;
	AUTO_FREE char *other_full = NULL;

	if (reference_parse(&one, a, &ignored) < 0 || reference_parse(&other, b, &ignored) < 0)
		return false;
	reference_default_tag(&one);
	reference_default_tag(&other);
	one_full = reference_format(&one);
	other_full = reference_format(&other);
	return text_equal(one_full, other_full);
}

static void drop_entry(struct list *list, const char *name)
{
	for (size_t i = 0; i < list->entries.count; i++) {
		if (!is_same_name(list->entries.items[i].reference, name))
			continue;
		json_free_fields(&list->entries.items[i], entry_fields);
		memmove(&list->entries.items[i], &list->entries.items[i + 1],
			(list->entries.count - i - 1) * sizeof(struct list_entry));
		list->entries.count--;
		return;
	}
}

int job_manifest_create(const struct image_request *request, struct error *err)
{
	AUTO(list_fini) struct list list = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	int r = load(&list, request, err);

	if (r < 0 || reference_parse(&reference, request->operands.items[0], err) < 0)
		return -1;
	if (r > 0 && !request->force)
		return error_set(err, ERR_CONFLICT, "refusing to amend an existing manifest list with no --amend flag");
	reference_default_tag(&reference);
	free(list.name);
	list.name = reference_format(&reference);
	for (size_t i = 1; i < request->operands.count; i++) {
		drop_entry(&list, request->operands.items[i]);
		if (add_image(&list, request, request->operands.items[i], err) < 0)
			return -1;
	}
	if (save(&list, request, err) < 0)
		return -1;
	printf("Created manifest list %s\n", list.name);
	return 0;
}

/* ---- annotate ---- */

static void set_text(char **text, const char *given)
{
	if (text_empty(given))
		return;
	free(*text);
	*text = xstrdup(given);
}

int job_manifest_annotate(const struct image_request *request, struct error *err)
{
	AUTO(list_fini) struct list list = { 0 };
	const char *name = request->operands.items[1];
	struct platform *platform = NULL;

	if (load_known(&list, request, err) < 0)
		return -1;
	for (size_t i = 0; i < list.entries.count; i++) {
		struct descriptor *descriptor = &list.entries.items[i].descriptor;

		if (!is_same_name(list.entries.items[i].reference, name))
			continue;
		if (!descriptor->platform)
			descriptor->platform = xcalloc(1, sizeof(*descriptor->platform));
		platform = descriptor->platform;
	}
	if (!platform)
		return error_set(err, ERR_NOT_FOUND, "manifest for image %s does not exist in %s", name, list.name);
	set_text(&platform->architecture, request->arch);
	set_text(&platform->os, request->os);
	set_text(&platform->variant, request->variant);
	set_text(&platform->os_version, request->os_version);
	for (size_t i = 0; i < request->os_features.count; i++)
		if (!text_list_contains(&platform->os_features, request->os_features.items[i]))
			text_list_add(&platform->os_features, request->os_features.items[i]);
	return save(&list, request, err);
}

/* ---- inspect and push ---- */

static void make_index(struct manifest *out_index, const struct list *list)
{
	bool docker = true;

	for (size_t i = 0; i < list->entries.count; i++)
		docker = docker && text_equal(list->entries.items[i].descriptor.media_type, MEDIA_DOCKER_MANIFEST);
	*out_index = (struct manifest){ .kind = MANIFEST_INDEX,
					.schema_version = 2,
					.media_type = xstrdup(docker ? MEDIA_DOCKER_INDEX : MEDIA_OCI_INDEX) };
	for (size_t i = 0; i < list->entries.count; i++)
		descriptor_copy(json_array_add(&out_index->manifests, sizeof(struct descriptor)),
				&list->entries.items[i].descriptor);
}

static int show_whole(const struct image_request *request, const struct list *list, struct error *err)
{
	AUTO(shown_images_fini) struct shown_images images = { .is_list = list != NULL };
	size_t count = list ? list->entries.count : 1;

	for (size_t i = 0; i < count; i++) {
		const char *name = list ? list->entries.items[i].reference : request->operands.items[0];
		AUTO(place_freep) struct place *place = NULL;

		if (job_source(&place, request, name, err) < 0 ||
		    shown_images_add(&images, place, name, list ? &list->entries.items[i].descriptor : NULL, err) < 0)
			return -1;
	}
	return shown_images_print(&images, err);
}

int job_manifest_inspect(const struct image_request *request, struct error *err)
{
	AUTO(list_fini) struct list list = { 0 };
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO(place_freep) struct place *place = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO_FREE char *text = NULL;
	int r = load(&list, request, err);

	if (r < 0)
		return -1;
	if (request->verbose)
		return show_whole(request, r > 0 ? &list : NULL, err);
	if (r > 0) {
		make_index(&index, &list);
	} else if (job_source(&place, request, request->operands.items[0], err) < 0 ||
		   place_document(place, &document, NULL, err) < 0 ||
		   manifest_decode(&index, document.text, document.size, document.media_type, err) < 0) {
		return -1;
	}
	text = manifest_encode(&index);
	puts(text);
	return 0;
}

/* The repository of the list must have what the list names. */
static int bring_entry(struct place *to, const struct image_request *request, const struct list_entry *entry,
		       struct error *err)
{
	const struct copy_options options = { .request = request };
	AUTO(place_freep) struct place *from = NULL;
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (job_source(&from, request, entry->reference, err) < 0)
		return -1;
	if (text_equal(from->registry, to->registry) && text_equal(from->repository, to->repository))
		return 0;
	/* By digest: the tag may mean something else by now. */
	if (place_document(from, &document, entry->descriptor.digest, err) < 0 ||
	    manifest_decode(&manifest, document.text, document.size, document.media_type, err) < 0 ||
	    copy_blobs(to, from, &manifest, &options, err) < 0)
		return -1;
	return to->ops->put_document(to, &document, false, err);
}

int job_manifest_push(const struct image_request *request, struct error *err)
{
	AUTO(list_fini) struct list list = { 0 };
	AUTO(manifest_fini) struct manifest index = { 0 };
	AUTO(place_freep) struct place *to = NULL;
	AUTO(document_fini) struct document document = { 0 };

	if (load_known(&list, request, err) < 0 || job_destination(&to, request, list.name, err) < 0)
		return -1;
	for (size_t i = 0; i < list.entries.count; i++)
		if (bring_entry(to, request, &list.entries.items[i], err) < 0)
			return -1;
	make_index(&index, &list);
	document_init(&document, index.media_type, convert_encode(&index));
	if (to->ops->put_document(to, &document, true, err) < 0)
		return error_prefix(err, "%s", list.name);
	puts(document.digest);
	return 0;
}
