/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/image_commit.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "oci/hasher.h"
#include "store/image_name.h"

#define BLOCK_SIZE (256 * 1024)

int image_layers_init(struct image_layers_new *out_layers, const struct image_config *config, struct lease *lease,
		      struct error *err)
{
	const struct text_list *diff_ids = &config->rootfs.diff_ids;
	struct image_layers_new layers = { .count = diff_ids->count };
	struct digest chain = { 0 };

	layers.items = xcalloc(layers.count ? layers.count : 1, sizeof(*layers.items));
	for (size_t i = 0; i < layers.count; i++) {
		struct image_layer *layer = &layers.items[i];

		if (digest_parse(&layer->diff_id, diff_ids->items[i], err) < 0) {
			image_layers_fini(&layers);
			return error_prefix(err, "rootfs.diff_ids[%zu]", i);
		}
		chain_id_add(&chain, &layer->diff_id);
		layer->chain_id = chain;
		lease_add(lease, &layer->chain_id);
	}
	*out_layers = layers;
	return 0;
}

void image_layers_fini(struct image_layers_new *layers)
{
	for (size_t i = 0; i < layers->count; i++) {
		layer_writer_free(layers->items[i].writer);
		unpack_result_fini(&layers->items[i].unpacked);
	}
	free(layers->items);
	*layers = (struct image_layers_new){ 0 };
}

/* ---- streams ---- */

static int wait_readable(int fd, int cancel_fd, struct error *err)
{
	struct pollfd polled[2] = { { .fd = fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };

	while (poll(polled, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	return polled[0].revents ? 0 : error_set(err, ERR_CANCELED, "canceled");
}

int image_read_stream(int fd, int cancel_fd, int (*take)(void *arg, const void *data, size_t size, struct error *err),
		      void *arg, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);
	ssize_t got;

	for (;;) {
		if (wait_readable(fd, cancel_fd, err) < 0)
			return -1;
		got = read(fd, block, BLOCK_SIZE);
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read the archive");
		if (got == 0)
			return 0;
		if (take(arg, block, (size_t)got, err) < 0)
			return -1;
	}
}

/* ---- commit ---- */

static int commit_layer(const struct image_layers_new *layers, size_t index, struct error *err)
{
	struct image_layer *new_layer = &layers->items[index];
	struct layer layer = { .chain_id = new_layer->chain_id,
			       .diff_id = new_layer->diff_id,
			       .blob = new_layer->blob,
			       .size = new_layer->unpacked.bytes };

	if (index > 0)
		layer.parent = layers->items[index - 1].chain_id;
	if (layer_writer_finish(new_layer->writer, &layer.parent, &new_layer->unpacked, err) < 0)
		return -1;
	return layer_commit(new_layer->writer, &layer, err);
}

int image_layers_commit(struct image_layers_new *layers, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < layers->count; i++)
		if (layers->items[i].writer && commit_layer(layers, i, err) < 0)
			return error_prefix(err, "layer %s", digest_text(&layers->items[i].diff_id, text));
	return 0;
}

int image_commit_record(struct store *store, const struct digest *id, const struct digest *manifest,
			const struct image_config *config, const struct image_layers_new *layers,
			const struct digest *parent, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct image_record record = { .id = *id, .manifest = *manifest, .tagged_ns = clock_wall_ns() };

	if (parent)
		record.parent = *parent;
	if (config->created)
		clock_parse(&record.created_ns, config->created);
	if (layers->count > 0)
		record.chain_id = layers->items[layers->count - 1].chain_id;
	if (layer_stack_load(&stack, store, &record.chain_id, err) < 0)
		return -1;
	record.size = stack.size;
	return image_record_put(store, &record, err);
}

int image_commit_named(struct store *store, const struct digest *id, const struct digest *manifest,
		       const struct image_config *config, const struct image_layers_new *layers,
		       const struct reference *names, size_t count, struct digest *out_previous, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;

	if (transaction_begin(&transaction, store_database(store), FILE_SYNC_ALL, err) < 0 ||
	    image_commit_record(store, id, manifest, config, layers, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (image_name_set(store, &names[i], id, out_previous ? &out_previous[i] : NULL, err) < 0)
			return -1;
	return transaction_commit(transaction, err);
}
