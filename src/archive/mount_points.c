/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/mount_points.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/names.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "sys/in_root.h"

#define RESOLVE_PLAIN (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

static char found; /* what the map's values point at */

static int open_plain(int root_fd, const char *path, int flags)
{
	return openat2_resolve(root_fd, path, flags | O_NOFOLLOW, 0, RESOLVE_PLAIN);
}

/* 1 if it is there and *out_st tells what. */
static int look(int root_fd, const char *path, struct stat *out_st)
{
	AUTO_CLOSE int fd = open_plain(root_fd, path, O_PATH);

	return fd >= 0 && fstat(fd, out_st) == 0;
}

/* What a layer below has there; whiteouts end the search. */
static bool find_below(const struct mount_point_search *search, const char *path, struct stat *out_st)
{
	for (size_t i = 0; i < search->lower_count; i++)
		if (look(search->lower_fds[i], path, out_st))
			return !tree_is_whiteout(out_st);
	return false;
}

static bool is_opaque(int root_fd, const char *path)
{
	AUTO_CLOSE int fd = open_plain(root_fd, path, O_RDONLY | O_DIRECTORY);
	char value;

	return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1;
}

/* 1 if everything in the directory was made to mount on. */
static int holds_only_mount_points(const struct map *paths, const struct mount_point_search *search, const char *path,
				   struct error *err)
{
	AUTO_CLOSE int fd = open_plain(search->upper_fd, path, O_RDONLY | O_DIRECTORY);
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (fd < 0)
		return 0;
	if (names_load(&names, fd, path, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		AUTO_FREE char *inner = path_join(path, names.items[i]);

		if (!map_get(paths, inner))
			return 0;
	}
	return 1;
}

static int judge(struct map *paths, const struct mount_point_search *search, const char *path, bool is_mount,
		 struct error *err)
{
	struct stat upper;
	struct stat below;
	bool is_below;
	int r;

	if (!look(search->upper_fd, path, &upper))
		return 0;
	is_below = find_below(search, path, &below);
	if (S_ISREG(upper.st_mode)) {
		if (is_mount && upper.st_size == 0 && !is_below)
			map_set(paths, path, &found);
		return 0;
	}
	if (!S_ISDIR(upper.st_mode) || is_opaque(search->upper_fd, path))
		return 0;
	if (is_below && (!S_ISDIR(below.st_mode) || upper.st_mode != below.st_mode || upper.st_uid != below.st_uid ||
			 upper.st_gid != below.st_gid))
		return 0;
	r = holds_only_mount_points(paths, search, path, err);
	if (r > 0)
		map_set(paths, path, &found);
	return r < 0 ? -1 : 0;
}

static int deepest_first(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return strcmp(*right, *left);
}

int mount_points_find(struct map *out_paths, const struct mount_point_search *search, struct error *err)
{
	AUTO(text_list_fini) struct text_list mounts = { 0 };
	AUTO(text_list_fini) struct text_list parents = { 0 };

	for (size_t i = 0; i < search->mounts.count; i++) {
		AUTO_FREE char *clean = path_clean(search->mounts.items[i]);
		AUTO_FREE char *part = NULL;

		if (clean[0] != '/' || !clean[1])
			continue;
		text_list_add(&mounts, clean + 1);
		part = xstrdup(clean + 1);
		for (char *slash = strrchr(part, '/'); slash; slash = strrchr(part, '/')) {
			*slash = '\0';
			if (!text_list_contains(&parents, part))
				text_list_add(&parents, part);
		}
	}
	if (mounts.count)
		qsort(mounts.items, mounts.count, sizeof(*mounts.items), deepest_first);
	if (parents.count)
		qsort(parents.items, parents.count, sizeof(*parents.items), deepest_first);
	/* Inner ones sort behind their directory, so this order has them first. */
	for (size_t i = 0; i < mounts.count; i++)
		if (judge(out_paths, search, mounts.items[i], true, err) < 0)
			return -1;
	for (size_t i = 0; i < parents.count; i++)
		if (judge(out_paths, search, parents.items[i], false, err) < 0)
			return -1;
	return 0;
}

int mount_points_remove(const struct map *paths, const struct mount_point_search *search, struct error *err)
{
	AUTO(text_list_fini) struct text_list list = { 0 };
	const char *path;
	size_t at = 0;

	while (map_next(paths, &at, &path))
		text_list_add(&list, path);
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), deepest_first);
	for (size_t i = 0; i < list.count; i++) {
		AUTO_FREE char *parent = path_parent(list.items[i]);
		AUTO_CLOSE int fd = open_plain(search->upper_fd, parent, O_PATH | O_DIRECTORY);
		const char *name = path_base(list.items[i]);

		if (fd < 0)
			return tree_fail(err, fd, "reach", list.items[i]);
		if (unlinkat(fd, name, 0) < 0 && (errno != EISDIR || unlinkat(fd, name, AT_REMOVEDIR) < 0))
			return tree_fail(err, errno, "remove the mount point", list.items[i]);
	}
	return 0;
}
