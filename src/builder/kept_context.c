/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/kept_context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "engine/engine.h"
#include "oci/hasher.h"
#include "store/store.h"

#define UNUSED_S (48 * 3600)

struct kept_context {
	int lock_fd;
	int fd;
};

static char *folder_of(struct engine *engine)
{
	return path_join(store_root(engine_store(engine)), "build-contexts");
}

/* The lock, if it is free and still where it was: somebody may have removed it while we came. */
static int try_lock(int folder_fd)
{
	AUTO_CLOSE int fd = openat(folder_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -EWOULDBLOCK;
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return -EWOULDBLOCK;
	return take_fd(&fd);
}

/* Those last used before that moment. */
static void sweep(const char *folder, int64_t before_s)
{
	AUTO_CLOSEDIR DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		AUTO_CLOSE int folder_fd = -1;
		AUTO_CLOSE int lock_fd = -1;
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		folder_fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (folder_fd < 0 ||
		    (fstatat(folder_fd, "lock", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime >= before_s))
			continue;
		lock_fd = try_lock(folder_fd);
		if (lock_fd >= 0)
			remove_tree(dirfd(dir), entry->d_name);
	}
}

static int open_files(struct kept_context *context, int folder_fd)
{
	if (mkdirat(folder_fd, "files", 0755) < 0 && errno != EEXIST)
		return -errno;
	context->fd = openat(folder_fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return context->fd < 0 ? -errno : 0;
}

int kept_context_take(struct kept_context **out_context, struct engine *engine, const char *key, struct error *err)
{
	AUTO(kept_context_freep) struct kept_context *context = xcalloc(1, sizeof(*context));
	AUTO_FREE char *folder = folder_of(engine);
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int folder_fd = -1;
	char hex[DIGEST_TEXT_MAX];
	struct digest name;
	int r;

	context->fd = context->lock_fd = -1;
	sweep(folder, clock_wall_ns() / CLOCK_SECOND - UNUSED_S);
	digest_of(&name, DIGEST_SHA256, key, strlen(key));
	path = path_join(folder, digest_hex(&name, hex));
	r = mkdir_all(AT_FDCWD, path, 0700);
	if (r == 0) {
		folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = folder_fd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = context->lock_fd = try_lock(folder_fd);
	if (r == -EWOULDBLOCK)
		return 0;
	if (r >= 0)
		r = open_files(context, folder_fd);
	if (r < 0)
		return error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "keep a context in %s",
				       path);
	futimens(context->lock_fd, NULL);
	*out_context = take_ptr(context);
	return 1;
}

int kept_context_fd(const struct kept_context *context)
{
	return context->fd;
}

void kept_context_free(struct kept_context *context)
{
	if (!context)
		return;
	auto_close(&context->fd);
	auto_close(&context->lock_fd);
	free(context);
}

void kept_context_prune(struct engine *engine)
{
	AUTO_FREE char *folder = folder_of(engine);

	sweep(folder, INT64_MAX);
}
