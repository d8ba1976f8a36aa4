/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/init_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define DEPTH_MAX 64

static int copy_level(int from_fd, int to_fd, int depth, struct error *err);

static int failed(struct error *err, const char *name)
{
	return error_set_errno(err, ERR_INTERNAL, errno, "copy %s", name);
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st, struct error *err)
{
	AUTO_CLOSE int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t sent;

	if (from < 0 || to < 0)
		return failed(err, name);
	while ((sent = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	if (sent < 0 || fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return failed(err, name);
	return 0;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st, struct error *err)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (size < 0)
		return failed(err, name);
	target[size] = '\0';
	if (symlinkat(target, to_dir, name) < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, name);
	return 0;
}

static int copy_directory(int from_dir, int to_dir, const char *name, const struct stat *st, int depth,
			  struct error *err)
{
	AUTO_CLOSE int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int to = -1;

	if (from < 0 || mkdirat(to_dir, name, 0700) < 0)
		return failed(err, name);
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return failed(err, name);
	if (copy_level(from, to, depth + 1, err) < 0)
		return -1;
	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return failed(err, name);
	return 0;
}

static int copy_entry(int from_dir, int to_dir, const char *name, int depth, struct error *err)
{
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, name);
	if (S_ISREG(st.st_mode))
		return copy_file(from_dir, to_dir, name, &st, err);
	if (S_ISLNK(st.st_mode))
		return copy_link(from_dir, to_dir, name, &st, err);
	if (S_ISDIR(st.st_mode))
		return copy_directory(from_dir, to_dir, name, &st, depth, err);
	return 0; /* sockets, fifos and devices stay behind */
}

static int copy_level(int from_fd, int to_fd, int depth, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = NULL;
	AUTO_CLOSE int fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;

	if (depth > DEPTH_MAX)
		return error_set(err, ERR_INVALID, "folders nest deeper than %d", DEPTH_MAX);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return error_set_errno(err, ERR_INTERNAL, errno, "read folder");
	take_fd(&fd);
	while ((entry = readdir(dir)))
		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, "..") &&
		    copy_entry(dirfd(dir), to_fd, entry->d_name, depth, err) < 0)
			return -1;
	return 0;
}

int init_copy_tree(int from_fd, int to_fd, struct error *err)
{
	struct stat st;

	if (copy_level(from_fd, to_fd, 0, err) < 0)
		return -1;
	if (fstat(from_fd, &st) < 0 || fchownat(to_fd, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "copy owner");
	return 0;
}
