/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-archive: - what `docker save` writes: manifest.json names a config and
 * plain layers. Such an image has no manifest of its own: one of docker's is
 * made for it, its layers named by their diff ids.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/thread.h"
#include "image/bundle.h"
#include "image/place.h"
#include "image/repack.h"
#include "image/tarball.h"
#include "oci/hasher.h"
#include "oci/image_config.h"
#include "oci/reference.h"

struct archived {
	char *config;
	struct text_list tags;
	struct text_list layers;
};

static const struct json_field archived_fields[] = {
	JSON_TEXT("Config", struct archived, config, JSON_REQUIRED),
	JSON_TEXT_LIST("RepoTags", struct archived, tags, JSON_EMPTY_NULL),
	JSON_TEXT_LIST("Layers", struct archived, layers, 0),
	JSON_END,
};

struct archived_list {
	struct archived *items;
	size_t count;
};

struct docker_place {
	struct place place;
	char *reference; /* name:tag, "@2", or NULL */

	/* To read. */
	struct bundle *bundle;
	struct map files; /* digest -> path in the archive (owned texts) */

	/* To write. */
	struct tarball *tarball;
	struct mutex lock;
	char *config; /* its text */
};

static struct docker_place *of(struct place *place)
{
	return (struct docker_place *)(void *)place;
}

/* ---- reading ---- */

static bool has_tag(const struct archived *image, const char *wanted)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO_FREE char *familiar = NULL;

	if (text_list_contains(&image->tags, wanted))
		return true;
	if (reference_parse(&reference, wanted, &ignored) < 0)
		return false;
	reference_default_tag(&reference);
	familiar = reference_familiar(&reference);
	return text_list_contains(&image->tags, familiar);
}

static const struct archived *choose(const struct archived_list *list, const char *reference, struct error *err)
{
	uint64_t number;

	if (!reference && list->count == 1)
		return &list->items[0];
	if (!reference) {
		error_set(err, ERR_INVALID, "the archive has %zu images: name one", list->count);
		return NULL;
	}
	if (*reference == '@' && text_parse_u64(&number, reference + 1, INT32_MAX) == 0 && number < list->count)
		return &list->items[number];
	for (size_t i = 0; i < list->count; i++)
		if (has_tag(&list->items[i], reference))
			return &list->items[i];
	error_set(err, ERR_NOT_FOUND, "the archive has no image \"%s\"", reference);
	return NULL;
}

/* The digest of a file as it is in the archive. */
static int digest_file(struct descriptor *out_blob, const struct bundle_file *file, struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	AUTO_FREE char *chunk = xmalloc(1 << 16);
	struct digest digest;
	char text[DIGEST_TEXT_MAX];
	uint64_t at = 0;

	while (at < file->size) {
		uint64_t left = file->size - at;
		ssize_t got = pread(file->fd, chunk, left < (1 << 16) ? left : 1 << 16, (off_t)(file->offset + at));

		if (got <= 0)
			return error_set_errno(err, ERR_INTERNAL, got < 0 ? errno : EIO, "read the archive");
		hasher_add(hasher, chunk, (size_t)got);
		at += (uint64_t)got;
	}
	hasher_digest(hasher, &digest);
	out_blob->digest = xstrdup(digest_text(&digest, text));
	out_blob->size = file->size;
	return 0;
}

static const char *packing_of(const struct bundle_file *file)
{
	unsigned char head[4] = { 0 };

	if (file->size < sizeof(head) || pread(file->fd, head, sizeof(head), (off_t)file->offset) != sizeof(head))
		return MEDIA_DOCKER_LAYER;
	if (head[0] == 0x1f && head[1] == 0x8b)
		return MEDIA_DOCKER_LAYER_GZIP;
	return head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd ? MEDIA_OCI_LAYER_ZSTD
											: MEDIA_DOCKER_LAYER;
}

static int add_layer(struct docker_place *self, struct manifest *manifest, const char *path, const char *diff_id,
		     struct error *err)
{
	struct descriptor *layer = json_array_add(&manifest->layers, sizeof(*layer));
	struct bundle_file file = { .fd = -1 };
	int r = bundle_find(self->bundle, &file, path, err);

	if (r == 0)
		return error_set(err, ERR_INVALID, "layer %s is missing", path);
	if (r < 0)
		return -1;
	layer->media_type = xstrdup(packing_of(&file));
	layer->size = file.size;
	/* What is plain is proven by its diff id when it is read. */
	if (text_equal(layer->media_type, MEDIA_DOCKER_LAYER))
		layer->digest = xstrdup(diff_id);
	else
		r = digest_file(layer, &file, err);
	close(file.fd);
	if (r >= 0)
		map_set(&self->files, layer->digest, xstrdup(path));
	return r < 0 ? -1 : 0;
}

