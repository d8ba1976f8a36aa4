/* SPDX-License-Identifier: Apache-2.0 */
/* validate: every document and blob of an image is there and is what it is said to be. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/copy.h"
#include "image/jobs.h"
#include "image/repack.h"
#include "oci/image_config.h"

#define DEPTH_MAX 4

static int check_layer(struct place *place, const struct descriptor *layer, const char *diff_id, struct error *err)
{
	AUTO_CLOSE int file = place_scratch(err);
	struct repacked plain = { .fd = -1 };
	char text[DIGEST_TEXT_MAX];

	if (file < 0 || place->ops->blob(place, layer, file, err) < 0)
		return -1;
	/* An artifact's may be called layers and be anything. */
	if (!diff_id || media_type_layer_packing(layer->media_type) == LAYER_UNKNOWN)
		return 0;
	if (repack_plain(&plain, file, err) < 0)
		return error_prefix(err, "layer %s", layer->digest);
	close(plain.fd);
	if (!text_equal(digest_text(&plain.digest, text), diff_id))
		return error_set(err, ERR_INVALID, "layer %s unpacks to %s, but the image config says %s",
				 layer->digest, text, diff_id);
	return 0;
}

static int check_image(struct place *place, const struct manifest *manifest, struct error *err)
{
	AUTO(image_config_fini) struct image_config config = { 0 };
	AUTO_FREE char *text = NULL;
	bool is_image = media_type_is_config(manifest->config->media_type);

	if (job_load_config(place, manifest, &text, err) < 0)
		return -1;
	if (is_image && image_config_decode(&config, text, strlen(text), err) < 0)
		return error_prefix(err, "config %s", manifest->config->digest);
	if (is_image && config.rootfs.diff_ids.count != manifest->layers.count)
		return error_set(err, ERR_INVALID, "the manifest has %zu layers, the image config %zu diff ids",
				 manifest->layers.count, config.rootfs.diff_ids.count);
	for (size_t i = 0; i < manifest->layers.count; i++)
		if (check_layer(place, &manifest->layers.items[i], is_image ? config.rootfs.diff_ids.items[i] : NULL,
				err) < 0)
			return -1;
	return 0;
}

static int check_document(struct place *place, const char *digest, int depth, size_t *images, struct error *err)
{
	AUTO(document_fini) struct document document = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };

	if (depth > DEPTH_MAX)
		return error_set(err, ERR_INVALID, "indexes nested more than %d deep", DEPTH_MAX);
	if (place_document(place, &document, digest, err) < 0)
		return -1;
	if (manifest_decode(&manifest, document.text, document.size, document.media_type, err) < 0)
		return error_prefix(err, "manifest %s", document.digest);
	if (manifest.kind == MANIFEST_IMAGE) {
		++*images;
		return check_image(place, &manifest, err) < 0 ? error_prefix(err, "image %s", document.digest) : 0;
	}
	for (size_t i = 0; i < manifest.manifests.count; i++)
		if (check_document(place, manifest.manifests.items[i].digest, depth + 1, images, err) < 0)
			return -1;
	return 0;
}

int job_validate(const struct image_request *request, struct error *err)
{
	AUTO(place_freep) struct place *place = NULL;
	size_t images = 0;

	if (job_source(&place, request, request->operands.items[0], err) < 0)
		return -1;
	if (check_document(place, NULL, 0, &images, err) < 0)
		return error_prefix(err, "FAIL");
	printf("PASS: %s, %zu image%s\n", place->name, images, images == 1 ? "" : "s");
	return 0;
}
