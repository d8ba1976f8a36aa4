/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: what kist-unpack could not do without the layers below comes
 * back as records (archive/unpack.h). Links and attributes are its own work
 * again; with trees that are whole kist-files then links everything that lies
 * below and is not hidden.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/unpack.h"
#include "base/alloc.h"
#include "store/disk.h"
#include "store/files.h"
#include "store/layer.h"
#include "store/store_internal.h"
#include "store/unpack.h"

/* Overlay shows the highest layer's root directory; one that does not mention it must not change it. */
static int copy_root(int from, int to, struct error *err)
{
	struct timespec times[2];
	struct stat st;

	if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return disk_fail(err, errno, "copy the root directory of the layer below");
	times[0] = st.st_mtim;
	times[1] = st.st_mtim;
	if (futimens(to, times) < 0)
		return disk_fail(err, errno, "copy the times of the root directory");
	return 0;
}

static int finish_with(struct layer_writer *writer, const int *fds, size_t count, const struct unpack_result *result,
		       struct error *err)
{
	if (!result->has_root && copy_root(fds[0], layer_writer_fd(writer), err) < 0)
		return -1;
	return unpack_finish_below(layer_writer_fd(writer), fds, count, result, err);
}

static int finish_above(struct layer_writer *writer, struct store *store, const struct layer_stack *stack,
			const struct unpack_result *result, struct error *err)
{
	AUTO_FREE int *fds = xcalloc(stack->trees, sizeof(*fds));
	size_t opened = 0;
	int r = 0;

	while (r == 0 && opened < stack->trees) {
		fds[opened] = layer_open(store, &stack->items[opened], err);
		if (fds[opened] < 0)
			r = -1;
		else
			opened++;
	}
	if (r == 0)
		r = finish_with(writer, fds, opened, result, err);
	while (opened > 0)
		close(fds[--opened]);
	return r;
}

static void add_marks(struct text_list *request, const struct unpack_result *result)
{
	const char *at = result->deferred;
	const char *end;

	if (!at)
		return;
	end = at + result->deferred_size;
	for (; at < end; at += strlen(at) + 1)
		if (at[0] == UNPACK_HIDDEN)
			text_list_addf(request, "hidden=%s", at + 1);
		else if (at[0] == UNPACK_OPAQUE)
			text_list_addf(request, "opaque=%s", at + 1);
		else if (at[0] == 'L')
			at += strlen(at) + 1;
}

static int merge(struct store *store, int64_t directory, const struct layer *below, const struct unpack_result *result,
		 struct error *err)
{
	AUTO(text_list_fini) struct text_list request = { 0 };
	struct files_result ignored;
	char path[DIRECTORY_PATH_MAX];

	text_list_addf(&request, "base=%s", store_root(store));
	text_list_addf(&request, "to=%s", store_directory(path, directory, true, "/fs"));
	text_list_addf(&request, "from=%s", store_directory(path, below->directory, false, "/fs"));
	add_marks(&request, result);
	return files_run(&ignored, "merge", &request, -1, -1, err);
}

int layer_writer_finish(struct layer_writer *writer, const struct digest *parent, const struct unpack_result *result,
			struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	struct store *store = layer_writer_store(writer);
	bool whole = store_driver(store) == STORE_COPY;

	if (!digest_is_set(parent) || (!whole && result->deferred_size == 0 && result->has_root))
		return 0;
	if (layer_stack_load(&stack, store, parent, err) < 0 || finish_above(writer, store, &stack, result, err) < 0)
		return -1;
	return whole ? merge(store, layer_writer_directory(writer), &stack.items[0], result, err) : 0;
}
