/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/random.h"

#define PIPE_BYTES (1024 * 1024)

int write_full(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t wrote = write(fd, at, size);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -errno;
		at += wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

ssize_t read_full(int fd, void *data, size_t size)
{
	char *at = data;
	size_t total = 0;

	while (total < size) {
		ssize_t got = read(fd, at + total, size - total);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		total += (size_t)got;
	}
	return (ssize_t)total;
}

int fd_read_all(char **out_data, size_t *out_size, int fd, size_t limit)
{
	struct buffer buffer;
	int r;

	buffer_init(&buffer, limit);
	r = buffer_read_all(&buffer, fd);
	if (r < 0) {
		buffer_fini(&buffer);
		return r == -EMSGSIZE ? -EFBIG : r;
	}
	buffer_text(&buffer);
	if (out_size)
		*out_size = buffer.size;
	*out_data = (char *)buffer.data;
	return 0;
}

int file_read(char **out_data, size_t *out_size, int dir_fd, const char *path, size_t limit)
{
	AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd_read_all(out_data, out_size, fd, limit);
}

int file_read_attribute(char **out_data, int dir_fd, const char *path, size_t limit)
{
	AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[4096];
	ssize_t size;

	if (fd < 0)
		return -errno;
	do
		size = pread(fd, text, sizeof(text), 0);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	if ((size_t)size == sizeof(text) || (size_t)size > limit)
		return fd_read_all(out_data, NULL, fd, limit);
	*out_data = xstrndup(text, (size_t)size);
	return 0;
}

DIR *dir_open(int dir_fd, const char *path)
{
	AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		take_fd(&fd);
	return dir;
}

static int write_new(int dir_fd, const char *path, const void *data, size_t size, mode_t mode, enum file_sync sync)
{
	AUTO_CLOSE int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = write_full(fd, data, size);
	if (r < 0)
		return r;
	/* The umask of whoever started us must not decide. */
	if (fchmod(fd, mode) < 0)
		return -errno;
	return sync == FILE_SYNC_ALL && fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic(int dir_fd, const char *path, const void *data, size_t size, mode_t mode, enum file_sync sync)
{
	AUTO_FREE char *parent = path_parent(path);
	AUTO_FREE char *temporary = NULL;
	char suffix[17];
	int r;

	random_hex(suffix, 8);
	temporary = xasprintf("%s/.tmp-%s", parent, suffix);
	r = write_new(dir_fd, temporary, data, size, mode, sync);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dir_fd, temporary, 0);
		return r;
	}
	return sync == FILE_SYNC_ALL ? dir_sync(dir_fd, parent) : 0;
}

/* Written without a name; the name comes last. */
static int link_new(int dir_fd, const char *path, const void *data, size_t size, mode_t mode)
{
	AUTO_FREE char *parent = path_parent(path);
	AUTO_CLOSE int fd = openat(dir_fd, parent, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
	char link[32];
	int r;

	if (fd < 0)
		return -errno;
	r = write_full(fd, data, size);
	if (r < 0)
		return r;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, link, dir_fd, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int file_publish(int dir_fd, const char *path, const void *data, size_t size, mode_t mode)
{
	/* What has that name already, or a file system that cannot: the usual way, which also finds the error. */
	if (link_new(dir_fd, path, data, size, mode) == 0)
		return 0;
	return file_write_atomic(dir_fd, path, data, size, mode, FILE_NO_SYNC);
}

int file_write_once(int dir_fd, const char *path, const char *text)
{
	AUTO_CLOSE int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
	size_t size = strlen(text);
	ssize_t wrote;

	if (fd < 0)
		return -errno;
	wrote = write(fd, text, size);
	if (wrote < 0)
		return -errno;
	return (size_t)wrote == size ? 0 : -EIO;
}

bool file_exists(int dir_fd, const char *path)
{
	return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void fd_start_writing(int fd, int64_t offset, int64_t size)
{
	sync_file_range(fd, offset, size, SYNC_FILE_RANGE_WRITE);
}

int dir_sync(int dir_fd, const char *path)
{
	AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int mkdir_all(int dir_fd, const char *path, mode_t mode)
{
	AUTO_FREE char *parent = NULL;
	struct stat st;
	int r;

	if (mkdirat(dir_fd, path, mode) == 0)
		return 0;
	if (errno == EEXIST)
		return fstatat(dir_fd, path, &st, 0) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (errno != ENOENT)
		return -errno;
	parent = path_parent(path);
	if (strcmp(parent, path) == 0 || strcmp(parent, ".") == 0)
		return -ENOENT;
	r = mkdir_all(dir_fd, parent, mode);
	if (r < 0)
		return r;
	return mkdirat(dir_fd, path, mode) == 0 || errno == EEXIST ? 0 : -errno;
}

/*
 * A tree may be deeper than we have descriptors or stack: what lies below
 * REMOVE_DEPTH_MAX is moved up into the top directory and removed from there.
 */
#define REMOVE_DEPTH_MAX 32

static int remove_below(int top_fd, int dir_fd, const char *name, unsigned depth);

static int move_up(int top_fd, int dir_fd, const char *name)
{
	char up[48];
	char random[17];

	random_hex(random, 8);
	snprintf(up, sizeof(up), "deep-%s", random);
	return renameat(dir_fd, name, top_fd, up) < 0 && errno != ENOENT ? -errno : 0;
}

/* top_fd -1: this is the top. */
static int remove_entries(int top_fd, int fd_taken, unsigned depth)
{
	AUTO_CLOSEDIR DIR *dir = fdopendir(fd_taken);
	const struct dirent *entry;
	int first = 0;
	int r;

	if (!dir) {
		r = -errno;
		close(fd_taken);
		return r;
	}
	while ((errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_below(top_fd < 0 ? dirfd(dir) : top_fd, dirfd(dir), entry->d_name, depth + 1);
		if (r < 0 && first == 0)
			first = r;
	}
	return first ? first : -errno;
}

/* What is mounted on a name belongs to somebody else. */
static int check_no_mount(int fd)
{
	struct statx info;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &info) < 0)
		return -errno;
	return info.stx_attributes & STATX_ATTR_MOUNT_ROOT ? -EBUSY : 0;
}

static int remove_name(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

static int remove_below(int top_fd, int dir_fd, const char *name, unsigned depth)
{
	int failed;
	int fd;
	int r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	failed = -errno;
	if (failed != -EISDIR && failed != -EPERM)
		return failed;
	if (depth > REMOVE_DEPTH_MAX)
		return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 ? 0 : move_up(top_fd, dir_fd, name);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* EPERM of what is no directory (chattr +i) was the true answer. */
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return failed;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = check_no_mount(fd);
	if (r < 0)
		close(fd);
	else
		r = remove_entries(top_fd, fd, depth);
	if (r < 0)
		return r;
	return remove_name(dir_fd, name);
}

int remove_tree(int dir_fd, const char *path)
{
	int r;

	/* Each round goes 32 levels deeper; what was moved up makes the last rmdir fail with ENOTEMPTY. */
	do {
		r = remove_below(-1, dir_fd, path, 0);
	} while (r == -ENOTEMPTY);
	return r;
}

int fd_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int pipe_open(int *out_read, int *out_write)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	/* Beyond the user's share it stays as narrow as it is. */
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	*out_read = ends[0];
	*out_write = ends[1];
	return 0;
}

int file_memory(const char *name, const void *data, size_t size)
{
	AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC);
	int r = fd < 0 ? -errno : write_full(fd, data, size);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : take_fd(&fd);
}
