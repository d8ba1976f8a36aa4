/* SPDX-License-Identifier: Apache-2.0 */
#include "image/file_walk.h"

#include <errno.h>
#include <unistd.h>

ssize_t file_walk_read(void *arg, void *data, size_t size, struct error *err)
{
	struct file_walk *walk = arg;
	ssize_t got;

	do
		got = pread(walk->fd, data, size, (off_t)walk->at);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read %s", walk->what);
	walk->at += (uint64_t)got;
	return got;
}