static int make_manifest(struct docker_place *self, struct manifest *manifest, const struct archived *image,
			 struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO_FREE char *text = NULL;
	struct document document;
	int r = bundle_text(self->bundle, &text, image->config, IMAGE_CONFIG_SIZE_MAX, err);

	if (r == 0)
		return error_set(err, ERR_INVALID, "config %s is missing", image->config);
	if (r < 0 || image_config_decode(&config, text, strlen(text), err) < 0)
		return -1;
	if (config.rootfs.diff_ids.count != image->layers.count)
		return error_set(err, ERR_INVALID, "manifest.json has %zu layers, the config %zu", image->layers.count,
				 config.rootfs.diff_ids.count);
	document_init(&document, MEDIA_DOCKER_CONFIG, take_ptr(text));
	manifest->config = xcalloc(1, sizeof(*manifest->config));
	*manifest->config = (struct descriptor){ .media_type = xstrdup(MEDIA_DOCKER_CONFIG),
						 .digest = xstrdup(document.digest),
						 .size = document.size };
	document_fini(&document);
	map_set(&self->files, manifest->config->digest, xstrdup(image->config));
	for (size_t i = 0; r >= 0 && i < image->layers.count; i++)
		r = add_layer(self, manifest, image->layers.items[i], config.rootfs.diff_ids.items[i], err);
	return r < 0 ? -1 : 0;
}

static int read_document(struct place *place, struct document *out_document, const char *digest, struct error *err)
{
	struct docker_place *self = of(place);
	AUTO(manifest_fini) struct manifest manifest = { .kind = MANIFEST_IMAGE, .schema_version = 2 };
	struct archived_list list = { 0 };
	const struct archived *image;
	AUTO_FREE char *text = NULL;
	int r;

	if (digest)
		return error_set(err, ERR_NOT_FOUND, "docker's archives have no manifest %s", digest);
	r = bundle_text(self->bundle, &text, "manifest.json", MANIFEST_SIZE_MAX, err);
	if (r == 0)
		return error_set(err, ERR_INVALID, "no archive of docker: manifest.json is missing");
	if (r < 0 || json_decode_array(&list, archived_fields, sizeof(struct archived), text, strlen(text), err) < 0)
		return -1;
	image = choose(&list, self->reference, err);
	r = image ? make_manifest(self, &manifest, image, err) : -1;
	json_free_array(&list, archived_fields, sizeof(struct archived));
	if (r < 0)
		return -1;
	manifest.media_type = xstrdup(MEDIA_DOCKER_MANIFEST);
	document_init(out_document, MEDIA_DOCKER_MANIFEST, manifest_encode(&manifest));
	return 0;
}

static int read_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	const char *path = map_get(&of(place)->files, blob->digest);
	struct bundle_file file = { .fd = -1 };
	int r = path ? bundle_find(of(place)->bundle, &file, path, err) : 0;

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "blob %s is missing", blob->digest);
	if (r < 0)
		return -1;
	r = place_copy_proven(file_fd, file.fd, file.offset, blob, err);
	close(file.fd);
	return r;
}

/* ---- writing ---- */

static int put_config(struct docker_place *self, const struct descriptor *blob, int file_fd, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&self->lock);
	AUTO_FREE char *text = xcalloc(1, blob->size + 1);
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = NULL;
	struct digest digest;

	if (pread(file_fd, text, blob->size, 0) != (ssize_t)blob->size)
		return error_set_errno(err, ERR_INTERNAL, errno, "read the config");
	free(self->config);
	self->config = take_ptr(text);
	descriptor_digest(blob, &digest);
	name = xasprintf("%s.json", digest_hex(&digest, hex));
	return tarball_add(self->tarball, name, file_fd, blob->size, err);
}

