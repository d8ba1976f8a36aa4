/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/checkpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/engine_private.h"
#include "engine/settings.h"
#include "rpc/task_client.h"

#define OWN_FOLDER "checkpoints"
#define INVENTORY "inventory.img"

static int check_experimental(const struct engine *engine, struct error *err)
{
	return engine_settings(engine)->experimental
		       ? 0
		       : error_set(err, ERR_UNSUPPORTED,
				   "This experimental feature is disabled by default. Start the Docker daemon in "
				   "experimental mode in order to enable it.");
}

/* docker's rule of names; nothing of it leads out of a folder. */
static int check_name(const char *name, struct error *err)
{
	bool good = !text_empty(name) && isalnum((unsigned char)*name) && name[1];

	for (const char *at = text_or_empty(name); good && *at; at++)
		good = isalnum((unsigned char)*at) || strchr("_.-", *at);
	return good ? 0
		    : error_set(err, ERR_INVALID,
				"Invalid checkpoint ID (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
				text_or_empty(name));
}

static char *folder_of(const struct container *container, const char *folder)
{
	return text_empty(folder) ? container_path(container, OWN_FOLDER) : xstrdup(folder);
}

static bool is_whole(const char *path)
{
	AUTO_FREE char *inventory = path_join(path, INVENTORY);

	return file_exists(AT_FDCWD, inventory);
}

int checkpoint_find(char **out_path, const struct container *container, const struct checkpoint_options *options,
		    struct error *err)
{
	AUTO_FREE char *folder = folder_of(container, options->folder);
	AUTO_FREE char *path = NULL;

	if (check_name(options->name, err) < 0)
		return -1;
	path = path_join(folder, options->name);
	if (!is_whole(path))
		return error_set(err, ERR_NOT_FOUND, "checkpoint %s does not exist for container %s", options->name,
				 container->document.name);
	*out_path = take_ptr(path);
	return 0;
}

/* ---- create ---- */

static int make_folder(char **out_path, const struct container *container, const struct checkpoint_options *options,
		       struct error *err)
{
	AUTO_FREE char *folder = folder_of(container, options->folder);
	AUTO_FREE char *path = path_join(folder, options->name);
	struct stat st;
	int r;

	if (!text_empty(options->folder) && *options->folder != '/')
		return error_set(err, ERR_INVALID, "checkpoint directory %s is not absolute", options->folder);
	if (is_whole(path))
		return error_set(err, ERR_CONFLICT, "checkpoint with name %s already exists for container %s",
				 options->name, container->document.name);
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return error_set(err, ERR_CONFLICT, "%s exists and is not a directory", path);
	/* A folder of ours that no dump has completed. In somebody else's only an empty one is taken. */
	if (text_empty(options->folder))
		remove_tree(AT_FDCWD, path);
	else if (rmdir(path) < 0 && errno == ENOTEMPTY)
		return error_set(err, ERR_CONFLICT, "%s exists and is not empty", path);
	r = mkdir_all(AT_FDCWD, path, 0700);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "make %s", path);
	*out_path = take_ptr(path);
	return 0;
}

static void want_stop(struct container *container, bool wanted)
{
	mutex_lock(&container->mutex);
	container->stop_wanted = wanted;
	mutex_unlock(&container->mutex);
}

/* No restart policy may begin a new run beside the one in the files. */
static int dump(struct container *container, const char *path, const struct checkpoint_options *options, int cancel_fd,
		struct error *err)
{
	const struct task_checkpoint_options asked = { .exit = options->exit };
	struct task_client *task = container_borrow_task(container, err);
	int r;

	if (!task)
		return -1;
	if (options->exit)
		want_stop(container, true);
	r = task_checkpoint(task, container->id, path, &asked, cancel_fd, err);
	container_return_task(container);
	if (r < 0 && options->exit)
		want_stop(container, false);
	return r;
}

static int check_running(struct container *container, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;

	if (state->restarting)
		return error_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running",
				 container->id);
	return state->running ? 0 : error_set(err, ERR_CONFLICT, "Container %s is not running", container->id);
}

static int create_held(struct container *container, const struct checkpoint_options *options, int cancel_fd,
		       struct error *err)
{
	AUTO_FREE char *path = NULL;

	if (check_running(container, err) < 0 || check_name(options->name, err) < 0)
		return -1;
	if (make_folder(&path, container, options, err) < 0)
		return error_prefix(err, "cannot checkpoint container %s", container->document.name);
	if (dump(container, path, options, cancel_fd, err) < 0) {
		remove_tree(AT_FDCWD, path);
		return error_prefix(err, "Cannot checkpoint container %s", container->document.name);
	}
	container_event(container, "checkpoint", NULL);
	return 0;
}

static bool has_ended(struct container *container, void *arg)
{
	const uint64_t *exits = arg;

	return container->exits != *exits || !container->document.state.running || container->removed;
}

int checkpoint_create(struct engine *engine, const char *name, const struct checkpoint_options *options, int cancel_fd,
		      struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	uint64_t exits;
	int r;

	if (check_experimental(engine, err) < 0 || container_find(&container, engine, name, err) < 0 ||
	    container_acquire(container, cancel_fd, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	exits = container->exits;
	mutex_unlock(&container->mutex);
	/* What CRIU has begun is finished even if the client leaves: a container may have ended with it. */
	r = create_held(container, options, -1, err);
	container_release(container);
	if (r < 0 || !options->exit)
		return r;
	/* Then it can be started from there at once. */
	return container_await(container, has_ended, &exits, cancel_fd, 0, err) < 0 ? -1 : 0;
}

/* ---- list, remove ---- */

static int read_names(struct text_list *out_names, const char *folder, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = opendir(folder);
	const struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : error_set_errno(err, ERR_INTERNAL, errno, "read %s", folder);
	while ((entry = readdir(dir))) {
		AUTO(error_clear) struct error ignored = { 0 };
		AUTO_FREE char *path = path_join(folder, entry->d_name);

		if (check_name(entry->d_name, &ignored) == 0 && is_whole(path))
			text_list_add(out_names, entry->d_name);
	}
	text_list_sort(out_names);
	return 0;
}

int checkpoint_list(struct text_list *out_names, struct engine *engine, const char *name, const char *folder,
		    struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO_FREE char *path = NULL;

	if (check_experimental(engine, err) < 0 || container_find(&container, engine, name, err) < 0)
		return -1;
	path = folder_of(container, folder);
	return read_names(out_names, path, err);
}

int checkpoint_remove(struct engine *engine, const char *name, const struct checkpoint_options *options,
		      struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *inventory = NULL;
	int r;

	if (check_experimental(engine, err) < 0 || container_find(&container, engine, name, err) < 0 ||
	    checkpoint_find(&path, container, options, err) < 0)
		return -1;
	/* First what makes it whole: half of one that is left is none. */
	inventory = path_join(path, INVENTORY);
	unlink(inventory);
	r = remove_tree(AT_FDCWD, path);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "remove %s", path) : 0;
}
