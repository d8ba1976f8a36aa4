/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/differences.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/names.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sys/xattrs.h"

#define BLOCK_SIZE (128 * 1024)

struct walk {
	const struct differences_search *search;
	struct differences *out;
	char *blocks[2];
	unsigned depth;
};

/* A pair of directories at one path; a lower one of -1: there is none. */
struct pair {
	int upper;
	int lower;
	const char *path;
	bool untouched; /* it is the one that was copied, and nobody made or removed a name in it */
};

static void free_list(void *value)
{
	text_list_fini(value);
	free(value);
}

/* A directory's list, made when there is none. */
static struct text_list *list_of(struct walk *walk, const char *directory)
{
	struct text_list *list = map_get(&walk->out->listed, directory);

	if (!list) {
		list = xcalloc(1, sizeof(*list));
		map_set(&walk->out->listed, directory, list);
	}
	return list;
}

static void note(struct walk *walk, const struct pair *pair, const char *name, const char *path, char kind)
{
	text_list_addf(&walk->out->lines, "/%s\1%c", path, kind);
	if (pair)
		text_list_add(list_of(walk, pair->path), name);
}

/* ---- one entry against another ---- */

static bool is_earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static bool looks_same(const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid || a->st_rdev != b->st_rdev)
		return false;
	return S_ISDIR(a->st_mode) || (a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
				       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

static bool same_attributes(const int *fds)
{
	AUTO(text_fini) struct text a = { 0 };
	AUTO(text_fini) struct text b = { 0 };

	xattrs_describe(&a, fds[0], NULL);
	xattrs_describe(&b, fds[1], NULL);
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static int same_bytes(struct walk *walk, const int *fds, const char *path, struct error *err)
{
	for (;;) {
		ssize_t a = read_full(fds[0], walk->blocks[0], BLOCK_SIZE);
		ssize_t b = read_full(fds[1], walk->blocks[1], BLOCK_SIZE);

		if (a < 0 || b < 0)
			return tree_fail(err, (int)(a < 0 ? a : b), "read", path);
		if (a != b || memcmp(walk->blocks[0], walk->blocks[1], (size_t)a) != 0)
			return 0;
		if (a == 0)
			return 1;
	}
}

static int same_link(struct walk *walk, const struct pair *pair, const char *name, const char *path, struct error *err)
{
	ssize_t a = readlinkat(pair->upper, name, walk->blocks[0], BLOCK_SIZE);
	ssize_t b = readlinkat(pair->lower, name, walk->blocks[1], BLOCK_SIZE);

	if (a < 0 || b < 0)
		return tree_fail(err, errno, "read the link", path);
	return a == b && memcmp(walk->blocks[0], walk->blocks[1], (size_t)a) == 0;
}

/* What looks the same, but may have been touched. 1 it is, 0 it is not. */
static int is_same(struct walk *walk, const struct pair *pair, const char *name, const char *path, mode_t mode,
		   struct error *err)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (S_ISDIR(mode) ? O_DIRECTORY : 0);
	AUTO_CLOSE int upper = -1;
	AUTO_CLOSE int lower = -1;

	if (S_ISLNK(mode))
		return same_link(walk, pair, name, path, err);
	if (!S_ISREG(mode) && !S_ISDIR(mode))
		return 1;
	upper = openat(pair->upper, name, flags);
	lower = openat(pair->lower, name, flags);
	if (upper < 0 || lower < 0)
		return tree_fail(err, errno, "open", path);
	const int fds[2] = { upper, lower };

	if (!same_attributes(fds))
		return 0;
	return S_ISREG(mode) ? same_bytes(walk, fds, path, err) : 1;
}

/* ---- directories ---- */

static int compare_directory(struct walk *walk, const struct pair *pair, struct error *err);

static int add_new(struct walk *walk, const struct pair *pair, const char *name, const char *path,
		   const struct stat *st, struct error *err);

/* Everything in a directory that is new. */
static int add_new_below(struct walk *walk, int dir_fd, const char *path, struct error *err)
{
	const struct pair pair = { .upper = dir_fd, .lower = -1, .path = path };
	AUTO(text_list_fini) struct text_list names = { 0 };
	int r = 0;

	if (walk->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", path, TREE_DEPTH_MAX);
	if (names_load(&names, dir_fd, path, err) < 0)
		return -1;
	walk->depth++;
	for (size_t i = 0; i < names.count && r == 0; i++) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);
		struct stat st;

		if (map_get(walk->search->skip, inner) || fstatat(dir_fd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		r = add_new(walk, &pair, names.items[i], inner, &st, err);
	}
	walk->depth--;
	return r;
}

/* pair->lower -1: its directory is new too, and nothing needs to be listed. */
static int add_new(struct walk *walk, const struct pair *pair, const char *name, const char *path,
		   const struct stat *st, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	note(walk, pair->lower >= 0 ? pair : NULL, name, path, 'A');
	if (S_ISREG(st->st_mode))
		walk->out->bytes += (uint64_t)st->st_size / st->st_nlink;
	if (!S_ISDIR(st->st_mode))
		return 0;
	fd = openat(pair->upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : tree_fail(err, errno, "open", path);
	return add_new_below(walk, fd, path, err);
}

static int add_replaced(struct walk *walk, const struct pair *pair, const char *name, const char *path,
			const struct stat *st, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	note(walk, pair, name, path, 'C');
	if (S_ISREG(st->st_mode))
		walk->out->bytes += (uint64_t)st->st_size / st->st_nlink;
	if (!S_ISDIR(st->st_mode))
		return 0;
	fd = openat(pair->upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? tree_fail(err, errno, "open", path) : add_new_below(walk, fd, path, err);
}

static int enter(struct walk *walk, const struct pair *pair, const char *name, const char *path, bool untouched,
		 bool changed, struct error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	AUTO_CLOSE int upper = openat(pair->upper, name, flags);
	AUTO_CLOSE int lower = openat(pair->lower, name, flags);
	struct pair inner = { .upper = upper, .lower = lower, .path = path, .untouched = untouched };

	if (upper < 0 || lower < 0)
		return tree_fail(err, errno, "open", path);
	if (compare_directory(walk, &inner, err) < 0)
		return -1;
	/* docker: who is in a directory changes the directory. */
	if (!changed && !map_get(&walk->out->listed, path))
		return 0;
	list_of(walk, path);
	note(walk, pair, name, path, 'C');
	return 0;
}

static int compare_entry(struct walk *walk, const struct pair *pair, const char *name, const char *path,
			 struct error *err)
{
	struct stat upper;
	struct stat lower;
	bool untouched;
	int same;

	if (fstatat(pair->upper, name, &upper, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tree_fail(err, errno, "look at", path);
	if (fstatat(pair->lower, name, &lower, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "look below at", path);
	if ((upper.st_mode ^ lower.st_mode) & S_IFMT)
		return add_replaced(walk, pair, name, path, &upper, err);
	untouched = pair->untouched && is_earlier(&upper.st_ctim, &walk->search->since);
	same = looks_same(&upper, &lower);
	if (same && !untouched)
		same = is_same(walk, pair, name, path, upper.st_mode, err);
	if (same < 0)
		return -1;
	if (S_ISDIR(upper.st_mode))
		return enter(walk, pair, name, path, untouched, !same, err);
	return same ? 0 : add_replaced(walk, pair, name, path, &upper, err);
}

static int compare_name(struct walk *walk, const struct pair *pair, const char *upper, const char *lower,
			struct error *err)
{
	const char *name = upper ? upper : lower;
	AUTO_FREE char *path = *pair->path ? xasprintf("%s/%s", pair->path, name) : xstrdup(name);
	struct stat st;

	if (map_get(walk->search->skip, path))
		return 0;
	if (upper && lower)
		return compare_entry(walk, pair, name, path, err);
	if (!upper) {
		map_set(&walk->out->gone, path, walk->out);
		note(walk, pair, name, path, 'D');
		return 0;
	}
	if (fstatat(pair->upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tree_fail(err, errno, "look at", path);
	return add_new(walk, pair, name, path, &st, err);
}

static int compare_directory(struct walk *walk, const struct pair *pair, struct error *err)
{
	AUTO(text_list_fini) struct text_list upper = { 0 };
	AUTO(text_list_fini) struct text_list lower = { 0 };
	size_t i = 0;
	size_t j = 0;
	int r = 0;

	if (walk->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", pair->path,
				 TREE_DEPTH_MAX);
	if (names_load(&upper, pair->upper, pair->path, err) < 0 ||
	    names_load(&lower, pair->lower, pair->path, err) < 0)
		return -1;
	walk->depth++;
	while (r == 0 && (i < upper.count || j < lower.count)) {
		int order = i == upper.count ? 1 : j == lower.count ? -1 : strcmp(upper.items[i], lower.items[j]);

		r = compare_name(walk, pair, order <= 0 ? upper.items[i] : NULL, order >= 0 ? lower.items[j] : NULL,
				 err);
		i += order <= 0;
		j += order >= 0;
	}
	walk->depth--;
	return r;
}

int differences_find(struct differences *out, const struct differences_search *search, struct error *err)
{
	struct walk walk = { .search = search, .out = out };
	/* Nobody puts another directory in the place of the root. */
	const struct pair root = { search->upper_fd, search->lower_fd, "", true };
	int r;

	*out = (struct differences){ .bytes = 0 };
	map_init(&out->listed, free_list);
	map_init(&out->gone, NULL);
	walk.blocks[0] = xmalloc(BLOCK_SIZE);
	walk.blocks[1] = xmalloc(BLOCK_SIZE);
	if (search->lower_fd >= 0)
		list_of(&walk, "");
	r = search->lower_fd >= 0 ? compare_directory(&walk, &root, err)
				  : add_new_below(&walk, search->upper_fd, "", err);
	free(walk.blocks[0]);
	free(walk.blocks[1]);
	text_list_sort(&out->lines);
	return r;
}

void differences_fini(struct differences *differences)
{
	map_fini(&differences->listed);
	map_fini(&differences->gone);
	text_list_fini(&differences->lines);
	*differences = (struct differences){ .bytes = 0 };
}
