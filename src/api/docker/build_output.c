/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/build_output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "builder/exporter.h"
#include "builder/place.h"
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
		if (text_equal(text_map_get(&output->attrs, "push"), "true"))
			return error_set(err, ERR_UNSUPPORTED, "this way of building does not push: push the image");
	}
	return 0;
}

/* ---- pieces ---- */

struct making {
	struct build *build;
	const struct build_options *options;
	struct http_response *response;
	size_t number;
	bool begun; /* the message that says so is out */
	struct text_list tags;
	struct text_map annotations;
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
	text_map_fini(&making->annotations);
}

static int send_output(struct making *making, const struct output *output, struct error *err)
{
	const struct build_archive archive = { .docker = text_equal(output->type, "docker"),
					       .tags = &making->tags,
					       .annotations = &making->annotations,
					       .write = write_piece,
					       .arg = making };
	struct digest id;
	int r;

	if (exporter_kind(output->type) == EXPORT_FILES)
		r = build_read_files(making->build, write_files, making, err);
	else
		r = build_write_archive(&id, making->build, &archive, err);
	if (r == 0)
		r = write_piece(making, NULL, 0, err);
	return end_output(making, r, err);
}

static int make(struct build *build, const struct build_options *options, const struct output *output, size_t number,
		struct http_response *response, struct error *err)
{
	AUTO(making_fini)
	struct making making = { .build = build, .options = options, .response = response, .number = number };
	const char *names = text_map_get(&output->attrs, "name");
	struct digest id;

	if (options->tags)
		text_list_add_all(&making.tags, options->tags);
	if (making.tags.count == 0 && !text_empty(names))
		text_list_split(&making.tags, names, ',');
	for (size_t i = 0; i < output->attrs.count; i++) {
		const char *key = exporter_annotation(output->attrs.items[i].key);

		if (key)
			text_map_set(&making.annotations, key, output->attrs.items[i].value);
	}
	if (exporter_kind(output->type) == EXPORT_IMAGE)
		return build_export(&id, build, &making.tags, &making.annotations, err);
	return send_output(&making, output, err);
}

/* ---- caches ---- */

/* The folder's files as a tar. */
static int send_cache(struct build *build, const struct build_cache *cache, struct making *making, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO(place_close) struct place place = { 0 };
	const char *tag = text_map_get(&cache->attrs, "tag");
	AUTO_FREE char *manifest = NULL;

	text_list_add(&names, text_empty(tag) ? "latest" : tag);
	place_open_archive(&place, &(struct place_archive){ .names = &names, .write = write_piece, .arg = making });
	return end_output(making, build_export_cache(&manifest, build, cache, &place, err), err);
}

static int export_caches(struct build *build, const struct build_outputs_wanted *wanted, size_t number,
			 struct http_response *response, struct error *err)
{
	for (size_t i = 0; i < wanted->caches->count; i++) {
		const struct build_cache *cache = &wanted->caches->items[i];
		struct making making = { .build = build, .options = wanted->options, .response = response };
		AUTO_FREE char *manifest = NULL;

		if (text_equal(cache->type, "local")) {
			making.number = number++;
			if (send_cache(build, cache, &making, err) < 0)
				return -1;
		} else if (build_export_cache(&manifest, build, cache, NULL, err) < 0) {
			return -1;
		}
	}
	return 0;
}

int build_with_outputs(struct engine *engine, const struct build_outputs_wanted *wanted, struct http_response *response,
		       struct build_failure *failure, struct error *err)
{
	AUTO(outputs_fini) struct outputs outputs = { .count = 0 };
	AUTO(build_freep) struct build *build = NULL;

	if (parse(&outputs, wanted->outputs, err) < 0)
		return -1;
	build = build_new(engine, wanted->options, failure);
	if (build_solve(build, err) < 0)
		return -1;
	for (size_t i = 0; i < outputs.count; i++)
		if (make(build, wanted->options, &outputs.items[i], i, response, err) < 0)
			return -1;
	return export_caches(build, wanted, text_empty(wanted->outputs) ? 0 : outputs.count, response, err);
}
