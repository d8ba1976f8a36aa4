/* SPDX-License-Identifier: Apache-2.0 */
#include "image/edit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/convert.h"
#include "image/jobs.h"
#include "image/merge.h"
#include "image/repack.h"
#include "oci/hasher.h"

/* ---- loading ---- */

static void take_layers(struct edit *edit)
{
	edit->layer_count = edit->manifest.layers.count;
	edit->layers = xcalloc(edit->layer_count ? edit->layer_count : 1, sizeof(*edit->layers));
	for (size_t i = 0; i < edit->layer_count; i++)
		edit->layers[i] = (struct edit_layer){ .descriptor = edit->manifest.layers.items[i],
						       .fd = -1,
						       .from = edit->place };
	free(edit->manifest.layers.items);
	edit->manifest.layers.items = NULL;
	edit->manifest.layers.count = 0;
}

int edit_load(struct edit *out_edit, const struct image_request *request, const char *name, struct error *err)
{
	struct edit *edit = out_edit;

	edit->request = request;
	if (job_source(&edit->place, request, name, err) < 0 ||
	    copy_resolve(edit->place, request->platform, &edit->document, &edit->manifest, err) < 0 ||
	    job_load_config(edit->place, &edit->manifest, &edit->config_text, err) < 0)
		return -1;
	if (!media_type_is_config(edit->manifest.config->media_type))
		return error_set(err, ERR_UNSUPPORTED, "%s is no container image", name);
	if (image_config_decode(&edit->config, edit->config_text, strlen(edit->config_text), err) < 0)
		return error_prefix(err, "config of %s", name);
	if (edit->config.rootfs.diff_ids.count != edit->manifest.layers.count)
		return error_set(err, ERR_INVALID, "%s: the manifest has %zu layers, the image config %zu diff ids",
				 name, edit->manifest.layers.count, edit->config.rootfs.diff_ids.count);
	take_layers(edit);
	return 0;
}

void edit_fini(struct edit *edit)
{
	for (size_t i = 0; i < edit->layer_count; i++) {
		descriptor_fini(&edit->layers[i].descriptor);
		if (edit->layers[i].fd >= 0)
			close(edit->layers[i].fd);
	}
	free(edit->layers);
	free(edit->config_text);
	image_config_fini(&edit->config);
	manifest_fini(&edit->manifest);
	document_fini(&edit->document);
	if (edit->place)
		place_free(edit->place);
	*edit = (struct edit){ 0 };
}

/* ---- layers ---- */

static bool speaks_docker(const struct edit *edit)
{
	return text_equal(edit->document.media_type, MEDIA_DOCKER_MANIFEST);
}

static const char *type_of_packed(const struct edit *edit, int fd)
{
	unsigned char head[4] = { 0 };

	if (pread(fd, head, sizeof(head), 0) == sizeof(head) && head[0] == 0x28 && head[1] == 0xb5)
		return speaks_docker(edit) ? "application/vnd.docker.image.rootfs.diff.tar.zstd" : MEDIA_OCI_LAYER_ZSTD;
	return speaks_docker(edit) ? MEDIA_DOCKER_LAYER_GZIP : MEDIA_OCI_LAYER_GZIP;
}

/* Digest and size of a file as it is. */
static int describe(struct repacked *out, int fd, struct error *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	int r = size < 0 || lseek(fd, 0, SEEK_SET) < 0 ? -errno : digest_of_fd(&out->digest, DIGEST_SHA256, fd);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read a layer");
	out->size = (uint64_t)size;
	return 0;
}

static bool is_same(const struct repacked *a, const struct repacked *b)
{
	return a->size == b->size && digest_equal(&a->digest, &b->digest);
}

static void add_layer(struct edit *edit, const struct repacked *packed, int fd, const struct digest *diff_id,
		      const char *created_by)
{
	char text[DIGEST_TEXT_MAX];
	struct edit_layer *layer;
	struct image_history *history = json_array_add(&edit->config.history, sizeof(*history));

	edit->layers = xrealloc(edit->layers, (edit->layer_count + 1) * sizeof(*edit->layers));
	layer = &edit->layers[edit->layer_count++];
	*layer = (struct edit_layer){ .fd = fd };
	layer->descriptor = (struct descriptor){ .media_type = xstrdup(type_of_packed(edit, fd)),
						 .digest = xstrdup(digest_text(&packed->digest, text)),
						 .size = packed->size };
	text_list_add(&edit->config.rootfs.diff_ids, digest_text(diff_id, text));
	history->created_by = xstrdup(created_by);
}

int edit_add_layer_take_fd(struct edit *edit, int fd, const char *created_by, struct error *err)
{
	AUTO_CLOSE int given = fd;
	struct repacked plain = { .fd = -1 };
	struct repacked packed = { .fd = -1 };
	struct digest ignored;

	if (describe(&packed, given, err) < 0 || repack_plain(&plain, given, err) < 0)
		return -1;
	if (is_same(&plain, &packed)) {
		close(plain.fd);
		if (repack_gzip(&packed, &ignored, given, err) < 0)
			return -1;
		add_layer(edit, &packed, packed.fd, &plain.digest, created_by);
		return 0;
	}
	close(plain.fd);
	add_layer(edit, &packed, take_fd(&given), &plain.digest, created_by);
	return 0;
}

