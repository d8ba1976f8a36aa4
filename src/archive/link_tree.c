/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/link_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define DEPTH_MAX 1000

static int link_entries(int from_fd, int to_fd, unsigned depth, struct error *err);

static int link_directory(int from_fd, int to_fd, const char *name, unsigned depth, struct error *err)
{
	AUTO_CLOSE int from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0 || mkdirat(to_fd, name, 0700) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "link the directory %s", name);
	to = openat(to_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "link the directory %s", name);
	if (link_entries(from, to, depth + 1, err) < 0)
		return -1;
	return attributes_copy_fd(from, to, &st, name, err);
}

static int link_entries(int from_fd, int to_fd, unsigned depth, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = dir_open(from_fd, ".");
	struct dirent *entry;

	if (!dir)
		return error_set_errno(err, ERR_INTERNAL, errno, "read a layer");
	if (depth > DEPTH_MAX)
		return error_set(err, ERR_INVALID, "a layer is more than %d directories deep", DEPTH_MAX);
	while (errno = 0, (entry = readdir(dir))) {
		const char *name = entry->d_name;
		struct stat st;

		if (text_equal(name, ".") || text_equal(name, ".."))
			continue;
		if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "look at %s", name);
		if (S_ISDIR(st.st_mode)) {
			if (link_directory(from_fd, to_fd, name, depth, err) < 0)
				return -1;
		} else if (linkat(from_fd, name, to_fd, name, 0) < 0) {
			return error_set_errno(err, ERR_INTERNAL, errno, "link %s", name);
		}
	}
	return errno ? error_set_errno(err, ERR_INTERNAL, errno, "read a layer") : 0;
}

int link_tree(int from_fd, int to_fd, struct error *err)
{
	struct stat st;

	if (fstat(from_fd, &st) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "look at a layer");
	if (link_entries(from_fd, to_fd, 0, err) < 0)
		return -1;
	return attributes_copy_fd(from_fd, to_fd, &st, "/", err);
}
