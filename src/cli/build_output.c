/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include "cli/members.h"
#include "cli/progress.h"
#include "cli/spec.h"
#include "cli/untar.h"

#define BLOCK_SIZE 65536

/* ---- -o ---- */

static bool is_archive(const char *type)
{
	return text_equal(type, "oci") || text_equal(type, "docker") || text_equal(type, "tar");
}

static bool is_image(const struct build_output *output)
{
	return text_equal(output->type, "image");
}

static void set_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

/* "registry" is an image that is pushed; "docker" without a file one that is stored here. */
static void complete(struct build_output *output)
{
	if (text_equal(output->type, "registry")) {
		set_text(&output->type, "image");
		output->push = true;
	}
	if (text_equal(output->type, "docker") && !output->dest)
		set_text(&output->type, "image");
	if (!output->dest && is_archive(output->type))
		output->dest = xstrdup("-");
}

static int read_field(struct build_output *output, const char *field, struct error *err)
{
	const char *value;
	AUTO_FREE char *key = spec_cut(field, &value);

	if (!value)
		return error_set(err, ERR_INVALID, "invalid value %s", field);
	if (text_equal(key, "type"))
		set_text(&output->type, value);
	else if (text_equal(key, "dest"))
		set_text(&output->dest, value);
	else if (text_equal(key, "push") && (text_equal(value, "true") || text_equal(value, "false")))
		output->push = text_equal(value, "true");
	else
		text_map_set(&output->attrs, key, value);
	return 0;
}

static struct build_output *add(struct build_outputs *outputs)
{
	struct build_output *output;

	outputs->items = xgrow(outputs->items, &outputs->capacity, outputs->count + 1, sizeof(*outputs->items));
	output = &outputs->items[outputs->count++];
	*output = (struct build_output){ 0 };
	return output;
}

int build_outputs_add(struct build_outputs *outputs, const char *value, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	struct build_output *output;

	if (spec_csv(&fields, value, err) < 0)
		return -1;
	output = add(outputs);
	if (fields.count == 1 && !text_has_prefix(fields.items[0], "type=")) {
		output->type = xstrdup(text_equal(fields.items[0], "-") ? "tar" : "local");
		output->dest = xstrdup(fields.items[0]);
		return 0;
	}
	for (size_t i = 0; i < fields.count; i++)
		if (read_field(output, fields.items[i], err) < 0)
			return -1;
	if (!output->type)
		return error_set(err, ERR_INVALID, "type is required for output");
	complete(output);
	return 0;
}

int build_caches_add(struct build_outputs *caches, const char *value, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	struct build_output *cache;

	if (spec_csv(&fields, value, err) < 0)
		return -1;
	cache = add(caches);
	if (fields.count == 1 && !strchr(fields.items[0], '=')) {
		cache->type = xstrdup("registry");
		text_map_set(&cache->attrs, "ref", fields.items[0]);
		return 0;
	}
	for (size_t i = 0; i < fields.count; i++)
		if (read_field(cache, fields.items[i], err) < 0)
			return -1;
	if (!cache->type)
		return error_set(err, ERR_INVALID, "type required form> \"%s\"", value);
	if (cache->dest)
		text_map_set(&cache->attrs, "dest", cache->dest);
	return 0;
}

void build_outputs_fini(struct build_outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++) {
		free(outputs->items[i].type);
		free(outputs->items[i].dest);
		text_map_fini(&outputs->items[i].attrs);
	}
	free(outputs->items);
}

static int check_one(const struct build_output *output, struct error *err)
{
	struct stat st;

	if (text_equal(output->type, "local") && (!output->dest || text_equal(output->dest, "-")))
		return error_set(err, ERR_INVALID, "dest is required for local exporter: a directory");
	if (output->push && !is_image(output))
		return error_set(err, ERR_INVALID, "output type=%s: push=true is for images", output->type);
	if (!is_archive(output->type))
		return 0;
	if (text_equal(output->dest, "-"))
		return isatty(STDOUT_FILENO) ? error_set(err, ERR_INVALID,
							 "dest file is required for %s exporter. refusing to write to "
							 "console",
							 output->type)
					     : 0;
	if (stat(output->dest, &st) == 0 && S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "destination file %s is a directory", output->dest);
	return 0;
}

