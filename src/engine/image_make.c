/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_make.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "archive/link_tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "engine/engine.h"
#include "engine/image_commit.h"
#include "oci/hasher.h"
#include "oci/manifest.h"
#include "store/database.h"
#include "store/files.h"
#include "store/image_name.h"
#include "store/snapshot.h"

/* ---- a snapshot's changes as a layer ---- */

static int take(void *arg, const void *data, size_t size, struct error *err)
{
	return blob_writer_write(arg, data, size, err);
}

/* 1 and the blob is stored, 0 if nothing changed. */
static int store_changes(struct layer_made *made, struct engine *engine, const struct layer_make *options,
			 struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	AUTO(text_list_fini) struct text_list request = { 0 };
	AUTO(files_freep) struct files *files = NULL;
	struct store *store = engine_store(engine);
	struct files_result result;

	if (files_add_snapshot(&request, store, options->key, err) < 0)
		return -1;
	for (size_t i = 0; options->mounts && i < options->mounts->count; i++)
		text_list_addf(&request, "mount=%s", options->mounts->items[i]);
	if (!options->keep)
		text_list_add(&request, "remove-mount-points=1");
	text_list_addf(&request, "latest=%lld", (long long)options->latest_s);
	if (files_start(&files, "diff", &request, -1, err) < 0 ||
	    blob_writer_new(&writer, store_blobs(store), BLOB_NO_LIMIT, err) < 0 ||
	    image_read_stream(files_output_fd(files), options->cancel_fd, take, writer, err) < 0 ||
	    files_wait(&result, files, options->cancel_fd, err) < 0)
		return -1;
	if (!result.changed)
		return 0;
	made->size_bytes = result.bytes;
	blob_writer_digest(writer, &made->diff_id);
	lease_add(options->lease, &made->diff_id);
	return blob_writer_commit(writer, &made->diff_id, err) < 0 ? -1 : 1;
}

/* The files of a snapshot that is still in use, from their tar. */
static int copy_files(struct image_layer *layer, struct store *store, const struct layer_make *options, bool lowest,
		      struct error *err)
{
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	AUTO_CLOSE int blob_fd = blob_open(store_blobs(store), &layer->diff_id, err);
	struct unpack_options unpack_options = { .stream_fd = blob_fd,
						 .lowest = lowest,
						 .marks_apart = store_driver(store) == STORE_COPY };

	if (blob_fd < 0 || layer_writer_new(&layer->writer, store, err) < 0)
		return -1;
	unpack_options.target_fd = layer_writer_fd(layer->writer);
	if (unpack_start(&unpack, &unpack_options, err) < 0)
		return -1;
	return unpack_wait(&layer->unpacked, unpack, options->cancel_fd, err);
}

static int add_below(struct image_layers_new *layers, struct store *store, const struct digest *chain_id,
		     struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };

	if (layer_stack_load(&stack, store, chain_id, err) < 0)
		return -1;
	layers->count = stack.count + 1;
	layers->items = xcalloc(layers->count, sizeof(*layers->items));
	for (size_t i = 0; i < stack.count; i++) {
		struct image_layer *layer = &layers->items[stack.count - 1 - i];

		layer->chain_id = stack.items[i].chain_id;
		layer->diff_id = stack.items[i].diff_id;
	}
	return 0;
}

static int commit_changes(struct layer_made *made, struct engine *engine, const struct layer_make *options,
			  struct error *err)
{
	AUTO(image_layers_fini) struct image_layers_new layers = { 0 };
	struct store *store = engine_store(engine);
	struct image_layer *top;
	struct layer there;
	int r;

