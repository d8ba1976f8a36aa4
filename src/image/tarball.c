/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tarball.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/tar_writer.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/map.h"
#include "base/path.h"
#include "base/random.h"
#include "base/thread.h"

#define PIECE ((size_t)1 << 30)

struct tarball {
	struct mutex lock;
	struct map names;
	char *path; /* NULL: no name is given at the end */
	int fd;
};

int tarball_open(struct tarball **out_tarball, const char *path, struct error *err)
{
	AUTO(tarball_freep) struct tarball *tarball = xcalloc(1, sizeof(*tarball));
	const char *number = text_after(path, "/dev/fd/");
	uint64_t fd;

	mutex_init(&tarball->lock);
	map_init(&tarball->names, NULL);
	if (number && text_parse_u64(&fd, number, INT32_MAX) == 0) {
		tarball->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
	} else {
		AUTO_FREE char *folder = path_parent(path);

		tarball->path = xstrdup(path);
		tarball->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	}
	if (tarball->fd < 0)
		return error_set_errno(err, errno == ENOENT ? ERR_INVALID : ERR_INTERNAL, errno, "write %s", path);
	*out_tarball = take_ptr(tarball);
	return 0;
}

void tarball_free(struct tarball *tarball)
{
	if (!tarball)
		return;
	if (tarball->fd >= 0)
		close(tarball->fd);
	map_fini(&tarball->names);
	mutex_fini(&tarball->lock);
	free(tarball->path);
	free(tarball);
}

static int put(const struct tarball *tarball, const void *data, size_t size, struct error *err)
{
	int r = write_full(tarball->fd, data, size);

	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "write the archive") : 0;
}

static int begin(struct tarball *tarball, const char *name, uint64_t size, struct error *err)
{
	AUTO(text_fini) struct text header = { 0 };
	const struct tar_entry entry = { .path = name, .type = TAR_FILE, .mode = 0644, .size = size };

	tar_add_header(&header, &entry);
	map_set(&tarball->names, name, tarball);
	return put(tarball, header.data, header.size, err);
}

static int end(const struct tarball *tarball, uint64_t size, struct error *err)
{
	static const char zeros[TAR_BLOCK];

	return put(tarball, zeros, tar_padding(size), err);
}

static int send_all(const struct tarball *tarball, int fd, uint64_t size, struct error *err)
{
	off_t at = 0;

	while ((uint64_t)at < size) {
		uint64_t left = size - (uint64_t)at;
		ssize_t sent = sendfile(tarball->fd, fd, &at, left < PIECE ? (size_t)left : PIECE);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return error_set_errno(err, errno == ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL,
					       sent < 0 ? errno : EIO, "write the archive");
	}
	return 0;
}

int tarball_add(struct tarball *tarball, const char *name, int fd, uint64_t size, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&tarball->lock);

	if (map_get(&tarball->names, name))
		return 0;
	if (begin(tarball, name, size, err) < 0 || send_all(tarball, fd, size, err) < 0)
		return -1;
	return end(tarball, size, err);
}

int tarball_add_text(struct tarball *tarball, const char *name, const char *text, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&tarball->lock);
	size_t size = strlen(text);

	if (map_get(&tarball->names, name))
		return 0;
	if (begin(tarball, name, size, err) < 0 || put(tarball, text, size, err) < 0)
		return -1;
	return end(tarball, size, err);
}

int tarball_has(struct tarball *tarball, const char *name)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&tarball->lock);

	return map_get(&tarball->names, name) != NULL;
}

/* Over what had the name before, in one step. */
static int give_name(const struct tarball *tarball)
{
	AUTO_FREE char *self = xasprintf("/proc/self/fd/%d", tarball->fd);
	char token[17];
	AUTO_FREE char *beside = NULL;
	AUTO_FREE char *folder = NULL;

	random_hex(token, 8);
	beside = xasprintf("%s.%s", tarball->path, token);
	if (linkat(AT_FDCWD, self, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	if (rename(beside, tarball->path) < 0) {
		int failed = -errno;

		unlink(beside);
		return failed;
	}
	folder = path_parent(tarball->path);
	return dir_sync(AT_FDCWD, folder);
}

static int publish(const struct tarball *tarball, struct error *err)
{
	int r;

	if (!tarball->path)
		return 0;
	r = fdatasync(tarball->fd) < 0 ? -errno : give_name(tarball);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "name %s", tarball->path) : 0;
}

int tarball_finish(struct tarball *tarball, struct error *err)
{
	static const char zeros[TAR_END_SIZE];

	return put(tarball, zeros, sizeof(zeros), err) < 0 ? -1 : publish(tarball, err);
}

int tarball_take(struct tarball *tarball, int fd, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "write the archive");
	return send_all(tarball, fd, (uint64_t)status.st_size, err) < 0 ? -1 : publish(tarball, err);
}
