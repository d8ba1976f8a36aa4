/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_source.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "engine/engine.h"
#include "oci/hasher.h"
#include "store/layer.h"

#define MAGIC_SIZE 4

void image_source_fini(struct image_source *source)
{
	image_config_fini(&source->config);
	manifest_fini(&source->manifest);
	free(source->manifest_text);
	free(source->parts);
	*source = (struct image_source){ 0 };
}

/* ---- descriptors ---- */

static const char *layer_media_type(const struct image_source *source, enum layer_packing packing)
{
	bool docker = text_equal(source->manifest.media_type, MEDIA_DOCKER_MANIFEST);

	switch (packing) {
	case LAYER_TAR_GZIP:
		return docker ? MEDIA_DOCKER_LAYER_GZIP : MEDIA_OCI_LAYER_GZIP;
	case LAYER_TAR_ZSTD:
		return docker ? "application/vnd.docker.image.rootfs.diff.tar.zstd" : MEDIA_OCI_LAYER_ZSTD;
	default:
		return docker ? "application/vnd.docker.image.rootfs.diff.tar" : MEDIA_OCI_LAYER;
	}
}

static void fill_descriptor(struct descriptor *descriptor, const char *media_type, const struct digest *digest,
			    uint64_t size)
{
	char text[DIGEST_TEXT_MAX];

	descriptor_fini(descriptor);
	*descriptor = (struct descriptor){ .media_type = xstrdup(media_type),
					   .digest = xstrdup(digest_text(digest, text)),
					   .size = size };
}

void image_source_replace(struct image_source *source, size_t index, const struct digest *blob, uint64_t size,
			  enum layer_packing packing)
{
	struct image_part *part = &source->parts[index];

	part->blob = *blob;
	part->size = size;
	part->packing = packing;
	fill_descriptor(&source->manifest.layers.items[index], layer_media_type(source, packing), blob, size);
	free(take_ptr(source->manifest_text));
}

/* ---- documents ---- */

static int load_config(struct image_source *source, struct engine *engine, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;

	if (blob_read(&text, &size, store_blobs(engine_store(engine)), &source->id, IMAGE_CONFIG_SIZE_MAX, err) < 0)
		return -1;
	source->config_size = size;
	return image_config_decode(&source->config, text, size, err);
}

static bool fits(const struct image_source *source)
{
	char id[DIGEST_TEXT_MAX];

	return source->manifest.kind == MANIFEST_IMAGE &&
	       source->manifest.layers.count == source->config.rootfs.diff_ids.count &&
	       text_equal(source->manifest.config->digest, digest_text(&source->id, id));
}

/* A manifest that is lost or damaged is not the end: it can be made again. */
static void load_manifest(struct image_source *source, struct engine *engine, const struct digest *digest)
{
	AUTO(error_clear) struct error ignored = { 0 };
	size_t size;

	if (digest_is_set(digest) &&
	    blob_read(&source->manifest_text, &size, store_blobs(engine_store(engine)), digest, MANIFEST_SIZE_MAX,
		      &ignored) == 0 &&
	    manifest_decode(&source->manifest, source->manifest_text, size, NULL, &ignored) == 0 && fits(source))
		return;
	free(take_ptr(source->manifest_text));
	manifest_fini(&source->manifest);
	source->manifest = (struct manifest){ .kind = MANIFEST_IMAGE, .schema_version = 2 };
	source->manifest.media_type = xstrdup(MEDIA_OCI_MANIFEST);
	source->manifest.config = xcalloc(1, sizeof(*source->manifest.config));
	fill_descriptor(source->manifest.config, MEDIA_OCI_CONFIG, &source->id, source->config_size);
	for (size_t i = 0; i < source->config.rootfs.diff_ids.count; i++)
		json_array_add(&source->manifest.layers, sizeof(struct descriptor));
}

/* ---- layers ---- */

int image_blob_packing(enum layer_packing *out_packing, struct store *store, const struct digest *blob,
		       struct error *err)
{
	AUTO_CLOSE int fd = blob_open(store_blobs(store), blob, err);
	unsigned char magic[MAGIC_SIZE] = { 0 };
	ssize_t got = fd < 0 ? -1 : read_full(fd, magic, sizeof(magic));