	if (add_below(&layers, store, &made->chain_id, err) < 0)
		return -1;
	top = &layers.items[layers.count - 1];
	chain_id_add(&made->chain_id, &made->diff_id);
	lease_add(options->lease, &made->chain_id);
	top->chain_id = made->chain_id;
	top->diff_id = made->diff_id;
	top->blob = made->diff_id;
	r = layer_find(&there, store, &made->chain_id, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (options->keep || !layer_takes_snapshots(store)) {
		if (copy_files(top, store, options, layers.count == 1, err) < 0)
			return -1;
	} else {
		if (layer_writer_take_snapshot(&top->writer, store, options->key, err) < 0)
			return -1;
		top->unpacked.bytes = made->size_bytes;
		top->unpacked.has_root = true;
	}
	return image_layers_commit(&layers, err);
}

int layer_make(struct layer_made *out_made, struct engine *engine, const struct layer_make *options, struct error *err)
{
	struct layer_made made = { 0 };
	int r;

	if (snapshot_chain_id(&made.chain_id, engine_store(engine), options->key, err) < 0)
		return -1;
	if (digest_is_set(&made.chain_id))
		lease_add(options->lease, &made.chain_id);
	r = store_changes(&made, engine, options, err);
	if (r > 0 && commit_changes(&made, engine, options, err) < 0)
		return -1;
	if (r < 0)
		return -1;
	*out_made = made;
	return options->keep ? 0 : snapshot_remove(engine_store(engine), options->key, err);
}

/* ---- a layer on other layers ---- */

static int link_files(struct image_layer *top, struct store *store, const struct layer *alone, struct error *err)
{
	AUTO_CLOSE int path_fd = layer_open(store, alone, err);
	AUTO_CLOSE int fd = -1;

	if (path_fd < 0 || layer_writer_new(&top->writer, store, err) < 0)
		return -1;
	fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open a layer");
	if (link_tree(fd, layer_writer_fd(top->writer), err) < 0)
		return -1;
	top->unpacked.bytes = alone->size;
	top->unpacked.has_root = true;
	return 0;
}

/* Where links cannot be had, or a folder holds all below too, the blob is unpacked again. */
static int fill_rebased(struct image_layer *top, struct store *store, const struct layer *alone,
			const struct layer_rebase *options, bool lowest, struct error *err)
{
	const struct layer_make copy = { .cancel_fd = options->cancel_fd };
	AUTO(error_clear) struct error problem = { 0 };

	if (layer_takes_snapshots(store)) {
		if (link_files(top, store, alone, &problem) == 0)
			return 0;
		if (problem.errnum != EMLINK && problem.errnum != EXDEV && problem.errnum != EPERM)
			return error_move(err, &problem);
		layer_writer_free(take_ptr(top->writer));
	}
	return copy_files(top, store, &copy, lowest, err);
}

static int rebase(struct layer_made *made, struct engine *engine, const struct layer *alone,
		  const struct layer_rebase *options, struct error *err)
{
	AUTO(image_layers_fini) struct image_layers_new layers = { 0 };
	struct store *store = engine_store(engine);
	struct image_layer *top;

	if (add_below(&layers, store, &options->below, err) < 0)
		return -1;
	top = &layers.items[layers.count - 1];
	top->chain_id = made->chain_id;
	top->diff_id = alone->diff_id;
	top->blob = alone->blob;
	if (fill_rebased(top, store, alone, options, layers.count == 1, err) < 0)
		return -1;
	return image_layers_commit(&layers, err);
}

int layer_rebase(struct layer_made *out_made, struct engine *engine, const struct layer_rebase *options,
		 struct error *err)
{
	struct store *store = engine_store(engine);
	struct layer_made made = { .chain_id = options->below };
	char text[DIGEST_TEXT_MAX];
	struct layer alone;
	struct layer there;
	int r = layer_find(&alone, store, &options->layer, err);

	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "layer %s is not stored", digest_text(&options->layer, text));
	if (r < 0)
		return -1;
	made.diff_id = alone.diff_id;
	made.size_bytes = alone.size;
	chain_id_add(&made.chain_id, &made.diff_id);
	lease_add(options->lease, &made.chain_id);
	lease_add(options->lease, &made.diff_id);
	r = layer_find(&there, store, &made.chain_id, err);
	if (r == 0)
		r = rebase(&made, engine, &alone, options, err);
	if (r < 0)
		return -1;
	*out_made = made;
	return 0;
}

/* ---- an image ---- */

static void add_descriptor(struct manifest *manifest, const char *media_type, const char *digest, uint64_t size)
{
	struct descriptor *descriptor = json_array_add(&manifest->layers, sizeof(*descriptor));

	descriptor->media_type = xstrdup(media_type);
	descriptor->digest = xstrdup(digest);
	descriptor->size = size;
}

static const char *oci_media_type(const char *media_type)
{
	switch (media_type_layer_packing(media_type)) {
	case LAYER_TAR:
		return MEDIA_OCI_LAYER;
	case LAYER_TAR_GZIP:
		return MEDIA_OCI_LAYER_GZIP;
	case LAYER_TAR_ZSTD:
		return MEDIA_OCI_LAYER_ZSTD;
	default:
		return media_type;
	}
}

/* What the base image says about its own layers. None of it is needed: an image without a manifest is one too. */
static void add_base_layers(struct manifest *manifest, struct engine *engine, const struct digest *base)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *text = NULL;
	struct store *store = engine_store(engine);
	struct manifest below = { 0 };
	struct image_record record;
	size_t size;

	if (!digest_is_set(base) || image_record_find(&record, store, base, &ignored) <= 0 ||
	    !digest_is_set(&record.manifest) ||
	    blob_read(&text, &size, store_blobs(store), &record.manifest, MANIFEST_SIZE_MAX, &ignored) < 0 ||
	    manifest_decode(&below, text, size, NULL, &ignored) < 0)
		return;
	for (size_t i = 0; i < below.layers.count; i++) {
		const struct descriptor *layer = &below.layers.items[i];

		add_descriptor(manifest, oci_media_type(layer->media_type), layer->digest, layer->size);
	}
	manifest_fini(&below);
}

/* 1 if every layer has a blob. */
static int fill_layers(struct manifest *manifest, struct engine *engine, const struct image_make *options,
		       struct error *err)
{
	const struct text_list *diff_ids = &options->config->rootfs.diff_ids;

