/* SPDX-License-Identifier: Apache-2.0 */
#include "image/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

static char *partial_name(const struct descriptor *blob)
{
	char hex[DIGEST_TEXT_MAX];
	struct digest digest;

	descriptor_digest(blob, &digest);
	return xasprintf(".partial-%s", digest_hex(&digest, hex));
}

static bool is_same_file(int fd, int folder_fd, const char *name)
{
	struct stat one;
	struct stat other;

	return fstat(fd, &one) == 0 && fstatat(folder_fd, name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

int folder_blob_file(int folder_fd, const struct descriptor *blob, struct error *err)
{
	AUTO_FREE char *name = partial_name(blob);
	AUTO_CLOSE int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

	/* Somebody else is at it, or has just given it its name: a file of our own then. */
	if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_same_file(fd, folder_fd, name))) {
		close(take_fd(&fd));
		fd = openat(folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	}
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a file for %s", blob->digest);
	return take_fd(&fd);
}

/* For a file that came from another place. */
static int copy_in(int folder_fd, int file_fd, struct error *err)
{
	AUTO_CLOSE int copy = openat(folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	off_t at = 0;
	ssize_t sent = 1;

	while (copy >= 0 && sent > 0)
		sent = sendfile(copy, file_fd, &at, 1 << 30);
	if (copy < 0 || sent < 0)
		return error_set_errno(err, errno == ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, errno, "write a blob");
	return take_fd(&copy);
}

static int name_file(int folder_fd, int file_fd, const char *name)
{
	AUTO_FREE char *self = xasprintf("/proc/self/fd/%d", file_fd);

	if (linkat(AT_FDCWD, self, folder_fd, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return errno == EEXIST ? 0 : -errno;
}

int folder_put(int folder_fd, const struct descriptor *blob, int file_fd, const char *name, struct error *err)
{
	AUTO_FREE char *partial = partial_name(blob);
	AUTO_CLOSE int copy = -1;
	int r;

	if (is_same_file(file_fd, folder_fd, partial)) {
		r = fdatasync(file_fd) < 0 || renameat(folder_fd, partial, folder_fd, name) < 0 ? -errno : 0;
		return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "name %s", name) : 0;
	}
	r = fdatasync(file_fd) < 0 ? -errno : name_file(folder_fd, file_fd, name);
	if (r == -EXDEV || r == -ENOENT) {
		copy = copy_in(folder_fd, file_fd, err);
		if (copy < 0)
			return -1;
		r = fdatasync(copy) < 0 ? -errno : name_file(folder_fd, copy, name);
	}
	return r < 0 ? error_set_errno(err, r == -ENOSPC ? ERR_EXHAUSTED : ERR_INTERNAL, r, "name %s", name) : 0;
}

int folder_has(int folder_fd, const char *name, uint64_t size)
{
	struct stat status;

	return fstatat(folder_fd, name, &status, 0) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size;
}
