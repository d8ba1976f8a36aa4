/* SPDX-License-Identifier: Apache-2.0 */
#include "git/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define DESCRIPTORS 64

/* nftw() hands nothing through. */
static const struct tree_care *wanted;

static int drop(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	if (where->level == 0 || !text_equal(path + where->base, ".git"))
		return FTW_CONTINUE;
	return remove_tree(AT_FDCWD, path) < 0 ? FTW_STOP : FTW_SKIP_SUBTREE;
}

static int set_time(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	const struct timespec times[2] = { { .tv_sec = wanted->time_s }, { .tv_sec = wanted->time_s } };

	(void)st;
	(void)kind;
	(void)where;
	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? FTW_STOP : FTW_CONTINUE;
}

static int walk(const char *path, __nftw_func_t function, int flags)
{
	int r = nftw(path, function, DESCRIPTORS, FTW_PHYS | FTW_ACTIONRETVAL | flags);

	return r == 0 ? 0 : errno ? -errno : -EIO;
}

int tree_care(const char *path, const struct tree_care *care)
{
	int r = 0;

	wanted = care;
	if (care->drop_git)
		r = walk(path, drop, 0);
	/* Depth first: what is done to a directory's entries changes its time. */
	if (r == 0 && care->set_times)
		r = walk(path, set_time, FTW_DEPTH);
	return r;
}
