/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/names.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/in_root.h"

struct listing {
	const struct mount_point_search *search;
	const struct map *skip;
	struct text_list lines; /* "<path>\1<kind>", sorted at the end */
	struct map known;	/* paths that have a line */
	unsigned depth;
};

static bool look_below(const struct listing *listing, const char *path, struct stat *out_st)
{
	for (size_t i = 0; i < listing->search->lower_count; i++) {
		AUTO_CLOSE int fd = openat2_resolve(listing->search->lower_fds[i], path, O_PATH | O_NOFOLLOW, 0,
						    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);

		if (fd >= 0 && fstat(fd, out_st) == 0)
			return !tree_is_whiteout(out_st);
	}
	return false;
}

static void add_line(struct listing *listing, char kind, const char *path)
{
	if (map_get(&listing->known, path))
		return;
	map_set(&listing->known, path, listing);
	text_list_addf(&listing->lines, "/%s\1%c", path, kind);
}

/* docker: who is in a directory changes the directory. */
static void add_parents(struct listing *listing, const char *path)
{
	AUTO_FREE char *part = xstrdup(path);

	for (char *slash = strrchr(part, '/'); slash; slash = strrchr(part, '/')) {
		*slash = '\0';
		add_line(listing, 'C', part);
	}
}

static bool is_same_directory(const struct stat *a, const struct stat *b)
{
	return S_ISDIR(a->st_mode) && S_ISDIR(b->st_mode) && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
	       a->st_gid == b->st_gid && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int list_below(struct listing *listing, int dir_fd, const char *path, struct error *err);

static int list_entry(struct listing *listing, int dir_fd, const char *name, const char *path, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	struct stat below;
	struct stat st;

	if (map_get(listing->skip, path))
		return 0;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tree_fail(err, errno, "look at", path);
	if (tree_is_whiteout(&st)) {
		add_parents(listing, path);
		add_line(listing, 'D', path);
		return 0;
	}
	if (!look_below(listing, path, &below)) {
		add_parents(listing, path);
		add_line(listing, 'A', path);
	} else if (!is_same_directory(&st, &below)) {
		add_parents(listing, path);
		add_line(listing, 'C', path);
	}
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? tree_fail(err, errno, "open", path) : list_below(listing, fd, path, err);
}

static int list_below(struct listing *listing, int dir_fd, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	int r = 0;

	if (listing->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", path, TREE_DEPTH_MAX);
	if (names_load(&names, dir_fd, path, err) < 0)
		return -1;
	listing->depth++;
	for (size_t i = 0; i < names.count && r == 0; i++) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);

		r = list_entry(listing, dir_fd, names.items[i], inner, err);
	}
	listing->depth--;
	return r;
}

void changes_write(struct text *out, const struct text_list *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		const char *mark = strrchr(lines->items[i], '\1');

		text_add_char(out, mark[1]);
		text_add_bytes(out, lines->items[i], (size_t)(mark - lines->items[i]));
		text_add_char(out, '\0');
	}
}

int changes_list(struct text *out, const struct mount_point_search *search, const struct map *skip, struct error *err)
{
	struct listing listing = { .search = search, .skip = skip };
	int r;

	map_init(&listing.known, NULL);
	r = list_below(&listing, search->upper_fd, "", err);
	text_list_sort(&listing.lines);
	changes_write(out, &listing.lines);
	text_list_fini(&listing.lines);
	map_fini(&listing.known);
	return r;
}
