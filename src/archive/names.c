/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "archive/tree.h"
#include "base/cleanup.h"

int names_load(struct text_list *out_names, int dir_fd, const char *path, struct error *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return tree_fail(err, errno, "list", path);
	take_fd(&fd);
	while ((errno = 0, entry = readdir(dir)))
		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
			text_list_add(out_names, entry->d_name);
	if (errno)
		return tree_fail(err, errno, "list", path);
	text_list_sort(out_names);
	return 0;
}
