/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: kist-unpack unpacks the archive into a folder of its own, which
 * goes away at the end. Documents are read there; the file of a layer becomes a
 * blob by a second name, and another kist-unpack makes the layer of it, giving the
 * uncompressed bytes back to be hashed: the diff id must be what the config says.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/quote.h"
#include "engine/engine.h"
#include "engine/image_archive.h"
#include "engine/image_commit.h"
#include "engine/image_lookup.h"
#include "engine/image_progress.h"
#include "engine/image_source.h"
#include "oci/hasher.h"
#include "sys/in_root.h"

#define RESERVED_BYTES (4 * 1024 * 1024)
#define COPY_SIZE (256 * 1024)
#define REPORT_NS (100 * CLOCK_MS)

struct load {
	struct engine *engine;
	const struct image_load_options *options;
	struct store *store;
	struct lease *lease;
	struct progress progress;
	struct platform platform; /* wanted; architecture NULL: any */
	struct layer_writer *folder;
	struct map blobs; /* path of a layer -> digest it is stored under */
};

struct loading {
	struct load *load;
	const struct archive_image *image;
	struct digest id;
	struct image_config config;
	struct image_layers_new layers;
	struct reference *names;
	struct digest *previous; /* what each meant before */
	size_t name_count;
};

static int folder_fd(const struct load *load)
{
	return layer_writer_fd(load->folder);
}

static int unpacked_limit(uint64_t *out_bytes, struct load *load, struct error *err)
{
	uint64_t free_bytes;

	if (store_free_bytes(&free_bytes, load->store, err) < 0)
		return -1;
	*out_bytes = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	return 0;
}

/* ---- the archive ---- */

static int unpack_archive(struct load *load, struct error *err)
{
	struct unpack_options options = { .stream_fd = load->options->stream_fd, .lowest = true, .devices = "refuse" };
	AUTO(unpack_result_fini) struct unpack_result result = { 0 };
	AUTO(unpack_freep) struct unpack *unpack = NULL;

	if (unpacked_limit(&options.limit_bytes, load, err) < 0 ||
	    layer_writer_new(&load->folder, load->store, err) < 0)
		return -1;
	options.target_fd = folder_fd(load);
	if (unpack_start(&unpack, &options, err) < 0 || unpack_wait(&result, unpack, load->options->cancel_fd, err) < 0)
		return -1;
	/* A tar that is cut between two entries looks whole. */
	return load->options->whole ? load->options->whole(load->options->whole_arg, err) : 0;
}

/* ---- blobs ---- */

static int put_leased(struct digest *out_digest, struct load *load, const char *text, size_t size, struct error *err)
{
	digest_of(out_digest, DIGEST_SHA256, text, size);
	lease_add(load->lease, out_digest);
	return blob_put(out_digest, store_blobs(load->store), text, size, err);
}

