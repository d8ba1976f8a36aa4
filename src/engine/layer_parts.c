/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/layer_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/image_claim.h"
#include "engine/image_commit.h"
#include "engine/image_source.h"
#include "oci/hasher.h"
#include "store/build_cache.h"
#include "transfer/session.h"

#define RESERVED_BYTES (4 * 1024 * 1024)
#define ZSTD_LEVEL 3

/* ---- out ---- */

static const char *media_type_of(enum layer_packing packing)
{
	switch (packing) {
	case LAYER_TAR_GZIP:
		return MEDIA_OCI_LAYER_GZIP;
	case LAYER_TAR_ZSTD:
		return MEDIA_OCI_LAYER_ZSTD;
	default:
		return MEDIA_OCI_LAYER;
	}
}

static void form_key(struct digest *out_key, const struct digest *blob, const struct layer_form *form)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = xasprintf("kist.pack.1 %d %d %s", (int)form->packing, form->level,
					 digest_text(blob, text));

	digest_of(out_key, DIGEST_SHA256, name, strlen(name));
}

/* Made before, or now. */
static int pack(struct digest *out_digest, uint64_t *out_size, struct engine *engine, const struct digest *blob,
		const struct layer_form *form, struct lease *lease, int cancel_fd, struct error *err)
{
	struct store *store = engine_store(engine);
	AUTO(build_result_fini) struct build_result known = { 0 };
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	AUTO_CLOSE int fd = -1;
	struct digest key;
	int r;

	form_key(&key, blob, form);
	r = build_cache_find(&known, store, &key, err);
	if (r > 0) {
		lease_add(lease, &known.diff_id);
		*out_digest = known.diff_id;
		r = blob_size(out_size, store_blobs(store), &known.diff_id, err);
	}
	if (r != 0)
		return r < 0 ? -1 : 0;
	fd = blob_open(store_blobs(store), blob, err);
	if (fd < 0 || blob_writer_new(&writer, store_blobs(store), BLOB_NO_LIMIT, err) < 0 ||
	    session_pack(out_digest, out_size,
			 &(struct session_pack){ .source_fd = fd,
						 .target_fd = blob_writer_fd(writer),
						 .zstd_level = form->packing != LAYER_TAR_ZSTD ? 0
							       : form->level		       ? form->level
											       : ZSTD_LEVEL,
						 .cancel_fd = cancel_fd },
			 err) < 0)
		return -1;
	lease_add(lease, out_digest);
	build_result_fini(&known);
	known = (struct build_result){ .diff_id = *out_digest, .size_bytes = *out_size, .created_ns = clock_wall_ns() };
	return blob_writer_commit_proven(writer, out_digest, err) < 0
		       ? -1
		       : build_cache_put(store, &key, "compressed layer", &known, err);
}

static bool is_to_be_packed(enum layer_packing now, const struct layer_form *form)
{
	return form && form->packing != LAYER_TAR && now == LAYER_TAR;
}

/* What cannot be done is an error: it was asked for. */
static int check_force(enum layer_packing now, const struct layer_form *form, struct error *err)
{
	if (!form || !form->force || now == form->packing || now == LAYER_TAR)
		return 0;
	return error_set(err, ERR_UNSUPPORTED,
			 "force-compression=true: a layer of the base image is stored compressed in another way");
}

int layer_blob_descriptor(struct descriptor *out_blob, struct engine *engine, const struct layer *layer,
			  const struct layer_form *form, struct lease *lease, int cancel_fd, struct error *err)
{
	struct store *store = engine_store(engine);
	struct digest digest = layer->blob;
	enum layer_packing packing;
	char text[DIGEST_TEXT_MAX];
	uint64_t size;
	int r;

	if (!digest_is_set(&digest))
		return 0;
	lease_add(lease, &digest);
	r = blob_size(&size, store_blobs(store), &digest, err);
	if (r <= 0)
		return r;
	if (image_blob_packing(&packing, store, &digest, err) < 0 || check_force(packing, form, err) < 0)
		return -1;
	if (is_to_be_packed(packing, form)) {
		if (pack(&digest, &size, engine, &layer->blob, form, lease, cancel_fd, err) < 0)
			return -1;
		packing = form->packing;
	}
	*out_blob = (struct descriptor){ .media_type = xstrdup(media_type_of(packing)),
					 .digest = xstrdup(digest_text(&digest, text)),
					 .size = size };
	return 1;
}

static int pack_parts(struct image_source *source, struct engine *engine, const struct layer_form *form,
		      struct lease *lease, int cancel_fd, struct error *err)
{
	for (size_t i = 0; i < source->part_count; i++) {
		const struct image_part *part = &source->parts[i];
		struct digest digest;
		uint64_t size;

		if (check_force(part->packing, form, err) < 0)
			return -1;
		if (!is_to_be_packed(part->packing, form))
			continue;
		if (pack(&digest, &size, engine, &part->blob, form, lease, cancel_fd, err) < 0)
			return -1;
		image_source_replace(source, i, &digest, size, form->packing);
	}
	return 0;
}

int image_manifest_load(struct manifest *out_manifest, char **out_text, struct digest *out_digest,
			struct engine *engine, const struct image_record *record, const struct layer_form *form,
			struct lease *lease, int cancel_fd, struct error *err)
{
	AUTO(image_source_fini) struct image_source source = { 0 };

	if (image_source_load(&source, engine, record, lease, err) < 0 ||
	    pack_parts(&source, engine, form, lease, cancel_fd, err) < 0)
		return -1;
	*out_text = image_source_manifest(&source, out_digest);
	*out_manifest = source.manifest;
	source.manifest = (struct manifest){ 0 };
	return 0;
}

/* ---- in ---- */