int build_outputs_check(const struct build_outputs *outputs, struct error *err)
{
	size_t streams = 0;

	for (size_t i = 0; i < outputs->count; i++) {
		if (check_one(&outputs->items[i], err) < 0)
			return -1;
		streams += text_equal(outputs->items[i].dest, "-");
	}
	return streams > 1 ? error_set(err, ERR_INVALID, "only one output can go to standard output") : 0;
}

bool build_outputs_use_stdout(const struct build_outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (text_equal(outputs->items[i].dest, "-"))
			return true;
	return false;
}

bool build_outputs_push(const struct build_outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (outputs->items[i].push)
			return true;
	return false;
}

void build_outputs_json(struct text *out, const struct build_outputs *outputs)
{
	text_add_char(out, '[');
	for (size_t i = 0; i < outputs->count; i++) {
		text_add(out, i ? ",{" : "{");
		members_text(out, "Type", outputs->items[i].type);
		if (outputs->items[i].attrs.count > 0)
			members_map(out, "Attrs", &outputs->items[i].attrs);
		text_add_char(out, '}');
	}
	text_add_char(out, ']');
}

/* ---- what comes ---- */

static int save(int fd, const char *path, struct progress_stream *stream, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);
	ssize_t size;

	while ((size = progress_read(stream, block, BLOCK_SIZE, err)) > 0) {
		int r = write_full(fd, block, (size_t)size);

		if (r < 0)
			return error_set_errno(err, ERR_INTERNAL, r, "write %s", path);
	}
	return size < 0 ? -1 : 0;
}

/* Into a file beside it, which gets the name at the end. */
static int save_file(const char *path, struct progress_stream *stream, struct error *err)
{
	AUTO_FREE char *part = NULL;
	AUTO_CLOSE int fd = -1;
	struct stat st;
	char hex[17];
	int r;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		return fd < 0 ? error_set_errno(err, ERR_INVALID, errno, "open %s", path) : save(fd, path, stream, err);
	}
	random_hex(hex, 8);
	part = xasprintf("%s.%s.part", path, hex);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "create %s", part);
	r = save(fd, path, stream, err);
	if (r == 0 && rename(part, path) < 0)
		r = error_set_errno(err, ERR_INVALID, errno, "name %s", path);
	if (r < 0)
		unlink(part);
	return r;
}

static int save_folder(const char *path, struct progress_stream *stream, struct error *err)
{
	struct untar untar = { .read = progress_read, .read_arg = stream };
	int r = mkdir_all(AT_FDCWD, path, 0755);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "make %s", path);
	return untar_into(&untar, path, err);
}

static int take(const struct build_output *output, struct progress_stream *stream, struct error *err)
{
	if (text_equal(output->type, "local"))
		return save_folder(output->dest, stream, err);
	return text_equal(output->dest, "-") ? save(STDOUT_FILENO, "standard output", stream, err)
					     : save_file(output->dest, stream, err);
}

int build_outputs_take(void *arg, size_t number, struct progress_stream *stream, struct error *err)
{
	const struct build_wanted *wanted = arg;
	const struct build_output *output = number < wanted->outputs.count ? &wanted->outputs.items[number] : NULL;

	for (size_t i = 0, at = wanted->outputs.count; !output && i < wanted->caches.count; i++)
		if (text_equal(wanted->caches.items[i].type, "local") && at++ == number)
			output = &wanted->caches.items[i];
	if (!output || !output->dest)
		return error_set(err, ERR_INTERNAL, "the engine sends an output nobody asked for");
	return take(output, stream, err);
}
