/* SPDX-License-Identifier: Apache-2.0 */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

int disk_fail(struct error *err, int errnum, const char *format, ...)
{
	AUTO_FREE char *what = NULL;
	va_list args;
	bool full;

	errnum = abs(errnum);
	full = errnum == ENOSPC || errnum == EDQUOT;
	va_start(args, format);
	what = xvasprintf(format, args);
	va_end(args);
	return error_set_errno(err, full ? ERR_EXHAUSTED : ERR_INTERNAL, errnum, "%s", what);
}

const char *disk_blob_path(char out[BLOB_PATH_MAX], const char *prefix, const struct digest *digest, char separator)
{
	char hex[DIGEST_TEXT_MAX];

	snprintf(out, BLOB_PATH_MAX, "%s%s%c%s", prefix, digest_algorithm_name(digest->algorithm), separator,
		 digest_hex(digest, hex));
	return out;
}

void disk_spread_children(int root_fd, const char *path)
{
	AUTO_CLOSE int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int flags = 0;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || flags & FS_TOPDIR_FL)
		return;
	flags |= FS_TOPDIR_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int disk_sync_name(int root_fd, const char *path, struct error *err)
{
	AUTO_FREE char *parent = path_parent(path);
	int r = dir_sync(root_fd, parent);

	return r < 0 ? disk_fail(err, r, "sync %s", parent) : 0;
}

DIR *disk_open_dir(int root_fd, const char *path)
{
	AUTO_CLOSE int fd = openat(root_fd, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		take_fd(&fd);
	return dir;
}
