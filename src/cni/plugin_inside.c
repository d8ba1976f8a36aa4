/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cni/plugin.h"
#include "sys/netlink.h"

int netlink_open_inside(const char *path)
{
	AUTO_CLOSE int there = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;

	if (there < 0 || here < 0 || setns(there, CLONE_NEWNET) < 0)
		return -errno;
	fd = netlink_open();
	if (setns(here, CLONE_NEWNET) < 0) {
		int failed = -errno;

		if (fd >= 0)
			close(fd);
		return failed;
	}
	return fd;
}
