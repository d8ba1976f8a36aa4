/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: lists first, then one thing at a time, leased while it is
 * looked at; what has gone meanwhile is no problem.
 */
#include "store/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "oci/hasher.h"
#include "oci/manifest.h"
#include "store/disk.h"
#include "store/erofs_layer.h"
#include "store/image_record.h"
#include "store/layer.h"
#include "store/store_internal.h"
#include "store/tree_compare.h"
#include "store/unpack.h"

struct digest_list {
	struct digest *items;
	size_t count;
	size_t capacity;
};

struct check {
	struct store *store;
	const struct check_options *options;
	struct check_counts counts;
	struct lease *lease;
};

static void tell(struct check *check, enum check_kind kind, const struct digest *digest, const char *text,
		 bool repaired)
{
	check->counts.problems++;
	check->counts.repaired += repaired;
	check->options->problem(check->options->arg, kind, digest, text, repaired);
}

static void add(struct digest_list *list, const struct digest *digest)
{
	list->items = xgrow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = *digest;
}

static int step(struct check *check, const char *what, size_t done, size_t total, struct error *err)
{
	struct pollfd polled = { .fd = check->options->cancel_fd, .events = POLLIN };

	if (check->options->progress)
		check->options->progress(check->options->arg, what, done, total);
	return poll(&polled, 1, 0) > 0 ? error_set(err, ERR_CANCELED, "canceled") : 0;
}

/* ---- blobs ---- */

static int list_blob(void *arg, const struct digest *digest, uint64_t size, struct error *err)
{
	(void)size;
	(void)err;
	add(arg, digest);
	return 0;
}

static int check_blob(struct check *check, const struct digest *digest, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int fd = -1;
	char text[DIGEST_TEXT_MAX];
	struct digest actual;
	int r;

	lease_add(check->lease, digest);
	fd = blob_open(store_blobs(check->store), digest, &ignored);
	if (fd < 0)
		return ignored.kind == ERR_NOT_FOUND ? 0 : error_move(err, &ignored);
	check->counts.blobs++;
	r = digest_of_fd(&actual, digest->algorithm, fd);
	if (r == 0 && digest_equal(&actual, digest))
		return 0;
	/* A block the disk cannot read is as bad as one that changed. */
	if (check->options->quarantine && r == 0)
		blob_verify(store_blobs(check->store), digest, &ignored);
	tell(check, CHECK_BLOB, digest, r < 0 ? "it cannot be read" : digest_text(&actual, text), false);
	return 0;
}

static int check_blobs(struct check *check, struct error *err)
{
	struct digest_list list = { 0 };
	int r = blob_walk(store_blobs(check->store), list_blob, &list, err);

	for (size_t i = 0; r == 0 && i < list.count; i++) {
		r = step(check, "blobs", i, list.count, err);
		if (r == 0)
			r = check_blob(check, &list.items[i], err);
	}
	free(list.items);
	return r;
}

/* ---- layers ---- */

/* The lower ones first: a whole tree is compared with one made from what it stands on. */
static int list_layers(struct digest_list *list, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest digest;
	int r;

	if (query_new(&query, store_database(store), "SELECT chain_id FROM layer ORDER BY rowid", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		query_digest(query, 0, &digest);
		add(list, &digest);
	}
	return r;
}

/* A second copy of the layer, in writer; 0 if its blob is not there. */
static int unpack_again(struct layer_writer **out_writer, bool *out_has_root, struct check *check,
			const struct layer *layer, struct error *err)
{
	AUTO(layer_writer_freep) struct layer_writer *writer = NULL;
	AUTO(unpack_freep) struct unpack *unpack = NULL;
	AUTO(unpack_result_fini) struct unpack_result result = { 0 };
	AUTO(error_clear) struct error missing = { 0 };
	AUTO_CLOSE int blob = blob_open(store_blobs(check->store), &layer->blob, &missing);
	struct unpack_options options = { .stream_fd = blob,
					  .lowest = !digest_is_set(&layer->parent),
					  .marks_apart = store_driver(check->store) == STORE_COPY };

	if (blob < 0)
		return missing.kind == ERR_NOT_FOUND ? 0 : error_move(err, &missing);
	if (layer_writer_new(&writer, check->store, err) < 0)
		return -1;
	options.target_fd = layer_writer_fd(writer);
	if (unpack_start(&unpack, &options, err) < 0 ||
	    unpack_wait(&result, unpack, check->options->cancel_fd, err) < 0 ||
	    layer_writer_finish(writer, &layer->parent, &result, err) < 0)
		return -1;
	*out_has_root = result.has_root;
	*out_writer = take_ptr(writer);
	return 1;
}

/* Nothing may stand on it: a container's overlay holds the folder that is there. */
static int is_in_use(struct store *store, const struct digest *chain_id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(
		    &query, store_database(store),
		    "WITH RECURSIVE above(chain) AS (SELECT ?1 UNION SELECT chain_id FROM layer JOIN above ON parent ="
		    " chain) SELECT 1 FROM snapshot JOIN above ON chain_id = chain LIMIT 1",
		    err) < 0)
		return -1;
	query_bind_digest(query, 1, chain_id, &memory);
	return query_next(query, err);
}

/* 1: the new copy took the place of the damaged one. */
static int replace_layer(struct check *check, struct layer_writer *writer, const struct layer *layer, struct error *err)
{
	int in_use = check->options->quarantine ? is_in_use(check->store, &layer->chain_id, err) : 1;

	if (in_use != 0)
		return in_use < 0 ? -1 : 0;
	return layer_replace(writer, layer, err) < 0 ? -1 : 1;
}

