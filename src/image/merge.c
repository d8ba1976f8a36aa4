/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: layers are read from the top down, and every entry is judged by
 * what the layers above it said of its name and of the folders over it. Then
 * they are written from the bottom up: links come behind what they point to.
 */
#include "image/merge.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "archive/tar_reader.h"
#include "archive/tar_writer.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/path.h"
#include "image/file_walk.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
/* All layers together: far more than any image has. */
#define ENTRIES_MAX 4000000
#define LINKS_MAX 16

struct entry {
	char *path;
	char *link;	/* of hard links */
	uint64_t start; /* of its headers */
	uint64_t data;
	uint64_t size;
	struct tar_entry head; /* its texts are not used */
	bool visible;
};

struct layer {
	int fd; /* borrowed */
	struct entry *entries;
	size_t count;
	size_t capacity;
	struct map by_path; /* the last entry of a name; borrowed */
};

struct merge {
	struct layer *layers;
	size_t count;
	/* What upper layers said; the value is of no meaning. */
	struct map named;   /* this very name is theirs */
	struct map removed; /* neither it nor what is below it shows */
	struct map opaque;  /* what is below it does not show */
	size_t entries;
};

/* ---- reading ---- */

static struct entry *add_entry(struct layer *layer)
{
	if (layer->count == layer->capacity) {
		layer->capacity = layer->capacity ? layer->capacity * 2 : 256;
		layer->entries = xrealloc(layer->entries, layer->capacity * sizeof(*layer->entries));
	}
	layer->entries[layer->count] = (struct entry){ 0 };
	return &layer->entries[layer->count++];
}

static int read_layer(struct merge *merge, struct layer *layer, struct error *err)
{
	struct file_walk walk = { .fd = layer->fd, .what = "a layer" };
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(file_walk_read, &walk);
	uint64_t start = 0;
	struct tar_entry head;
	int r;

	while ((r = tar_reader_next(reader, &head, err)) > 0) {
		struct entry *entry;

		if (++merge->entries > ENTRIES_MAX)
			return error_set(err, ERR_INVALID, "the layers have more than %d files", ENTRIES_MAX);
		entry = add_entry(layer);
		*entry = (struct entry){ .path = path_clean(head.path),
					 .link = head.type == TAR_HARD_LINK ? path_clean(text_or_empty(head.link))
									    : NULL,
					 .start = start,
					 .data = walk.at,
					 .size = head.size,
					 .head = head };
		start = walk.at + head.size + tar_padding(head.size);
	}
	for (size_t i = 0; r == 0 && i < layer->count; i++)
		map_set(&layer->by_path, layer->entries[i].path, &layer->entries[i]);
	return r;
}

/* ---- judging ---- */

static bool is_below(const struct map *set, const char *path)
{
	AUTO_FREE char *parent = xstrdup(path);
	char *slash;

	if (set->count == 0)
		return false;
	while ((slash = strrchr(parent, '/'))) {
		*slash = '\0';
		if (map_get(set, parent))
			return true;
	}
	return map_get(set, ".") != NULL;
}

static bool is_whiteout(const struct entry *entry)
{
	return text_has_prefix(path_base(entry->path), WHITEOUT);
}

static void judge_layer(const struct merge *merge, const struct layer *layer)
{
	for (size_t i = 0; i < layer->count; i++) {
		struct entry *entry = &layer->entries[i];

		entry->visible = !is_whiteout(entry) && !map_get(&merge->named, entry->path) &&
				 !map_get(&merge->removed, entry->path) && !is_below(&merge->removed, entry->path) &&
				 !is_below(&merge->opaque, entry->path);
	}
}

/* What this layer says to those below it. */
static void remember_layer(struct merge *merge, const struct layer *layer)
{
	for (size_t i = 0; i < layer->count; i++) {
		const struct entry *entry = &layer->entries[i];
		AUTO_FREE char *parent = path_parent(entry->path);
		const char *base = path_base(entry->path);

		if (text_equal(base, OPAQUE)) {
			map_set(&merge->opaque, parent, merge);
		} else if (is_whiteout(entry)) {
			AUTO_FREE char *gone = text_equal(parent, ".") ? xstrdup(base + strlen(WHITEOUT))
								       : path_join(parent, base + strlen(WHITEOUT));

			map_set(&merge->removed, gone, merge);
		} else {
			map_set(entry->head.type == TAR_DIRECTORY ? &merge->named : &merge->removed, entry->path,
				merge);
		}
	}
}

/* ---- writing ---- */

static int send_range(int out_fd, int in_fd, uint64_t start, uint64_t end, struct error *err)
{
	off_t at = (off_t)start;

	while ((uint64_t)at < end) {
		uint64_t left = end - (uint64_t)at;
		ssize_t sent = sendfile(out_fd, in_fd, &at, left < (1 << 30) ? (size_t)left : 1 << 30);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent == 0)
			return error_set(err, ERR_INVALID, "a layer is cut short");
		if (sent < 0)
			return error_set_errno(err, errno == ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, errno,
					       "write the file system");
	}
	return 0;
}