	if (fd < 0)
		return -1;
	if (got < 0)
		return error_set_errno(err, ERR_INTERNAL, (int)got, "read a layer's blob");
	*out_packing = memcmp(magic, "\x1f\x8b", 2) == 0		    ? LAYER_TAR_GZIP
		       : memcmp(magic, "\x28\xb5\x2f\xfd", MAGIC_SIZE) == 0 ? LAYER_TAR_ZSTD
									    : LAYER_TAR;
	return 0;
}

/* 1 if the blob that the manifest names is stored. */
static int find_named(struct image_part *part, const struct descriptor *descriptor, struct store *store,
		      struct error *err)
{
	int r;

	if (!descriptor->digest)
		return 0;
	descriptor_digest(descriptor, &part->blob);
	part->packing = media_type_layer_packing(descriptor->media_type);
	part->foreign = media_type_is_foreign_layer(descriptor->media_type);
	r = blob_size(&part->size, store_blobs(store), &part->blob, err);
	return r > 0 && part->packing == LAYER_UNKNOWN ? 0 : r;
}

/* The same files, as another image brought them. */
static int find_other(struct image_source *source, size_t index, struct store *store, struct lease *lease,
		      struct error *err)
{
	struct image_part *part = &source->parts[index];
	enum layer_packing packing;
	char text[DIGEST_TEXT_MAX];
	struct layer layer;
	uint64_t size;
	int r = layer_find(&layer, store, &part->chain_id, err);

	if (r > 0) {
		lease_add(lease, &layer.blob);
		r = blob_size(&size, store_blobs(store), &layer.blob, err);
	}
	if (r == 0)
		return error_set(err, ERR_CONFLICT,
				 "layer %s is stored as files only, not as an archive: pull or load the image again",
				 digest_text(&part->diff_id, text));
	if (r < 0 || image_blob_packing(&packing, store, &layer.blob, err) < 0)
		return -1;
	image_source_replace(source, index, &layer.blob, size, packing);
	return 0;
}

static int load_parts(struct image_source *source, struct engine *engine, struct lease *lease, struct error *err)
{
	const struct text_list *diff_ids = &source->config.rootfs.diff_ids;
	struct store *store = engine_store(engine);
	struct digest chain = { 0 };

	source->part_count = diff_ids->count;
	source->parts = xcalloc(source->part_count ? source->part_count : 1, sizeof(*source->parts));
	for (size_t i = 0; i < source->part_count; i++) {
		struct image_part *part = &source->parts[i];
		const struct descriptor *descriptor = &source->manifest.layers.items[i];
		struct digest named = { 0 };
		int r;

		if (digest_parse(&part->diff_id, diff_ids->items[i], err) < 0)
			return -1;
		chain_id_add(&chain, &part->diff_id);
		part->chain_id = chain;
		if (descriptor->digest)
			descriptor_digest(descriptor, &named);
		lease_add(lease, &named);
		r = find_named(part, descriptor, store, err);
		if (r < 0 || (r == 0 && find_other(source, i, store, lease, err) < 0))
			return -1;
	}
	return 0;
}

int image_source_load(struct image_source *out_source, struct engine *engine, const struct image_record *record,
		      struct lease *lease, struct error *err)
{
	AUTO(image_source_fini) struct image_source source = { .id = record->id };
	char text[DIGEST_TEXT_MAX];

	lease_add(lease, &record->id);
	lease_add(lease, &record->manifest);
	if (load_config(&source, engine, err) < 0)
		return error_prefix(err, "image %s", digest_text(&record->id, text));
	load_manifest(&source, engine, &record->manifest);
	if (load_parts(&source, engine, lease, err) < 0)
		return error_prefix(err, "image %s", digest_text(&record->id, text));
	*out_source = source;
	source = (struct image_source){ 0 };
	return 0;
}

char *image_source_manifest(const struct image_source *source, struct digest *out_digest)
{
	char *text = source->manifest_text ? xstrdup(source->manifest_text) : manifest_encode(&source->manifest);

	digest_of(out_digest, DIGEST_SHA256, text, strlen(text));
	return text;
}

const char *image_source_media_type(const struct image_source *source)
{
	return source->manifest.media_type ? source->manifest.media_type : MEDIA_OCI_MANIFEST;
}
