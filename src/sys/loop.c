/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Who asks for a free one may find it taken when it is opened. */
#define TRIES 64
#define BLOCK_SIZE 4096

static int attach(const char *path, int file_fd)
{
	const struct loop_config config = {
		.fd = (unsigned)file_fd,
		.block_size = BLOCK_SIZE,
		.info = { .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR },
	};
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? -errno : take_fd(&fd);
}

int loop_attach(char out_path[LOOP_PATH_MAX], int file_fd)
{
	AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int fd = -EBUSY;

	if (control < 0)
		return -errno;
	for (int i = 0; i < TRIES && fd == -EBUSY; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return -errno;
		snprintf(out_path, LOOP_PATH_MAX, "/dev/loop%d", number);
		fd = attach(out_path, file_fd);
	}
	return fd;
}