static int put_blob(struct place *place, const struct descriptor *blob, int file_fd, struct error *err)
{
	struct docker_place *self = of(place);
	struct repacked plain = { .fd = -1 };
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = NULL;
	int r;

	if (media_type_is_config(blob->media_type) && blob->size <= IMAGE_CONFIG_SIZE_MAX)
		return put_config(self, blob, file_fd, err);
	if (media_type_layer_packing(blob->media_type) == LAYER_UNKNOWN)
		return error_set(err, ERR_UNSUPPORTED, "docker's archives hold file systems only, not %s",
				 blob->media_type);
	if (repack_plain(&plain, file_fd, err) < 0)
		return error_prefix(err, "layer %s", blob->digest);
	name = xasprintf("%s.tar", digest_hex(&plain.digest, hex));
	r = tarball_add(self->tarball, name, plain.fd, plain.size, err);
	close(plain.fd);
	return r;
}

static int list_layers(struct docker_place *self, struct archived *image, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };

	if (image_config_decode(&config, self->config, strlen(self->config), err) < 0)
		return -1;
	for (size_t i = 0; i < config.rootfs.diff_ids.count; i++) {
		const char *diff_id = config.rootfs.diff_ids.items[i];
		AUTO_FREE char *name = xasprintf("%s.tar", diff_id + strcspn(diff_id, ":") + 1);

		if (!tarball_has(self->tarball, name))
			return error_set(err, ERR_INVALID,
					 "no layer unpacks to %s, as the config says: layers from manifest don't match "
					 "image configuration",
					 diff_id);
		text_list_add(&image->layers, name);
	}
	return 0;
}

static int put_document(struct place *place, const struct document *document, bool top, struct error *err)
{
	struct docker_place *self = of(place);
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	struct archived image = { 0 };
	struct archived_list list = { .items = &image, .count = 1 };
	AUTO_FREE char *text = NULL;
	int r;

	(void)top;
	if (manifest_decode(&manifest, document->text, document->size, document->media_type, err) < 0)
		return -1;
	if (manifest.kind != MANIFEST_IMAGE || !self->config)
		return error_set(err, ERR_UNSUPPORTED, "docker's archives hold images only");
	image.config = xasprintf("%s.json", manifest.config->digest + strcspn(manifest.config->digest, ":") + 1);
	if (self->reference)
		text_list_add(&image.tags, self->reference);
	r = list_layers(self, &image, err);
	if (r == 0) {
		text = json_encode_array(&list, archived_fields, sizeof(image));
		r = tarball_add_text(self->tarball, "manifest.json", text, err);
	}
	json_free_fields(&image, archived_fields);
	return r;
}

static int finish(struct place *place, struct error *err)
{
	return tarball_finish(of(place)->tarball, err);
}

static void free_place(struct place *place)
{
	struct docker_place *self = of(place);

	bundle_free(self->bundle);
	tarball_free(self->tarball);
	map_fini(&self->files);
	mutex_fini(&self->lock);
	free(self->reference);
	free(self->config);
	free(self);
}

static const struct place_ops ops = {
	.document = read_document,
	.blob = read_blob,
	.put_blob = put_blob,
	.put_document = put_document,
	.finish = finish,
	.free = free_place,
};

/* As docker would show it; only whole names can be loaded. */
static int check_reference(struct docker_place *self, struct error *err)
{
	AUTO(reference_fini) struct reference reference = { 0 };

	if (!self->reference)
		return 0;
	if (reference_parse(&reference, self->reference, err) < 0)
		return -1;
	if (digest_is_set(&reference.digest))
		return error_set(err, ERR_INVALID, "an archive's image has a name and a tag, not a digest");
	reference_default_tag(&reference);
	free(self->reference);
	self->reference = reference_familiar(&reference);
	return 0;
}

static int open_to_write(struct docker_place *self, const char *path, struct error *err)
{
	struct stat status;

	if (stat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
		return error_set(err, ERR_CONFLICT, "%s is there already: docker's archives cannot be added to", path);
	return check_reference(self, err) < 0 ? -1 : tarball_open(&self->tarball, path, err);
}

int place_docker_open(struct place **out_place, const char *rest, enum place_use use, struct error *err)
{
	struct docker_place *self = xcalloc(1, sizeof(*self));
	AUTO(place_freep) struct place *place = &self->place;
	AUTO_FREE char *path = NULL;

	place->ops = &ops;
	place->likes = PLACE_LIKES_DOCKER;
	place->one_image = true;
	place->plain_layers = true;
	map_init(&self->files, free);
	mutex_init(&self->lock);
	place_split(&path, &self->reference, rest);
	if (!*path)
		return error_set(err, ERR_INVALID, "no path is given");
	if (use == PLACE_WRITE ? open_to_write(self, path, err) < 0 : bundle_open_archive(&self->bundle, path, err) < 0)
		return -1;
	*out_place = take_ptr(place);
	return 0;
}
