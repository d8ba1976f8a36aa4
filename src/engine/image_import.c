/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: kist-unpack reads the stream, unpacks it and gives its
 * uncompressed bytes back, which are only hashed and stored here. The image gets
 * a manifest of its own, so that it can be pushed, and its blobs are kept.
 */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/image_changes.h"
#include "engine/image_commit.h"
#include "engine/image_lookup.h"
#include "engine/image_progress.h"
#include "oci/hasher.h"
#include "oci/manifest.h"
#include "oci/platform.h"

#define RESERVED_BYTES (4 * 1024 * 1024)

struct import {
	struct engine *engine;
	const struct image_import_options *options;
	struct store *store;
	struct lease *lease;
	struct reference reference; /* path NULL: no name */
	struct platform platform;
	struct image_config config;
	struct image_layers_new layers;
	struct layer_writer *writer;
	struct unpack_result unpacked;
	uint64_t layer_size;
	struct digest diff_id;
};

/* ---- the layer ---- */

struct arriving {
	struct import *import;
	struct blob_writer *writer;
};

static int take_bytes(void *arg, const void *data, size_t size, struct error *err)
{
	struct arriving *arriving = arg;

	arriving->import->layer_size += size;
	return blob_writer_write(arriving->writer, data, size, err);
}

static int store_stream(struct import *import, int fd, struct error *err)
{
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	struct arriving arriving = { .import = import };

	if (blob_writer_new(&writer, store_blobs(import->store), BLOB_NO_LIMIT, err) < 0)
		return -1;
	arriving.writer = writer;
	if (image_read_stream(fd, import->options->cancel_fd, take_bytes, &arriving, err) < 0)
		return -1;
	/* Leased before it has its name: the same archive may have been here before, and be collected right now. */
	blob_writer_digest(writer, &import->diff_id);
	lease_add(import->lease, &import->diff_id);
	return blob_writer_commit(writer, &import->diff_id, err);
}

static int unpack_layer(struct import *import, struct error *err)
{
	struct unpack_options options = { .stream_fd = import->options->stream_fd, .lowest = true, .tee = true };
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	AUTO_CLOSE int tee_fd = -1;
	uint64_t free_bytes;

	if (store_free_bytes(&free_bytes, import->store, err) < 0 ||
	    layer_writer_new(&import->writer, import->store, err) < 0)
		return -1;
	options.limit_bytes = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	options.target_fd = layer_writer_fd(import->writer);
	if (unpack_start(&unpack, &options, err) < 0)
		return -1;
	tee_fd = unpack_take_tee_fd(unpack);
	if (store_stream(import, tee_fd, err) < 0)
		return -1;
	if (unpack_wait(&import->unpacked, unpack, import->options->cancel_fd, err) < 0)
		return -1;
	/* A tar that is cut between two entries looks whole. */
	return import->options->whole ? import->options->whole(import->options->whole_arg, err) : 0;
}

/* ---- config and manifest ---- */

static int make_config(struct import *import, struct error *err)
{
	struct image_history *step = json_array_add(&import->config.history, sizeof(*step));
	char now[CLOCK_TEXT_MAX];
	char text[DIGEST_TEXT_MAX];

	clock_format(now, clock_wall_ns());
	import->config.created = xstrdup(now);
	import->config.architecture = xstrdup(import->platform.architecture);
	/* amd64's levels say what a machine can do, not what an archive needs. */
	if (!text_equal(import->platform.architecture, "amd64"))
		import->config.variant = xstrdup(import->platform.variant);
	import->config.os = xstrdup(import->platform.os);
	import->config.rootfs.type = xstrdup("layers");
	text_list_add(&import->config.rootfs.diff_ids, digest_text(&import->diff_id, text));
	step->created = xstrdup(now);
	step->comment = xstrdup(text_empty(import->options->message) ? "Imported from -" : import->options->message);
	return image_changes_apply(&import->config.config, import->options->changes, err);
}