/* An image is mounted once more: what is cached of the mount that is there may be older than the damage. */
static int open_files(int *out_fd, struct store *store, const struct layer *layer, struct error *err)
{
	*out_fd = erofs_layer_open_again(store, layer->directory, err);
	if (*out_fd < 0 && !error_is_set(err))
		*out_fd = layer_open(store, layer, err);
	return *out_fd < 0 ? -1 : 0;
}

static int compare_layer(struct check *check, const struct layer *layer, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	AUTO(layer_writer_freep) struct layer_writer *writer = NULL;
	AUTO(error_clear) struct error opening = { 0 };
	AUTO_FREE char *difference = NULL;
	AUTO_CLOSE int there = -1;
	bool has_root = false;
	int r;

	if (layer_stack_load(&stack, check->store, &layer->chain_id, err) < 0)
		return -1;
	r = unpack_again(&writer, &has_root, check, layer, err);
	if (r == 0)
		check->counts.unchecked_layers++;
	if (r <= 0)
		return r;
	r = open_files(&there, check->store, layer, &opening);
	if (r == 0)
		r = tree_compare(&difference, layer_writer_fd(writer), there, has_root, &opening);
	/* Files that cannot be read are as bad as files that are not there. */
	if (r < 0) {
		difference = xstrdup(opening.message);
		r = 0;
	}
	if (r > 0)
		return 0;
	r = replace_layer(check, writer, layer, err);
	if (r < 0)
		return -1;
	tell(check, CHECK_LAYER, &layer->chain_id, difference, r > 0);
	return 0;
}

static int check_layer(struct check *check, const struct digest *chain_id, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	struct layer layer;
	int r;

	lease_add(check->lease, chain_id);
	r = layer_find(&layer, check->store, chain_id, err);
	if (r <= 0)
		return r;
	lease_add(check->lease, &layer.blob);
	check->counts.layers++;
	r = compare_layer(check, &layer, &problem);
	/* One layer that cannot be looked at does not end the check of the others. */
	if (r < 0 && problem.kind != ERR_CANCELED && problem.kind != ERR_EXHAUSTED)
		tell(check, CHECK_LAYER, chain_id, problem.message, false);
	else if (r < 0)
		return error_move(err, &problem);
	return 0;
}

static int check_layers(struct check *check, struct error *err)
{
	struct digest_list list = { 0 };
	int r = list_layers(&list, check->store, err);

	for (size_t i = 0; r == 0 && i < list.count; i++) {
		r = step(check, "layers", i, list.count, err);
		if (r == 0)
			r = check_layer(check, &list.items[i], err);
	}
	free(list.items);
	return r;
}

/* ---- images ---- */

static bool has_blob(struct check *check, const struct digest *digest)
{
	AUTO(error_clear) struct error ignored = { 0 };

	return blob_exists(store_blobs(check->store), digest, &ignored) > 0;
}

/* stack: highest first. Another archive of the same files is as good as the one the manifest names. */
static const char *find_missing_layer(struct check *check, const struct digest *manifest_digest,
				      const struct layer_stack *stack)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO(manifest_fini) struct manifest manifest = { 0 };
	AUTO_FREE char *text = NULL;
	size_t size;

	if (blob_read(&text, &size, store_blobs(check->store), manifest_digest, MANIFEST_SIZE_MAX, &ignored) < 0 ||
	    manifest_decode(&manifest, text, size, NULL, &ignored) < 0)
		return "its manifest cannot be read";
	for (size_t i = 0; i < manifest.layers.count; i++) {
		struct digest digest;

		descriptor_digest(&manifest.layers.items[i], &digest);
		if (!has_blob(check, &digest) &&
		    (manifest.layers.count != stack->count ||
		     !has_blob(check, &stack->items[stack->count - 1 - i].blob)) &&
		    !media_type_is_foreign_layer(manifest.layers.items[i].media_type))
			return "the archive of a layer is missing: it runs, but cannot be pushed or saved";
	}
	return NULL;
}

static int check_image(struct check *check, const struct image_record *image, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	AUTO(error_clear) struct error problem = { 0 };
	const char *missing = NULL;

	(void)err;
	check->counts.images++;
	if (!has_blob(check, &image->id))
		missing = "its config is missing";
	else if (layer_stack_load(&stack, check->store, &image->chain_id, &problem) < 0)
		missing = problem.message;
	else if (digest_is_set(&image->manifest))
		missing = has_blob(check, &image->manifest) ? find_missing_layer(check, &image->manifest, &stack)
							    : "its manifest is missing";
	if (missing)
		tell(check, CHECK_IMAGE, &image->id, missing, false);
	return 0;
}

static int check_images(struct check *check, struct error *err)
{
	AUTO(image_record_list_fini) struct image_record_list list = { 0 };
	int r = image_record_list_load(&list, check->store, err);

	for (size_t i = 0; r == 0 && i < list.count; i++) {
		r = step(check, "images", i, list.count, err);
		if (r == 0)
			r = check_image(check, &list.items[i], err);
	}
	return r;
}

int store_check(struct check_counts *out_counts, struct store *store, const struct check_options *options,
		struct error *err)
{
	struct check check = { .store = store, .options = options, .lease = lease_new(store) };
	int r = check_blobs(&check, err);

	if (r == 0)
		r = check_layers(&check, err);
	if (r == 0)
		r = check_images(&check, err);
	lease_free(check.lease);
	*out_counts = check.counts;
	return r;
}
