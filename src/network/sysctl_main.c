/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-sysctl PATH VALUE: writes VALUE to PATH, below /proc/sys/net, in the network namespace of descriptor 3. Exits with
 * 0, or errno; ENOENT too if PATH is no file. What has the value is not written: /proc/sys may be read-only.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define NAMESPACE 3
#define VALUE_MAX 4096

static bool has_value(const char *path, const char *value)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char now[VALUE_MAX];
	ssize_t size = fd < 0 ? -1 : read(fd, now, sizeof(now) - 1);

	while (size > 0 && now[size - 1] == '\n')
		size--;
	if (size < 0)
		return false;
	now[size] = '\0';
	return text_equal(now, value);
}

int main(int argc, char **argv)
{
	AUTO_CLOSE int fd = -1;
	struct stat there;
	size_t size;

	if (argc != 3 || !text_has_prefix(argv[1], "/proc/sys/net/") || strstr(argv[1], ".."))
		return EINVAL;
	if (setns(NAMESPACE, CLONE_NEWNET) < 0)
		return errno;
	if (stat(argv[1], &there) < 0 || !S_ISREG(there.st_mode))
		return ENOENT;
	if (has_value(argv[1], argv[2]))
		return 0;
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	size = strlen(argv[2]);
	if (fd < 0)
		return errno;
	/* Nothing written is no error to the kernel, and no value. */
	return size == 0 ? EINVAL : write(fd, argv[2], size) == (ssize_t)size ? 0 : errno ? errno : EIO;
}