static void fill_descriptor(struct descriptor *descriptor, const char *media_type, const struct digest *digest,
			    uint64_t size)
{
	char text[DIGEST_TEXT_MAX];

	descriptor->media_type = xstrdup(media_type);
	descriptor->digest = xstrdup(digest_text(digest, text));
	descriptor->size = size;
}

static int put_leased(struct digest *out_digest, struct import *import, const char *text, struct error *err)
{
	digest_of(out_digest, DIGEST_SHA256, text, strlen(text));
	lease_add(import->lease, out_digest);
	return blob_put(out_digest, store_blobs(import->store), text, strlen(text), err);
}

static int put_documents(struct digest *out_id, struct digest *out_manifest, struct import *import, struct error *err)
{
	AUTO(manifest_fini) struct manifest manifest = { .kind = MANIFEST_IMAGE, .schema_version = 2 };
	AUTO_FREE char *config = image_config_encode(&import->config);
	AUTO_FREE char *text = NULL;

	if (put_leased(out_id, import, config, err) < 0)
		return -1;
	manifest.media_type = xstrdup(MEDIA_OCI_MANIFEST);
	manifest.config = xcalloc(1, sizeof(*manifest.config));
	fill_descriptor(manifest.config, MEDIA_OCI_CONFIG, out_id, strlen(config));
	fill_descriptor(json_array_add(&manifest.layers, sizeof(struct descriptor)), MEDIA_OCI_LAYER, &import->diff_id,
			import->layer_size);
	text = manifest_encode(&manifest);
	return put_leased(out_manifest, import, text, err);
}

/* ---- all of it ---- */

static int commit(struct digest *out_id, struct import *import, struct error *err)
{
	struct digest manifest;

	if (make_config(import, err) < 0 || put_documents(out_id, &manifest, import, err) < 0 ||
	    image_layers_init(&import->layers, &import->config, import->lease, err) < 0)
		return -1;
	import->layers.items[0].blob = import->diff_id;
	import->layers.items[0].writer = take_ptr(import->writer);
	import->layers.items[0].unpacked = import->unpacked;
	import->unpacked = (struct unpack_result){ 0 };
	if (image_layers_commit(&import->layers, err) < 0)
		return -1;
	return image_commit_named(import->store, out_id, &manifest, &import->config, &import->layers,
				  &import->reference, import->reference.path ? 1 : 0, NULL, err);
}

static int prepare(struct import *import, struct error *err)
{
	const struct image_import_options *options = import->options;

	if (text_empty(options->platform))
		platform_host(&import->platform);
	else if (platform_parse(&import->platform, options->platform, err) < 0)
		return -1;
	if (image_changes_check(options->changes, err) < 0)
		return -1;
	if (text_empty(options->repo))
		return 0;
	if (image_parse_reference(&import->reference, options->repo, options->tag, err) < 0)
		return -1;
	if (digest_is_set(&import->reference.digest))
		return error_set(err, ERR_INVALID, "cannot import digest reference");
	return 0;
}

static void import_fini(struct import *import)
{
	layer_writer_free(import->writer);
	unpack_result_fini(&import->unpacked);
	image_layers_fini(&import->layers);
	image_config_fini(&import->config);
	platform_fini(&import->platform);
	reference_fini(&import->reference);
	lease_free(import->lease);
}

int image_import(struct digest *out_id, struct engine *engine, const struct image_import_options *options,
		 struct error *err)
{
	AUTO(import_fini)
	struct import import = { .engine = engine, .options = options, .store = engine_store(engine) };
	struct progress progress;
	char text[DIGEST_TEXT_MAX];

	import.lease = lease_new(import.store);
	if (prepare(&import, err) < 0 || unpack_layer(&import, err) < 0 || commit(out_id, &import, err) < 0)
		return -1;
	digest_text(out_id, text);
	image_event(engine, "import", text, out_id, text);
	progress_init(&progress, options->progress, options->progress_arg);
	progress_status(&progress, NULL, "%s", text);
	progress_fini(&progress);
	return 0;
}
