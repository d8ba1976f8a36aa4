/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/pidfd_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int pidfd_of(pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	return fd < 0 ? -errno : fd;
}

int pidfd_signal(int pidfd, int signal)
{
	return pidfd_send_signal(pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* The status word of wait(2) from what waitid(2) says. */
static int status_of(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return (info->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return info->si_status | 0x80;
	default:
		return info->si_status;
	}
}

int pidfd_wait(int pidfd, bool block, int *out_status)
{
	siginfo_t info = { 0 };

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | (block ? 0 : WNOHANG)) < 0)
		if (errno != EINTR)
			return -errno;
	if (info.si_pid == 0)
		return 0;
	*out_status = status_of(&info);
	return 1;
}

int pidfd_ended(int pidfd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int ready;

	do
		ready = poll(&poll_fd, 1, timeout_ms);
	while (ready < 0 && errno == EINTR);
	return ready < 0 ? -errno : ready > 0;
}

/* proc(5): field `number` of stat, behind the name, which is field 2, may hold anything, and ends with the last bracket. */
static unsigned long long stat_field(const char *stat, int number)
{
	const char *field = strrchr(stat, ')');

	for (int i = 2; field && i < number; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field + 1, NULL, 10) : 0;
}

unsigned long long pid_start_time(pid_t pid)
{
	AUTO_FREE char *stat = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return file_read_attribute(&stat, AT_FDCWD, path, 4096) < 0 ? 0 : stat_field(stat, 22);
}

unsigned long long pid_own_start_time(unsigned long long *out_signals)
{
	AUTO_FREE char *stat = NULL;

	/* Who cannot ask has to reckon with all. */
	*out_signals = ~0ULL;
	if (file_read_attribute(&stat, AT_FDCWD, "/proc/self/stat", 4096) < 0)
		return 0;
	*out_signals = stat_field(stat, 33) | stat_field(stat, 34);
	return stat_field(stat, 22);
}
