/* SPDX-License-Identifier: Apache-2.0 */
#include "store/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/path.h"
#include "store/disk.h"
#include "store/erofs_layer.h"
#include "store/store_internal.h"

/* Overlay takes 500 lower layers; docker 125. A longer chain of rows is damage. */
#define STACK_MAX 500

struct layer_writer {
	struct store *store; /* borrowed */
	int64_t directory;
	int fd; /* .../fs */
	bool committed;
};

static void read_layer(struct layer *out_layer, struct query *query)
{
	query_digest(query, 0, &out_layer->chain_id);
	query_digest(query, 1, &out_layer->parent);
	query_digest(query, 2, &out_layer->diff_id);
	query_digest(query, 3, &out_layer->blob);
	out_layer->directory = query_i64(query, 4);
	out_layer->size = (uint64_t)query_i64(query, 5);
}

int layer_find(struct layer *out_layer, struct store *store, const struct digest *chain_id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;
	int r;

	if (query_new(&query, store_database(store),
		      "SELECT chain_id, parent, diff_id, blob, directory, size FROM layer WHERE chain_id = ?1",
		      err) < 0)
		return -1;
	query_bind_digest(query, 1, chain_id, &memory);
	r = query_next(query, err);
	if (r > 0)
		read_layer(out_layer, query);
	return r;
}

/* ---- write ---- */

