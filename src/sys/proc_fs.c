/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/proc_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "sys/in_root.h"

#define PROC_ROOT_INODE 1

bool proc_fs_verify(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int open_new(bool pid_only)
{
	AUTO_CLOSE int context = fsopen("proc", FSOPEN_CLOEXEC);
	int fd;

	if (context < 0)
		return -errno;
	/* subset=pid came with Linux 5.8; without it the mount only shows more. */
	if (pid_only && fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid", 0) < 0 && errno != EINVAL)
		return -errno;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_existing(void)
{
	AUTO_CLOSE int fd = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct stat st;

	if (fd < 0)
		fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!proc_fs_verify(fd) || st.st_ino != PROC_ROOT_INODE)
		return -EXDEV;
	return take_fd(&fd);
}

int proc_fs_open(bool pid_only)
{
	int fd = open_new(pid_only);

	return fd < 0 ? open_existing() : fd;
}

int proc_fs_open_file(int proc_fd, const char *path, int flags)
{
	AUTO_CLOSE int fd = openat2_resolve(proc_fd, path, flags, 0,
					    RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);

	if (fd == -ENOSYS || fd == -EPERM)
		fd = open_in_root(proc_fd, path, flags, 0);
	if (fd < 0)
		return fd;
	if (!proc_fs_verify(fd))
		return -EXDEV;
	return take_fd(&fd);
}

int proc_fs_write(int proc_fd, const char *path, const char *text)
{
	AUTO_CLOSE int fd = proc_fs_open_file(proc_fd, path, O_WRONLY);
	size_t size = strlen(text);
	ssize_t written;

	if (fd < 0)
		return fd;
	do
		written = write(fd, text, size);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	return (size_t)written == size ? 0 : -EIO;
}

int proc_fs_read(int proc_fd, const char *path, char **out_data, size_t limit)
{
	AUTO_CLOSE int fd = proc_fs_open_file(proc_fd, path, O_RDONLY);

	return fd < 0 ? fd : fd_read_all(out_data, NULL, fd, limit);
}
