/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/self_seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/mount_api.h"

/* Above what a spawned child gets as its numbered descriptors. */
#define HIGH_FD 64

extern char **environ;

int self_seal_open(void)
{
	struct statvfs fs;
	AUTO_CLOSE int fd = -1;

	if (geteuid() != 0 || statvfs("/proc/self/exe", &fs) < 0 || fs.f_flag & ST_RDONLY)
		return -1;
	fd = mount_clone(AT_FDCWD, "/proc/self/exe", 0);
	if (fd < 0 || mount_change(fd, 0, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return -1;
	return fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

void self_seal(char *const *argv)
{
	AUTO_CLOSE int fd = self_seal_open();

	if (fd >= 0)
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
}