int layer_writer_new(struct layer_writer **out_writer, struct store *store, struct error *err)
{
	AUTO(layer_writer_freep) struct layer_writer *writer = xcalloc(1, sizeof(*writer));
	char path[DIRECTORY_PATH_MAX];
	int root = store_root_fd(store);

	writer->store = store;
	writer->fd = -1;
	writer->directory = store_next_directory(store);
	if (mkdirat(root, store_directory(path, writer->directory, true, ""), 0711) < 0 ||
	    mkdirat(root, store_directory(path, writer->directory, true, "/fs"), 0755) < 0)
		return disk_fail(err, errno, "make %s", path);
	writer->fd = openat(root, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	/* The umask of the daemon must not become the mode of the root directory of an image. */
	if (writer->fd < 0 || fchmod(writer->fd, 0755) < 0)
		return disk_fail(err, errno, "open %s", path);
	*out_writer = take_ptr(writer);
	return 0;
}

int layer_writer_adopt(struct layer_writer **out_writer, struct store *store, int64_t directory, struct error *err)
{
	AUTO(layer_writer_freep) struct layer_writer *writer = xcalloc(1, sizeof(*writer));
	int root = store_root_fd(store);
	char from[DIRECTORY_PATH_MAX];
	char to[DIRECTORY_PATH_MAX];

	writer->store = store;
	writer->fd = -1;
	writer->directory = directory;
	store_directory(from, directory, false, "");
	if (renameat(root, from, root, store_directory(to, directory, true, "")) < 0)
		return disk_fail(err, errno, "rename %s to %s", from, to);
	writer->fd = openat(root, store_directory(to, directory, true, "/fs"),
			    O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (writer->fd < 0)
		return disk_fail(err, errno, "open %s", to);
	*out_writer = take_ptr(writer);
	return 0;
}

struct store *layer_writer_store(const struct layer_writer *writer)
{
	return writer->store;
}

int64_t layer_writer_directory(const struct layer_writer *writer)
{
	return writer->directory;
}

int layer_writer_fd(const struct layer_writer *writer)
{
	return writer->fd;
}

void layer_writer_free(struct layer_writer *writer)
{
	AUTO(error_clear) struct error ignored = { 0 };
	char path[DIRECTORY_PATH_MAX];

	if (!writer)
		return;
	if (writer->fd >= 0)
		close(writer->fd);
	if (!writer->committed)
		store_discard(writer->store, store_directory(path, writer->directory, true, ""), &ignored);
	free(writer);
}

static int insert_layer(struct store *store, const struct layer *layer, int64_t directory, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory[4];

	if (query_new(&query, store_database(store),
		      "INSERT OR IGNORE INTO layer(chain_id, parent, diff_id, blob, directory, size)"
		      " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
		      err) < 0)
		return -1;
	query_bind_digest(query, 1, &layer->chain_id, &memory[0]);
	query_bind_digest(query, 2, &layer->parent, &memory[1]);
	query_bind_digest(query, 3, &layer->diff_id, &memory[2]);
	query_bind_digest(query, 4, &layer->blob, &memory[3]);
	query_bind_i64(query, 5, directory);
	query_bind_i64(query, 6, (int64_t)layer->size);
	return query_run(query, err);
}

static int check_parent(struct store *store, const struct layer *layer, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	struct layer parent;
	int r;

	if (!digest_is_set(&layer->parent))
		return 0;
	r = layer_find(&parent, store, &layer->parent, err);
	if (r == 0)
		return error_set(err, ERR_NOT_FOUND, "the layer below, %s, is not stored",
				 digest_text(&layer->parent, text));
	return r < 0 ? -1 : 0;
}

/* With images, the folder becomes one. */
static int pack(const struct layer_writer *writer, struct error *err)
{
	return store_driver(writer->store) == STORE_EROFS ? erofs_layer_make(writer->store, writer->directory, err) : 0;
}

int layer_commit(struct layer_writer *writer, const struct layer *layer, struct error *err)
{
	int root = store_root_fd(writer->store);
	char from[DIRECTORY_PATH_MAX];
	char to[DIRECTORY_PATH_MAX];
	struct layer existing;
	int r = layer_find(&existing, writer->store, &layer->chain_id, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (check_parent(writer->store, layer, err) < 0)
		return -1;
	if (pack(writer, err) < 0)
		return -1;
	/* The row may reach the disk before the files: sync them first. */
	if (syncfs(writer->fd) < 0)
		return disk_fail(err, errno, "sync a layer");
	store_directory(from, writer->directory, true, "");
	store_directory(to, writer->directory, false, "");
	if (renameat(root, from, root, to) < 0)
		return disk_fail(err, errno, "rename %s to %s", from, to);
	if (disk_sync_name(root, to, err) < 0)
		return -1;
	fault_point("kistd layer: folder named");
	r = insert_layer(writer->store, layer, writer->directory, err);
	if (r > 0)
		writer->committed = true;
	else
		renameat(root, to, root, from);
	return r < 0 ? -1 : 0;
}

static int move_row(struct store *store, const struct layer *layer, int64_t directory, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory;

	if (query_new(&query, store_database(store),
		      "UPDATE layer SET directory = ?2 WHERE chain_id = ?1 AND directory = ?3", err) < 0)
		return -1;
	query_bind_digest(query, 1, &layer->chain_id, &memory);
	query_bind_i64(query, 2, directory);
	query_bind_i64(query, 3, layer->directory);
	return query_run(query, err);
}

int layer_replace(struct layer_writer *writer, const struct layer *layer, struct error *err)
{
	int root = store_root_fd(writer->store);
	char from[DIRECTORY_PATH_MAX];
	char to[DIRECTORY_PATH_MAX];
	int r;

	if (pack(writer, err) < 0)
		return -1;
	if (syncfs(writer->fd) < 0)
		return disk_fail(err, errno, "sync a layer");
	store_directory(from, writer->directory, true, "");
	store_directory(to, writer->directory, false, "");
	if (renameat(root, from, root, to) < 0)
		return disk_fail(err, errno, "rename %s to %s", from, to);
	if (disk_sync_name(root, to, err) < 0)
		return -1;
	r = move_row(writer->store, layer, writer->directory, err);
	if (r <= 0) {
		renameat(root, to, root, from);
		return r;
	}
	writer->committed = true;
	erofs_layer_forget(writer->store, layer->directory);
	return store_discard(writer->store, store_directory(from, layer->directory, false, ""), err);
}

int layer_set_blob(struct store *store, const struct digest *chain_id, const struct digest *blob, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	struct digest_param memory[2];

	if (query_new(&query, store_database(store), "UPDATE layer SET blob = ?2 WHERE chain_id = ?1", err) < 0)
		return -1;
	query_bind_digest(query, 1, chain_id, &memory[0]);
	query_bind_digest(query, 2, blob, &memory[1]);
	return query_run(query, err) < 0 ? -1 : 0;
}

/* ---- read ---- */

bool layer_takes_snapshots(const struct store *store)
{
	return store_driver(store) == STORE_OVERLAY;
}

char *layer_path(struct store *store, const struct layer *layer)
{
	char path[DIRECTORY_PATH_MAX];

	return path_join(store_root(store), store_directory(path, layer->directory, false, "/fs"));
}

int layer_use(struct store *store, const struct layer *layer, struct error *err)
{
	return erofs_layer_use(store, layer->directory, err);
}

int layer_open(struct store *store, const struct layer *layer, struct error *err)
{
	char path[DIRECTORY_PATH_MAX];
	int fd;

	if (layer_use(store, layer, err) < 0)
		return -1;
	fd = openat(store_root_fd(store), store_directory(path, layer->directory, false, "/fs"),
		    O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? disk_fail(err, errno, "open %s", path) : fd;
}

int layer_stack_load(struct layer_stack *out_stack, struct store *store, const struct digest *chain_id,
		     struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct digest next = *chain_id;
	char text[DIGEST_TEXT_MAX];
	size_t capacity = 0;

	while (digest_is_set(&next)) {
		int r;

		if (stack.count == STACK_MAX)
			return error_set(err, ERR_INTERNAL, "more than %d layers below %s", STACK_MAX,
					 digest_text(chain_id, text));
		stack.items = xgrow(stack.items, &capacity, stack.count + 1, sizeof(*stack.items));
		r = layer_find(&stack.items[stack.count], store, &next, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return error_set(err, ERR_NOT_FOUND, "layer %s is not stored", digest_text(&next, text));
		next = stack.items[stack.count].parent;
		stack.size += stack.items[stack.count].size;
		stack.count++;
	}
	stack.trees = store_driver(store) == STORE_COPY && stack.count > 0 ? 1 : stack.count;
	*out_stack = stack;
	stack = (struct layer_stack){ 0 };
	return 0;
}

void layer_stack_fini(struct layer_stack *stack)
{
	free(stack->items);
	*stack = (struct layer_stack){ 0 };
}

int layer_total_size(uint64_t *out_bytes, struct store *store, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(store), "SELECT coalesce(sum(size), 0) FROM layer", err) < 0 ||
	    query_next(query, err) < 0)
		return -1;
	*out_bytes = (uint64_t)query_i64(query, 0);
	return 0;
}
