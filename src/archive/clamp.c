/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/clamp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/names.h"
#include "archive/tree.h"
#include "base/cleanup.h"

static int clamp_below(int dir_fd, int64_t latest_s, unsigned depth, struct error *err);

/* Directories after what is in them. */
static int clamp_entry(int dir_fd, const char *name, int64_t latest_s, unsigned depth, struct error *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = latest_s } };
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "look at", name);
	if (S_ISDIR(st.st_mode)) {
		AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			return tree_fail(err, errno, "open", name);
		if (clamp_below(fd, latest_s, depth + 1, err) < 0)
			return -1;
	}
	if (st.st_mtim.tv_sec >= latest_s && utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "set the time of", name);
	return 0;
}

static int clamp_below(int dir_fd, int64_t latest_s, unsigned depth, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "more than %d directories deep", TREE_DEPTH_MAX);
	if (names_load(&names, dir_fd, "", err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++)
		if (clamp_entry(dir_fd, names.items[i], latest_s, depth, err) < 0)
			return -1;
	return 0;
}

int clamp_times(int dir_fd, int64_t latest_s, struct error *err)
{
	return clamp_entry(dir_fd, ".", latest_s, 0, err);
}