static int send_entry(int out_fd, const struct layer *layer, const struct entry *entry, struct error *err)
{
	return send_range(out_fd, layer->fd, entry->start, entry->data + entry->size + tar_padding(entry->size), err);
}

static const struct entry *find_below(const struct merge *merge, size_t at, const char *path, size_t *out_at)
{
	for (size_t i = at + 1; i > 0; i--) {
		const struct entry *entry = map_get(&merge->layers[i - 1].by_path, path);

		*out_at = i - 1;
		if (entry)
			return entry;
	}
	return NULL;
}

/* The entry a hard link of layer `at` means: in its own layer or the nearest below. Links that go round mean nothing. */
static const struct entry *find_target(const struct merge *merge, size_t at, const char *path,
				       const struct layer **out_layer)
{
	const struct entry *entry = find_below(merge, at, path, &at);

	for (int i = 0; entry && entry->link && i < LINKS_MAX; i++)
		entry = find_below(merge, at, entry->link, &at);
	*out_layer = &merge->layers[at];
	return entry && !entry->link ? entry : NULL;
}

/* What it points to shows no more, but its content does, here. */
static int send_link_as_file(int out_fd, const struct merge *merge, size_t at, const struct entry *link,
			     struct error *err)
{
	const struct layer *layer = NULL;
	const struct entry *target = find_target(merge, at, link->link, &layer);
	AUTO(text_fini) struct text header = { 0 };
	static const char zeros[TAR_BLOCK];
	struct tar_entry head;
	int r;

	if (!target || target->head.type != TAR_FILE)
		return error_set(err, ERR_INVALID, "%s is a link to %s, which is not there", link->path, link->link);
	head = target->head;
	head.path = link->path;
	head.link = NULL;
	head.xattrs = NULL;
	head.xattr_count = 0;
	tar_add_header(&header, &head);
	r = write_full(out_fd, header.data, header.size);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "write the file system");
	if (send_range(out_fd, layer->fd, target->data, target->data + target->size, err) < 0)
		return -1;
	r = write_full(out_fd, zeros, tar_padding(target->size));
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write the file system") : 0;
}

static bool lost_its_target(const struct merge *merge, size_t at, const struct entry *entry)
{
	const struct layer *layer = NULL;
	const struct entry *target = entry->link ? find_target(merge, at, entry->link, &layer) : NULL;

	return entry->link && (!target || !target->visible);
}

static int write_layer(int out_fd, const struct merge *merge, size_t at, struct error *err)
{
	const struct layer *layer = &merge->layers[at];

	for (size_t i = 0; i < layer->count; i++) {
		const struct entry *entry = &layer->entries[i];
		int r = 0;

		if (entry->visible)
			r = lost_its_target(merge, at, entry) ? send_link_as_file(out_fd, merge, at, entry, err)
							      : send_entry(out_fd, layer, entry, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* ---- together ---- */

static int run(int out_fd, struct merge *merge, struct error *err)
{
	static const char zeros[TAR_END_SIZE];
	int r = 0;

	for (size_t i = merge->count; r == 0 && i > 0; i--) {
		struct layer *layer = &merge->layers[i - 1];

		r = read_layer(merge, layer, err);
		if (r == 0) {
			judge_layer(merge, layer);
			remember_layer(merge, layer);
		}
	}
	for (size_t i = 0; r == 0 && i < merge->count; i++)
		r = write_layer(out_fd, merge, i, err);
	if (r == 0 && (r = write_full(out_fd, zeros, sizeof(zeros))) < 0)
		r = error_set_errno(err, ERR_INTERNAL, r, "write the file system");
	return r;
}

static void free_layer(struct layer *layer)
{
	for (size_t i = 0; i < layer->count; i++) {
		free(layer->entries[i].path);
		free(layer->entries[i].link);
	}
	free(layer->entries);
	map_fini(&layer->by_path);
}

int merge_layers(int out_fd, const int *layer_fds, size_t count, struct error *err)
{
	struct merge merge = { .layers = xcalloc(count ? count : 1, sizeof(struct layer)), .count = count };
	int r;

	map_init(&merge.named, NULL);
	map_init(&merge.removed, NULL);
	map_init(&merge.opaque, NULL);
	for (size_t i = 0; i < count; i++) {
		merge.layers[i].fd = layer_fds[i];
		map_init(&merge.layers[i].by_path, NULL);
	}
	r = run(out_fd, &merge, err);
	for (size_t i = 0; i < count; i++)
		free_layer(&merge.layers[i]);
	free(merge.layers);
	map_fini(&merge.named);
	map_fini(&merge.removed);
	map_fini(&merge.opaque);
	return r;
}