static int copy_blob(struct load *load, int fd, const struct digest *digest, struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	AUTO_FREE char *block = xmalloc(COPY_SIZE);
	off_t at = 0;
	ssize_t got;

	if (blob_writer_new(&writer, store_blobs(load->store), BLOB_NO_LIMIT, err) < 0)
		return -1;
	while ((got = pread(fd, block, COPY_SIZE, at)) > 0) {
		if (blob_writer_write(writer, block, (size_t)got, err) < 0)
			return -1;
		at += got;
	}
	if (got < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read a layer of the archive");
	return blob_writer_commit(writer, digest, err);
}

/* The same file under a second name, if it has no other; else a copy. */
static int name_blob(struct load *load, const char *path, int fd, const struct digest *digest, struct error *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int parent = parent_in_root(folder_fd(load), path, false, &name);
	int stored = blob_exists(store_blobs(load->store), digest, err);
	struct stat opened;
	struct stat named;

	if (stored != 0)
		return stored < 0 ? -1 : 0;
	if (parent >= 0 && fstat(fd, &opened) == 0 && opened.st_nlink == 1 &&
	    fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(named.st_mode) &&
	    named.st_ino == opened.st_ino && named.st_dev == opened.st_dev)
		return blob_adopt(store_blobs(load->store), parent, name, digest, err);
	return copy_blob(load, fd, digest, err);
}

/* The file at `path` as a blob. */
static int take_blob(struct digest *out_digest, struct load *load, const char *path, struct error *err)
{
	const char *known = map_get(&load->blobs, path);
	char text[DIGEST_TEXT_MAX];
	AUTO_CLOSE int fd = -1;
	int r;

	if (known)
		return digest_parse(out_digest, known, err);
	fd = archive_open(folder_fd(load), path, err);
	if (fd < 0)
		return -1;
	r = digest_of_fd(out_digest, DIGEST_SHA256, fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s of the archive", path);
	lease_add(load->lease, out_digest);
	if (name_blob(load, path, fd, out_digest, err) < 0)
		return -1;
	map_set(&load->blobs, path, xstrdup(digest_text(out_digest, text)));
	return 0;
}

/* ---- layers ---- */

struct hashing {
	struct load *load;
	struct hasher *hasher;
	int stream_fd; /* what kist-unpack reads: its position is how far we are */
	uint64_t size;
	int64_t reported_ns;
	char id[IMAGE_SHORT_ID_MAX];
};

static void report_layer(struct hashing *hashing, bool always)
{
	int64_t now = clock_monotonic_ns();
	off_t at = lseek(hashing->stream_fd, 0, SEEK_CUR);

	if (hashing->load->options->quiet || (!always && now - hashing->reported_ns < REPORT_NS))
		return;
	hashing->reported_ns = now;
	progress_bytes(&hashing->load->progress, hashing->id, "Loading layer", always ? hashing->size : (uint64_t)at,
		       hashing->size);
}

static int take_unpacked(void *arg, const void *data, size_t size, struct error *err)
{
	struct hashing *hashing = arg;

	(void)err;
	hasher_add(hashing->hasher, data, size);
	report_layer(hashing, false);
	return 0;
}

static int run_unpack(struct image_layer *layer, struct hashing *hashing, bool lowest, struct error *err)
{
	struct unpack_options options = { .stream_fd = hashing->stream_fd,
					  .lowest = lowest,
					  .marks_apart = store_driver(hashing->load->store) == STORE_COPY,
					  .tee = true };
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	AUTO_CLOSE int tee_fd = -1;
	AUTO(error_clear) struct error stream_err = { 0 };
	int cancel_fd = hashing->load->options->cancel_fd;

	if (unpacked_limit(&options.limit_bytes, hashing->load, err) < 0)
		return -1;
	options.target_fd = layer_writer_fd(layer->writer);
	if (unpack_start(&unpack, &options, err) < 0)
		return -1;
	tee_fd = unpack_take_tee_fd(unpack);
	if (image_read_stream(tee_fd, cancel_fd, take_unpacked, hashing, &stream_err) < 0)
		return error_move(err, &stream_err);
	return unpack_wait(&layer->unpacked, unpack, cancel_fd, err);
}

static int unpack_layer(struct loading *loading, size_t index, struct error *err)
{
	struct image_layer *layer = &loading->layers.items[index];
	struct load *load = loading->load;
	struct hashing hashing = { .load = load };
	AUTO_CLOSE int fd = blob_open(store_blobs(load->store), &layer->blob, err);
	char wanted[DIGEST_TEXT_MAX];
	char got[DIGEST_TEXT_MAX];
	struct digest actual;
	int r;

	if (fd < 0 || blob_size(&hashing.size, store_blobs(load->store), &layer->blob, err) < 0 ||
	    layer_writer_new(&layer->writer, load->store, err) < 0)
		return -1;
	hashing.stream_fd = fd;
	hashing.hasher = hasher_new(layer->diff_id.algorithm);
	image_short_id(hashing.id, &layer->diff_id);
	r = run_unpack(layer, &hashing, index == 0, err);
	hasher_digest(hashing.hasher, &actual);
	hasher_free(hashing.hasher);
	if (r < 0)
		return -1;
	if (!digest_equal(&actual, &layer->diff_id))
		return error_set(err, ERR_INVALID, "invalid diffID for layer %zu: expected \"%s\", got \"%s\"", index,
				 digest_text(&layer->diff_id, wanted), digest_text(&actual, got));
	report_layer(&hashing, true);
	return 0;
}

/* 1 if the layer is stored, with its blob. */
static int is_stored(struct loading *loading, struct image_layer *layer, bool *out_files, struct error *err)
{
	struct load *load = loading->load;
	struct layer stored;
	int r = layer_find(&stored, load->store, &layer->chain_id, err);

	*out_files = r > 0;
	if (r <= 0)
		return r;
	lease_add(load->lease, &stored.blob);
	r = blob_exists(store_blobs(load->store), &stored.blob, err);
	if (r > 0)
		layer->blob = stored.blob;
	return r;
}

static int load_layer(struct loading *loading, size_t index, struct error *err)
{
	struct image_layer *layer = &loading->layers.items[index];
	const char *path = loading->image->layers.items[index];
	bool has_files;
	int r = is_stored(loading, layer, &has_files, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (take_blob(&layer->blob, loading->load, path, err) < 0 || unpack_layer(loading, index, err) < 0)
		return error_prefix(err, "layer %s", path);
	if (!has_files)
		return 0;
	/* Only the archive was missing: it has been proven, its files are here. */
	layer_writer_free(take_ptr(layer->writer));
	return layer_set_blob(loading->load->store, &layer->chain_id, &layer->blob, err);
}

static int load_layers(struct loading *loading, struct error *err)
{
	size_t wanted = loading->config.rootfs.diff_ids.count;

	if (loading->image->layers.count != wanted)
		return error_set(err, ERR_INVALID, "invalid manifest, layers length mismatch: expected %zu, got %zu",
				 wanted, loading->image->layers.count);
	if (image_layers_init(&loading->layers, &loading->config, loading->load->lease, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted; i++)
		if (load_layer(loading, i, err) < 0)
			return -1;
	return image_layers_commit(&loading->layers, err);
}

/* ---- config and manifest ---- */

static int check_config(const struct loading *loading, struct error *err)
{
	const struct platform *wanted = &loading->load->platform;
	AUTO(platform_fini) struct platform offered = { 0 };

	if (!text_empty(loading->config.os) && !text_equal(loading->config.os, "linux"))
		return error_set(err, ERR_UNSUPPORTED, "image operating system \"%s\" cannot be used on this platform",
				 loading->config.os);
	image_config_platform(&loading->config, &offered);
	if (!wanted->architecture || platform_rank(wanted, &offered, PLATFORM_STRICT) >= 0)
		return 0;
	return error_set(err, ERR_NOT_FOUND, "requested platform (%s/%s) not found: the archive has %s/%s", wanted->os,
			 wanted->architecture, offered.os, offered.architecture);
}

static int load_config(struct loading *loading, struct error *err)
{
	struct load *load = loading->load;
	AUTO_FREE char *text = NULL;
	size_t size;

	if (archive_read_file(&text, &size, folder_fd(load), loading->image->config, IMAGE_CONFIG_SIZE_MAX, err) < 0)
		return -1;
	if (image_config_decode(&loading->config, text, size, err) < 0)
		return error_prefix(err, "%s in the archive", loading->image->config);
	if (check_config(loading, err) < 0)
		return -1;
	return put_leased(&loading->id, load, text, size, err);
}

/* 1 if the archive's own manifest says exactly what we stored, and is stored now too. */
static int keep_manifest(struct digest *out_manifest, struct loading *loading, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *text = NULL;
	char digest[DIGEST_TEXT_MAX];
	size_t size;

	if (!loading->image->manifest ||
	    archive_read_file(&text, &size, folder_fd(loading->load), loading->image->manifest, MANIFEST_SIZE_MAX,
			      &ignored) < 0 ||
	    manifest_decode(&manifest, text, size, NULL, &ignored) < 0 || manifest.kind != MANIFEST_IMAGE ||
	    manifest.layers.count != loading->layers.count ||
	    !text_equal(manifest.config->digest, digest_text(&loading->id, digest)))
		return 0;
	for (size_t i = 0; i < manifest.layers.count; i++)
		if (!text_equal(manifest.layers.items[i].digest, digest_text(&loading->layers.items[i].blob, digest)))
			return 0;
	return put_leased(out_manifest, loading->load, text, size, err) < 0 ? -1 : 1;
}

/* One of our own, for what is stored. */
static int make_manifest(struct digest *out_manifest, struct loading *loading, struct error *err)
{
	AUTO(image_source_fini) struct image_source source = { 0 };
	struct image_record record = { .id = loading->id };
	AUTO_FREE char *text = NULL;
	struct load *load = loading->load;

	if (image_source_load(&source, load->engine, &record, load->lease, err) < 0)
		return -1;
	text = image_source_manifest(&source, out_manifest);
	return put_leased(out_manifest, load, text, strlen(text), err);
}

/* Of an image that is here already, nothing changes: not set. */
static int find_manifest(struct digest *out_manifest, struct loading *loading, struct error *err)
{
	struct image_record before = { 0 };
	int r = image_record_find(&before, loading->load->store, &loading->id, err);

	*out_manifest = (struct digest){ 0 };
	if (r < 0 || (r > 0 && digest_is_set(&before.manifest)))
		return r < 0 ? -1 : 0;
	r = keep_manifest(out_manifest, loading, err);
	if (r == 0)
		r = make_manifest(out_manifest, loading, err);
	return r < 0 ? -1 : 0;
}

/* ---- names ---- */

static void tell(struct load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct load *load, const char *format, ...)
{
	AUTO(text_fini) struct text json = { 0 };
	AUTO_FREE char *line = NULL;
	va_list args;

	va_start(args, format);
	line = xvasprintf(format, args);
	va_end(args);
	text_add(&json, "{\"stream\":");
	quote_json(&json, line, strlen(line));
	text_add(&json, "}");
	progress_line(&load->progress, json.data);
}

/* Before anything else is done. */
static int read_names(struct loading *loading, struct error *err)
{
	const struct text_list *names = &loading->image->repo_tags;

	loading->names = xcalloc(names->count + 1, sizeof(*loading->names));
	loading->previous = xcalloc(names->count + 1, sizeof(*loading->previous));
	for (size_t i = 0; i < names->count; i++) {
		struct reference *name = &loading->names[loading->name_count];

		if (reference_parse(name, names->items[i], err) < 0)
			return error_prefix(err, "name \"%s\" in the archive", names->items[i]);
		loading->name_count++;
		if (digest_is_set(&name->digest))
			reference_fini(&loading->names[--loading->name_count]);
		else
			reference_default_tag(name);
	}
	return 0;
}

static void tell_names(struct loading *loading)
{
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < loading->name_count; i++) {
		AUTO_FREE char *familiar = reference_familiar(&loading->names[i]);
		const struct digest *previous = &loading->previous[i];

		if (digest_is_set(previous) && !digest_equal(previous, &loading->id))
			tell(loading->load,
			     "The image %s already exists, renaming the old one with ID %s to empty string\n", familiar,
			     digest_text(previous, text));
		tell(loading->load, "Loaded image: %s\n", familiar);
	}
	digest_text(&loading->id, text);
	if (loading->name_count == 0)
		tell(loading->load, "Loaded image ID: %s\n", text);
	image_event(loading->load->engine, "load", text, &loading->id, text);
}

static void loading_fini(struct loading *loading)
{
	for (size_t i = 0; i < loading->name_count; i++)
		reference_fini(&loading->names[i]);
	free(loading->names);
	free(loading->previous);
	image_config_fini(&loading->config);
	image_layers_fini(&loading->layers);
}

static int load_image(struct load *load, const struct archive_image *image, struct error *err)
{
	AUTO(loading_fini) struct loading loading = { .load = load, .image = image };

	struct digest manifest;

	if (read_names(&loading, err) < 0 || load_config(&loading, err) < 0 || load_layers(&loading, err) < 0 ||
	    find_manifest(&manifest, &loading, err) < 0 ||
	    image_commit_named(load->store, &loading.id, &manifest, &loading.config, &loading.layers, loading.names,
			       loading.name_count, loading.previous, err) < 0)
		return -1;
	tell_names(&loading);
	return 0;
}

/* ---- all of it ---- */

static int load_images(struct load *load, struct error *err)
{
	AUTO(archive_images_fini) struct archive_images images = { 0 };
	const char *platform = load->options->platform;

	if (!text_empty(platform) && json_decode(&load->platform, platform_fields, platform, strlen(platform), err) < 0)
		return error_prefix(err, "failed to parse platform");
	if (unpack_archive(load, err) < 0 ||
	    archive_read(&images, folder_fd(load), load->platform.architecture ? &load->platform : NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < images.count; i++)
		if (load_image(load, &images.items[i], err) < 0)
			return -1;
	return 0;
}

int image_load(struct engine *engine, const struct image_load_options *options, struct error *err)
{
	struct load load = { .engine = engine, .options = options, .store = engine_store(engine) };
	AUTO(error_clear) struct error ignored = { 0 };
	struct store_garbage garbage;
	int r;

	load.lease = lease_new(load.store);
	map_init(&load.blobs, free);
	progress_init(&load.progress, options->progress, options->progress_arg);
	r = load_images(&load, err);
	progress_fini(&load.progress);
	map_fini(&load.blobs);
	platform_fini(&load.platform);
	layer_writer_free(load.folder);
	lease_free(load.lease);
	/* Blobs and layers of an image that did not come to be. */
	if (r < 0)
		store_collect(&garbage, load.store, &ignored);
	return r;
}
