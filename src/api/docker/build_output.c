/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/build_output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "builder/attestation.h"
#include "builder/exporter.h"
#include "builder/place.h"
#include "engine/layer_parts.h"
#include "oci/reference.h"
#include "json/value.h"

#define OUTPUTS_MAX 16
#define BLOCK_SIZE (256 * 1024)
#define PIECE_BROKEN UINT32_MAX

struct output {
	char *type;
	struct text_map attrs;
};

struct outputs {
	struct output items[OUTPUTS_MAX];
	size_t count;
};

static void outputs_fini(struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++) {
		free(outputs->items[i].type);
		text_map_fini(&outputs->items[i].attrs);
	}
}

static int parse(struct outputs *outputs, const char *text, struct error *err)
{
	AUTO(json_value_freep) struct json_value *value = NULL;

	if (!*text || text_equal(text, "null") || text_equal(text, "[]")) {
		outputs->items[outputs->count++].type = xstrdup("image");
		return 0;
	}
	if (json_value_parse(&value, text, strlen(text), err) < 0)
		return error_prefix(err, "error reading outputs");
	if (json_value_count(value) > OUTPUTS_MAX)
		return error_set(err, ERR_INVALID, "error reading outputs: more than %d", OUTPUTS_MAX);
	for (size_t i = 0; i < json_value_count(value); i++) {
		const struct json_value *item = json_value_at(value, i);
		const struct json_value *attrs = json_value_get(item, "Attrs");
		struct output *output = &outputs->items[outputs->count++];
		AUTO(text_list_fini) struct text_list keys = { 0 };

		output->type = xstrdup(text_or_empty(json_value_text(json_value_get(item, "Type"))));
		json_value_keys(&keys, attrs, false);
		for (size_t j = 0; j < keys.count; j++)
			text_map_set(&output->attrs, keys.items[j],
				     text_or_empty(json_value_text(json_value_get(attrs, keys.items[j]))));
		if (exporter_check(output->type, &output->attrs, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- builds ---- */

/* One for each platform. */
struct built {
	struct text_list platforms;
	struct build_options *options;
	struct build **builds;
	size_t count;
};

static void built_fini(struct built *built)
{
	for (size_t i = built->count; i-- > 0;)
		build_free(built->builds[i]);
	free(built->builds);
	free(built->options);
	text_list_fini(&built->platforms);
}

static void open_builds(struct built *built, struct engine *engine, const struct build_options *options,
			struct build_failure *failure)
{
	size_t count;

	text_list_split(&built->platforms, text_or_empty(options->platform), ',');
	count = built->platforms.count > 0 ? built->platforms.count : 1;
	built->options = xcalloc(count, sizeof(*built->options));
	built->builds = xcalloc(count, sizeof(struct build *));
	for (size_t i = 0; i < count; i++) {
		built->options[i] = *options;
		built->options[i].platform = built->platforms.count > 0 ? built->platforms.items[i] : NULL;
		built->options[i].show_platform = count > 1;
		/* The context is one stream: the first reads it. */
		built->options[i].first = i > 0 ? built->builds[0] : NULL;
		built->builds[i] = build_new(engine, &built->options[i], failure);
		built->count++;
	}
}

static int solve_all(struct built *built, struct error *err)
{
	for (size_t i = 0; i < built->count; i++) {
		if (built->count > 1) {
			AUTO_FREE char *head = xasprintf("{\"stream\":\"Platform %s\\n\"}", built->options[i].platform);

			built->options[i].send(built->options[i].send_arg, head);
		}
		if (build_solve(built->builds[i], err) < 0)
			return -1;
	}
	return 0;
}

/* ---- pieces ---- */

struct making {
	struct build *build;
	const struct built *built;
	const struct build_options *options;
	struct http_response *response;
	size_t number;
	bool begun; /* the message that says so is out */
	struct text_list tags;
	struct text_list full; /* the same, as full references */
	struct text_map annotations;
	struct text_map index_annotations;
	struct layer_form form;
	struct build_images images;
	struct build_written written; /* of an archive that says it */
};

static int write_size(struct http_response *response, uint32_t size, struct error *err)
{
	const uint8_t header[4] = { (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size };

	return http_write(response, header, sizeof(header), err);
}

static int write_piece(void *arg, const void *data, size_t size, struct error *err)
{
	struct making *making = arg;

	if (!making->begun) {
		AUTO_FREE char *message = xasprintf("{\"output\":%zu}", making->number);

		making->begun = true;
		making->options->send(making->options->send_arg, message);
	}
	if (size == 0)
		return 0;
	return write_size(making->response, (uint32_t)size, err) < 0 ? -1
								     : http_write(making->response, data, size, err);
}

static int write_files(void *arg, int fd, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);
	ssize_t size;

	while ((size = read(fd, block, BLOCK_SIZE)) > 0)
		if (write_piece(arg, block, (size_t)size, err) < 0)
			return -1;
	return size < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "read the files") : 0;
}

/* After the last piece, or the failure. */
static int end_output(const struct making *making, int r, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (r < 0 && making->begun)
		write_size(making->response, PIECE_BROKEN, &ignored);
	return r < 0 ? -1 : write_size(making->response, 0, err);
}

/* ---- outputs ---- */

static void making_fini(struct making *making)
{
	text_list_fini(&making->tags);
	text_list_fini(&making->full);
	text_map_fini(&making->annotations);
	text_map_fini(&making->index_annotations);
	build_written_fini(&making->written);
}

/* A layout with an index, or with layers in another form than here. */
static int write_images(struct making *making, struct error *err)
{
	AUTO(build_written_fini) struct build_written written = { 0 };
	AUTO(place_close) struct place place = { 0 };

	place_open_archive(&place,
			   &(struct place_archive){ .names = &making->full, .write = write_piece, .arg = making });
	if (build_write_images(&written, &making->images, &place, err) < 0)
		return -1;
	making->written = written;
	written = (struct build_written){ 0 };
	return 0;
}

static int write_archive(struct making *making, const struct output *output, struct error *err)
{
	const struct build_archive archive = { .docker = text_equal(output->type, "docker"),
					       .tags = &making->tags,
					       .annotations = &making->annotations,
					       .write = write_piece,
					       .arg = making };
	struct digest id;

	making->images.is_inline = text_equal(text_map_get(&output->attrs, "attestation-inline"), "true");
	if (text_empty(text_map_get(&output->attrs, "compression")))
		making->form.packing = LAYER_TAR;
	if (archive.docker && making->images.count > 1)
		return error_set(
			err, ERR_UNSUPPORTED,
			"docker exporter does not support exporting manifest lists, use the oci exporter instead");
	if (!archive.docker && (build_images_need_index(&making->images) || making->form.packing != LAYER_TAR))
		return write_images(making, err);
	return build_write_archive(&id, making->build, &archive, err);
}

/* {"aux":{"kist.build":{...}}}: what --metadata-file has of it. */
static void tell_written(const struct making *making, const struct build_written *written)
{
	char digest[DIGEST_TEXT_MAX];
	char config[DIGEST_TEXT_MAX];
	AUTO_FREE char *said = digest_is_set(&written->config) ? xasprintf("\"containerimage.config.digest\":\"%s\",",
									   digest_text(&written->config, config))
							       : xstrdup("");
	AUTO_FREE char *json = xasprintf(
		"{\"aux\":{\"kist.build\":{%s\"containerimage.digest\":\"%s\",\"containerimage.descriptor\":\"%s\"}}}",
		said, digest_text(&written->digest, digest), written->descriptor);

	making->options->send(making->options->send_arg, json);
}

static int send_output(struct making *making, const struct output *output, struct error *err)
{
	int r;

	if (exporter_kind(output->type) != EXPORT_FILES)
		r = write_archive(making, output, err);
	else if (making->images.count > 1)
		r = error_set(err, ERR_UNSUPPORTED, "output type=%s: one platform at a time", output->type);
	else
		r = build_read_files(making->build, write_files, making, err);
	if (r == 0)
		r = write_piece(making, NULL, 0, err);
	if (end_output(making, r, err) < 0)
		return -1;
	if (making->written.descriptor)
		tell_written(making, &making->written);
	return 0;
}

static int make_image(struct making *making, const struct output *output, struct error *err)
{
	bool push = text_equal(text_map_get(&output->attrs, "push"), "true");
	AUTO(build_written_fini) struct build_written stored = { 0 };
	AUTO(build_written_fini) struct build_written pushed = { 0 };
	struct digest id;

	if (making->images.count > 1) {
		if (build_store_images(&stored, &making->images, &making->full, err) < 0)
			return -1;
	} else if (build_export(&id, making->build, &making->tags, &making->annotations, err) < 0) {
		return -1;
	}
	if (push && build_push_images(&pushed, &making->images, &making->full, err) < 0)
		return -1;
	if (push || making->images.count > 1)
		tell_written(making, push ? &pushed : &stored);
	return 0;
}

static int read_tags(struct making *making, const struct output *output, struct error *err)
{
	const char *names = text_map_get(&output->attrs, "name");

	if (making->options->tags)
		text_list_add_all(&making->tags, making->options->tags);
	if (making->tags.count == 0 && !text_empty(names))
		text_list_split(&making->tags, names, ',');
	for (size_t i = 0; i < making->tags.count; i++) {
		AUTO(reference_fini) struct reference reference = { 0 };

		if (reference_parse(&reference, making->tags.items[i], err) < 0)
			return -1;
		reference_default_tag(&reference);
		text_list_add_take(&making->full, reference_format(&reference));
	}
	return 0;
}

static int read_form(struct making *making, const struct output *output, struct error *err)
{
	for (size_t i = 0; i < output->attrs.count; i++) {
		const char *key = exporter_annotation(output->attrs.items[i].key);
		const char *index_key = exporter_index_annotation(output->attrs.items[i].key);

		if (key)
			text_map_set(&making->annotations, key, output->attrs.items[i].value);
		if (index_key)
			text_map_set(&making->index_annotations, index_key, output->attrs.items[i].value);
	}
	if (exporter_kind(output->type) == EXPORT_FILES)
		return 0;
	return exporter_form(&making->form, &output->attrs, err);
}

static int make(struct making *making, const struct output *output, struct error *err)
{
	const struct built *built = making->built;

	if (read_tags(making, output, err) < 0 || read_form(making, output, err) < 0)
		return -1;
	making->images = (struct build_images){ .builds = built->builds,
						.count = built->count,
						.is_inline = true,
						.names = &making->full,
						.annotations = &making->annotations,
						.index_annotations = &making->index_annotations,
						.form = &making->form };
	if (making->index_annotations.count > 0 && exporter_kind(output->type) != EXPORT_FILES &&
	    !build_images_need_index(&making->images))
		return error_set(err, ERR_UNSUPPORTED, "index annotations not supported for single platform export");
	return exporter_kind(output->type) == EXPORT_IMAGE ? make_image(making, output, err)
							   : send_output(making, output, err);
}

/* What is said about the image must have somewhere to go. */
static int check_attestations(const struct build_options *options, const struct outputs *outputs, struct error *err)
{
	const struct attestation_options *said = options->attestations;

	if (!said || (!said->sbom && said->provenance == PROVENANCE_NONE))
		return 0;
	for (size_t i = 0; i < outputs->count; i++)
		if (exporter_carries(outputs->items[i].type, &outputs->items[i].attrs))
			return 0;
	return error_set(err, ERR_UNSUPPORTED,
			 "attestations go with an image that is pushed or in an OCI archive: add --push or "
			 "--output type=oci");
}

/* ---- caches ---- */

/* The folder's files as a tar. */
static int send_cache(const struct build_images *images, const struct build_cache *cache, struct making *making,
		      struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(place_close) struct place place = { 0 };
	const char *tag = text_map_get(&cache->attrs, "tag");
	AUTO_FREE char *manifest = NULL;

	text_list_add(&names, text_empty(tag) ? "latest" : tag);
	place_open_archive(&place, &(struct place_archive){ .names = &names, .write = write_piece, .arg = making });
	return end_output(making, build_export_cache(&manifest, images, cache, &place, err), err);
}

static int export_caches(const struct built *built, const struct build_outputs_wanted *wanted, size_t number,
			 struct http_response *response, struct error *err)
{
	const struct build_images images = { .builds = built->builds, .count = built->count };

	for (size_t i = 0; i < wanted->caches->count; i++) {
		const struct build_cache *cache = &wanted->caches->items[i];
		struct making making = { .build = built->builds[0], .options = wanted->options, .response = response };
		AUTO_FREE char *manifest = NULL;

		if (text_equal(cache->type, "local")) {
			making.number = number++;
			if (send_cache(&images, cache, &making, err) < 0)
				return -1;
		} else if (build_export_cache(&manifest, &images, cache, NULL, err) < 0) {
			return -1;
		}
	}
	return 0;
}

int build_with_outputs(struct engine *engine, const struct build_outputs_wanted *wanted, struct http_response *response,
		       struct build_failure *failure, struct error *err)
{
	AUTO(outputs_fini) struct outputs outputs = { .count = 0 };
	AUTO(built_fini) struct built built = { 0 };

	if (parse(&outputs, wanted->outputs, err) < 0 || check_attestations(wanted->options, &outputs, err) < 0)
		return -1;
	open_builds(&built, engine, wanted->options, failure);
	if (solve_all(&built, err) < 0)
		return -1;
	for (size_t i = 0; i < outputs.count; i++) {
		AUTO(making_fini)
		struct making making = { .build = built.builds[0],
					 .built = &built,
					 .options = wanted->options,
					 .response = response,
					 .number = i };

		if (make(&making, &outputs.items[i], err) < 0)
			return -1;
	}
	return export_caches(&built, wanted, text_empty(wanted->outputs) ? 0 : outputs.count, response, err);
}
