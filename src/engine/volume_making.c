/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/volume_making.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "engine/engine_private.h"
#include "engine/volume.h"

#define MAKING ".making" /* no volume's name begins with a dot */

static char *making_path(const struct engine *engine, const char *name)
{
	return xasprintf("%s/volumes/" MAKING "/%s", engine->data_root, name);
}

int volume_making_begin(struct engine *engine, const char *name, struct error *err)
{
	AUTO_FREE char *folder = making_path(engine, "");
	AUTO_FREE char *path = making_path(engine, name);
	AUTO_CLOSE int fd = -1;
	int r = mkdir_all(AT_FDCWD, folder, 0700);

	if (r == 0)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, r < 0 ? r : errno, "create volume %s: %s", name, path) : 0;
}

void volume_making_end(struct engine *engine, const char *name)
{
	AUTO_FREE char *path = making_path(engine, name);

	unlink(path);
}

void volumes_made(struct container *container)
{
	const struct container_document *document = &container->document;

	for (size_t i = 0; i < document->mounts.count; i++)
		if (document->mounts.items[i].anonymous && document->mounts.items[i].name)
			volume_making_end(container->engine, document->mounts.items[i].name);
}

static void recover_one(struct engine *engine, const char *name)
{
	AUTO_FREE char *folder = xasprintf("%s/volumes/%s", engine->data_root, name);
	AUTO(error_clear) struct error err = { 0 };

	/* In use: its container was made after all. */
	if (volume_remove(engine, name, true, -1, &err) < 0 && err.kind != ERR_CONFLICT) {
		engine_log_error(engine, "a volume of a container that was never made", name, &err);
		return;
	}
	/* It may have had no row yet. */
	if (!error_is_set(&err))
		remove_tree(AT_FDCWD, folder);
	volume_making_end(engine, name);
}

void volumes_making_recover(struct engine *engine)
{
	AUTO_FREE char *path = making_path(engine, "");
	AUTO_CLOSEDIR DIR *folder = dir_open(AT_FDCWD, path);
	const struct dirent *entry;

	/* One of the containers that could not be read may use it. */
	while (folder && engine->unreadable.count == 0 && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			recover_one(engine, entry->d_name);
}
