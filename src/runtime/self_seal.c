/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/self_seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "sys/mount_api.h"

extern char **environ;

void self_seal(char *const *argv)
{
	struct statvfs fs;
	AUTO_CLOSE int fd = -1;

	if (geteuid() != 0 || statvfs("/proc/self/exe", &fs) < 0 || fs.f_flag & ST_RDONLY)
		return;
	fd = mount_clone(AT_FDCWD, "/proc/self/exe", 0);
	if (fd < 0 || mount_change(fd, 0, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return;
	syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
}