static int prove(int fd, const struct descriptor *blob, const struct digest *digest, struct error *err)
{
	struct digest got;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != blob->size)
		return error_set(err, ERR_INVALID, "blob %s: %llu bytes came, it should have %llu", blob->digest,
				 (unsigned long long)st.st_size, (unsigned long long)blob->size);
	r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : digest_of_fd(&got, digest->algorithm, fd);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read blob %s", blob->digest);
	return digest_equal(&got, digest)
		       ? 0
		       : error_set(err, ERR_INVALID, "the bytes of blob %s are others", blob->digest);
}

int blob_fetch(struct engine *engine, const struct layers_fetch *fetch, const struct descriptor *blob,
	       struct error *err)
{
	struct store *store = engine_store(engine);
	AUTO(blob_writer_freep) struct blob_writer *writer = NULL;
	struct digest digest;
	uint64_t free_bytes;
	int r;

	if (descriptor_check(blob, err) < 0)
		return -1;
	descriptor_digest(blob, &digest);
	lease_add(fetch->lease, &digest);
	r = blob_exists(store_blobs(store), &digest, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (store_free_bytes(&free_bytes, store, err) < 0)
		return -1;
	if (blob->size > free_bytes)
		return error_set(err, ERR_EXHAUSTED, "blob %s needs %llu bytes, %llu are free: no space left on device",
				 blob->digest, (unsigned long long)blob->size, (unsigned long long)free_bytes);
	if (blob_writer_new(&writer, store_blobs(store), blob->size, err) < 0 ||
	    fetch->get(fetch->arg, blob, blob_writer_fd(writer), err) < 0 ||
	    prove(blob_writer_fd(writer), blob, &digest, err) < 0)
		return -1;
	return blob_writer_commit_proven(writer, &digest, err);
}

static int take_unpacked(void *arg, const void *data, size_t size, struct error *err)
{
	(void)err;
	hasher_add(arg, data, size);
	return 0;
}

static int run_unpack(struct image_layer *layer, struct engine *engine, const struct layers_fetch *fetch, bool lowest,
		      struct hasher *hasher, struct error *err)
{
	struct store *store = engine_store(engine);
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	AUTO_CLOSE int fd = blob_open(store_blobs(store), &layer->blob, err);
	AUTO_CLOSE int tee_fd = -1;
	struct unpack_options options = {
		.stream_fd = fd, .lowest = lowest, .marks_apart = store_driver(store) == STORE_COPY, .tee = true
	};
	uint64_t free_bytes;

	if (fd < 0 || store_free_bytes(&free_bytes, store, err) < 0 || layer_writer_new(&layer->writer, store, err) < 0)
		return -1;
	options.limit_bytes = free_bytes > RESERVED_BYTES ? free_bytes - RESERVED_BYTES : 1;
	options.target_fd = layer_writer_fd(layer->writer);
	if (unpack_start(&unpack, &options, err) < 0)
		return -1;
	tee_fd = unpack_take_tee_fd(unpack);
	if (image_read_stream(tee_fd, fetch->cancel_fd, take_unpacked, hasher, err) < 0)
		return -1;
	return unpack_wait(&layer->unpacked, unpack, fetch->cancel_fd, err);
}

static int unpack_layer(struct image_layer *layer, struct engine *engine, const struct layers_fetch *fetch, bool lowest,
			struct error *err)
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(layer->diff_id.algorithm);
	char wanted[DIGEST_TEXT_MAX];
	char text[DIGEST_TEXT_MAX];
	struct digest got;

	if (run_unpack(layer, engine, fetch, lowest, hasher, err) < 0)
		return -1;
	hasher_digest(hasher, &got);
	if (digest_equal(&got, &layer->diff_id))
		return 0;
	return error_set(err, ERR_INVALID, "the files are %s, not %s as is said", digest_text(&got, text),
			 digest_text(&layer->diff_id, wanted));
}

static int fetch_layer(struct image_layers_new *layers, size_t index, struct engine *engine,
		       const struct layers_fetch *fetch, struct error *err)
{
	struct image_layer *layer = &layers->items[index];
	const struct descriptor *blob = fetch->parts[index].blob;
	struct layer there;
	int r = layer_find(&there, engine_store(engine), &layer->chain_id, err);

	if (r > 0)
		layer->blob = there.blob;
	if (r != 0)
		return r < 0 ? -1 : 0;
	descriptor_digest(blob, &layer->blob);
	if (blob_fetch(engine, fetch, blob, err) < 0 || unpack_layer(layer, engine, fetch, index == 0, err) < 0)
		return error_prefix(err, "layer %s", blob->digest);
	return 0;
}

static int fetch_claimed(struct image_layers_new *layers, struct engine *engine, const struct layers_fetch *fetch,
			 struct error *err)
{
	for (size_t i = 0; i < layers->count; i++)
		if (fetch_layer(layers, i, engine, fetch, err) < 0)
			return -1;
	return image_layers_commit(layers, err);
}

int layers_fetch(struct engine *engine, const struct layers_fetch *fetch, struct error *err)
{
	AUTO(image_layers_fini) struct image_layers_new layers = { 0 };
	AUTO(image_config_fini) struct image_config config = { 0 };
	struct text_list *diff_ids = &config.rootfs.diff_ids;
	char text[DIGEST_TEXT_MAX];
	int r;

	for (size_t i = 0; i < fetch->count; i++)
		text_list_add(diff_ids, digest_text(&fetch->parts[i].diff_id, text));
	if (image_layers_init(&layers, &config, fetch->lease, err) < 0 ||
	    image_claim(engine_store(engine), diff_ids, fetch->cancel_fd, err) < 0)
		return -1;
	r = fetch_claimed(&layers, engine, fetch, err);
	image_claim_release(engine_store(engine), diff_ids);
	return r;
}