/* The plain bytes of one layer: a file, yours. */
static int plain_layer(const struct edit_layer *layer, struct error *err)
{
	AUTO_CLOSE int file = -1;
	struct repacked plain = { .fd = -1 };

	if (layer->fd < 0) {
		file = place_scratch(err);
		if (file < 0 || layer->from->ops->blob(layer->from, &layer->descriptor, file, err) < 0)
			return -1;
	}
	return repack_plain(&plain, layer->fd < 0 ? file : layer->fd, err) < 0 ? -1 : plain.fd;
}

int edit_flatten(struct edit *edit, struct error *err)
{
	AUTO_FREE int *fds = xcalloc(edit->layer_count + 1, sizeof(int));
	AUTO_CLOSE int out = place_scratch(err);
	size_t opened = 0;
	int r = out < 0 ? -1 : 0;

	while (r == 0 && opened < edit->layer_count) {
		fds[opened] = plain_layer(&edit->layers[opened], err);
		if (fds[opened] < 0)
			r = error_prefix(err, "layer %s", edit->layers[opened].descriptor.digest);
		else
			opened++;
	}
	if (r == 0)
		r = merge_layers(out, fds, opened, err);
	while (opened > 0)
		close(fds[--opened]);
	if (r == 0 && lseek(out, 0, SEEK_SET) < 0)
		r = error_set_errno(err, ERR_INTERNAL, errno, "read the file system");
	return r < 0 ? -1 : take_fd(&out);
}

/* ---- saving ---- */

static int put_layer(struct place *to, struct edit_layer *layer, const struct copy_options *options, struct error *err)
{
	int found;

	if (layer->fd < 0)
		return copy_blob(to, layer->from, &layer->descriptor, options, err);
	found = to->ops->find ? to->ops->find(to, &layer->descriptor, NULL, err) : 0;
	if (found != 0)
		return found < 0 ? -1 : 0;
	if (lseek(layer->fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read a layer");
	return to->ops->put_blob(to, &layer->descriptor, layer->fd, err);
}

static int put_config(struct edit *edit, struct place *to, struct error *err)
{
	AUTO_FREE char *text = image_config_rewrite(&edit->config, edit->config_text, strlen(edit->config_text), err);
	struct descriptor *descriptor = edit->manifest.config;
	AUTO_CLOSE int file = -1;
	struct digest digest;
	char name[DIGEST_TEXT_MAX];
	int found;

	if (!text)
		return -1;
	digest_of(&digest, DIGEST_SHA256, text, strlen(text));
	free(descriptor->digest);
	free(descriptor->data);
	descriptor->data = NULL;
	descriptor->digest = xstrdup(digest_text(&digest, name));
	descriptor->size = strlen(text);
	found = to->ops->find ? to->ops->find(to, descriptor, NULL, err) : 0;
	if (found != 0)
		return found < 0 ? -1 : 0;
	file = file_memory("config", text, strlen(text));
	if (file < 0)
		return error_set_errno(err, ERR_INTERNAL, file, "keep the config");
	return to->ops->put_blob(to, descriptor, file, err);
}

static int put_all(struct edit *edit, struct place *to, struct error *err)
{
	const struct copy_options options = { .request = edit->request };
	AUTO(document_fini) struct document document = { 0 };

	for (size_t i = 0; i < edit->layer_count; i++) {
		if (put_layer(to, &edit->layers[i], &options, err) < 0)
			return -1;
		descriptor_copy(json_array_add(&edit->manifest.layers, sizeof(struct descriptor)),
				&edit->layers[i].descriptor);
	}
	if (put_config(edit, to, err) < 0)
		return -1;
	if (!edit->manifest.media_type)
		edit->manifest.media_type = xstrdup(edit->document.media_type);
	document_init(&document, edit->manifest.media_type, convert_encode(&edit->manifest));
	if (to->ops->put_document(to, &document, true, err) < 0 || place_finish(to, err) < 0)
		return -1;
	puts(document.digest);
	return 0;
}

int edit_save(struct edit *edit, struct error *err)
{
	const char *name = text_empty(edit->request->output) ? edit->place->name : edit->request->output;
	AUTO(place_freep) struct place *to = NULL;

	if (place_open(&to, name,
		       &(struct place_options){
			       .request = edit->request, .access = &edit->request->source, .use = PLACE_WRITE },
		       err) < 0)
		return -1;
	if (to->one_image && to->likes == PLACE_LIKES_DOCKER && !speaks_docker(edit) &&
	    convert_manifest(&edit->manifest, PLACE_LIKES_DOCKER, err) < 0)
		return -1;
	return put_all(edit, to, err) < 0 ? error_prefix(err, "%s", name) : 0;
}
