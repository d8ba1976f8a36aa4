/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

/* The user namespace comes first: the others are owned by it. The mount namespace last: /proc paths end there. */
static const struct namespace_kind kinds[] = {
	{ "user", "user", CLONE_NEWUSER },	 { "ipc", "ipc", CLONE_NEWIPC },  { "uts", "uts", CLONE_NEWUTS },
	{ "network", "net", CLONE_NEWNET },	 { "pid", "pid", CLONE_NEWPID },  { "time", "time", CLONE_NEWTIME },
	{ "cgroup", "cgroup", CLONE_NEWCGROUP }, { "mount", "mnt", CLONE_NEWNS },
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

const struct namespace_kind *namespace_kind_at(unsigned index)
{
	return index < KIND_COUNT ? &kinds[index] : NULL;
}

const struct namespace_kind *namespace_kind_find(const char *name)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (text_equal(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

const struct namespace_kind *namespace_kind_of_flag(int flag)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (kinds[i].flag == flag)
			return &kinds[i];
	return NULL;
}

pid_t namespace_clone(uint64_t flags, int cgroup_fd, int *out_pidfd)
{
	int pidfd = -1;
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	long pid;

	if (flags & CLONE_PARENT)
		args.exit_signal = 0;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	if (out_pidfd) {
		args.flags |= CLONE_PIDFD;
		args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return (pid_t)-errno;
	if (pid > 0 && out_pidfd)
		*out_pidfd = pidfd;
	return (pid_t)pid;
}

int namespace_open(pid_t pid, const struct namespace_kind *kind)
{
	char path[64];
	int fd;

	if (pid == 0)
		snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", kind->file);
	else
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind->file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int namespace_type(int fd)
{
	int type = ioctl(fd, NS_GET_NSTYPE);

	return type < 0 ? -errno : type;
}

int namespace_join(int fd, int flags)
{
	return setns(fd, flags) < 0 ? -errno : 0;
}

int namespace_supported(const struct namespace_kind *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", kind->file);
	return access(path, F_OK) == 0;
}