	add_base_layers(manifest, engine, &options->base);
	if (manifest->layers.count > diff_ids->count)
		return 0;
	for (size_t i = manifest->layers.count; i < diff_ids->count; i++) {
		struct digest digest;
		uint64_t size;
		int r;

		if (digest_parse(&digest, diff_ids->items[i], err) < 0)
			return -1;
		r = blob_size(&size, store_blobs(engine_store(engine)), &digest, err);
		if (r <= 0)
			return r;
		lease_add(options->lease, &digest);
		add_descriptor(manifest, MEDIA_OCI_LAYER, diff_ids->items[i], size);
	}
	return 1;
}

static int put_leased(struct digest *out_digest, struct engine *engine, struct lease *lease, const char *text,
		      struct error *err)
{
	digest_of(out_digest, DIGEST_SHA256, text, strlen(text));
	lease_add(lease, out_digest);
	return blob_put(out_digest, store_blobs(engine_store(engine)), text, strlen(text), err);
}

static int put_manifest(struct digest *out_digest, struct engine *engine, const struct image_make *options,
			const struct digest *config, uint64_t config_size, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { .kind = MANIFEST_IMAGE, .schema_version = 2 };
	AUTO_FREE char *text = NULL;
	char digest[DIGEST_TEXT_MAX];
	int r = fill_layers(&manifest, engine, options, err);

	if (r <= 0)
		return r;
	manifest.media_type = xstrdup(MEDIA_OCI_MANIFEST);
	manifest.config = xcalloc(1, sizeof(*manifest.config));
	manifest.config->media_type = xstrdup(MEDIA_OCI_CONFIG);
	manifest.config->digest = xstrdup(digest_text(config, digest));
	manifest.config->size = config_size;
	if (options->annotations)
		text_map_copy(&manifest.annotations, options->annotations);
	text = manifest_encode(&manifest);
	return put_leased(out_digest, engine, options->lease, text, err);
}

/* moby.buildkit.cache.v0 is no member of image_config: whoever makes another image of this one drops it. */
static char *encode_config(const struct image_make *options)
{
	AUTO_FREE char *text = image_config_encode(options->config);
	size_t size = strlen(text);

	if (!options->cache)
		return take_ptr(text);
	return xasprintf("%.*s,\"moby.buildkit.cache.v0\":\"%s\"}", (int)size - 1, text, options->cache);
}

static int record_and_name(struct store *store, const struct digest *id, const struct digest *manifest,
			   const struct image_make *options, const struct image_layers_new *layers, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;

	if (transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0 ||
	    image_commit_record(store, id, manifest, options->config, layers, &options->parent, err) < 0)
		return -1;
	if (options->name && image_name_set(store, options->name, id, NULL, err) < 0)
		return -1;
	return transaction_commit(transaction, err);
}

/* Written only if it means another image yet: what is built again and again is named already. */
static int set_name(struct store *store, const struct reference *name, const struct digest *id, struct error *err)
{
	struct digest there;
	int r = image_name_find(&there, store, name, err);

	if (r < 0 || (r > 0 && digest_equal(&there, id)))
		return r < 0 ? -1 : 0;
	return image_name_set(store, name, id, NULL, err);
}

int image_make(struct digest *out_id, struct engine *engine, const struct image_make *options, struct error *err)
{
	AUTO(image_layers_fini) struct image_layers_new layers = { 0 };
	AUTO_FREE char *config = encode_config(options);
	struct store *store = engine_store(engine);
	struct image_record there;
	struct digest manifest = { 0 };
	int r;

	digest_of(out_id, DIGEST_SHA256, config, strlen(config));
	lease_add(options->lease, out_id);
	if (image_layers_init(&layers, options->config, options->lease, err) < 0)
		return -1;
	r = image_record_find(&there, store, out_id, err);
	if (r < 0)
		return -1;
	/* Annotations are no part of an image's id. */
	if (r > 0 && !(options->annotations && options->annotations->count > 0))
		return options->name ? set_name(store, options->name, out_id, err) : 0;
	if (put_leased(out_id, engine, options->lease, config, err) < 0 ||
	    put_manifest(&manifest, engine, options, out_id, strlen(config), err) < 0)
		return -1;
	fault_point("kistd commit: manifest written");
	return record_and_name(store, out_id, &manifest, options, &layers, err);
}

int image_make_apart(struct image_record *out_record, struct engine *engine, const struct image_make *options,
		     struct error *err)
{
	AUTO(image_layers_fini) struct image_layers_new layers = { 0 };
	AUTO_FREE char *config = encode_config(options);
	struct image_record record = { 0 };

	if (image_layers_init(&layers, options->config, options->lease, err) < 0 ||
	    put_leased(&record.id, engine, options->lease, config, err) < 0 ||
	    put_manifest(&record.manifest, engine, options, &record.id, strlen(config), err) < 0)
		return -1;
	*out_record = record;
	return 0;
}
