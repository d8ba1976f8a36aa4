/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sys/in_root.h"

#define OPAQUE_XATTR "trusted.overlay.opaque"
#define RESOLVE_INSIDE (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

void tree_init(struct tree *tree, int root_fd)
{
	*tree = (struct tree){ .root_fd = root_fd, .parent_fd = -1 };
}

static void forget_parent(struct tree *tree)
{
	if (tree->parent_fd >= 0 && tree->parent_fd != tree->root_fd)
		close(tree->parent_fd);
	tree->parent_fd = -1;
	free(take_ptr(tree->parent_path));
}

void tree_fini(struct tree *tree)
{
	forget_parent(tree);
	text_list_fini(&tree->implied);
}

int tree_fail(struct error *err, int errnum, const char *what, const char *path)
{
	errnum = abs(errnum);
	if (errnum == ENOSPC || errnum == EDQUOT)
		return error_set_errno(err, ERR_EXHAUSTED, errnum, "%s %s", what, path);
	return error_set_errno(err, ERR_INTERNAL, errnum, "%s %s", what, path);
}

static int fail_path(struct error *err, int errnum, const char *path)
{
	errnum = abs(errnum);
	if (errnum == EXDEV || errnum == ELOOP)
		return error_set(err, ERR_INVALID, "entry %s: its path leads out of the layer through a symbolic link",
				 path);
	if (errnum == ENOTDIR)
		return error_set(err, ERR_INVALID, "entry %s: a parent is not a directory", path);
	if (errnum == ENAMETOOLONG)
		return error_set(err, ERR_INVALID, "entry %.64s...: its path is too long", path);
	return tree_fail(err, errnum, "reach", path);
}

char *tree_path(const char *path, struct error *err)
{
	struct text plain = { 0 };
	const char *at = path;

	while (*at) {
		size_t size = strcspn(at, "/");

		if (size == 2 && at[0] == '.' && at[1] == '.') {
			text_fini(&plain);
			error_set(err, ERR_INVALID, "entry %s: its path contains \"..\"", path);
			return NULL;
		}
		if (size > 0 && !(size == 1 && at[0] == '.')) {
			if (plain.size > 0)
				text_add_char(&plain, '/');
			text_add_bytes(&plain, at, size);
		}
		at += size;
		at += strspn(at, "/");
	}
	return text_take(&plain);
}

bool tree_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* ---- parents ---- */

static int open_inside(int dir_fd, const char *path)
{
	return openat2_resolve(dir_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_INSIDE);
}

/* 1 if our whiteout stands where a directory is needed. */
static int covers_whiteout(struct tree *tree, const char *path, struct error *err)
{
	struct tree_place place;
	struct stat st;

	if (tree_place(tree, &place, path, err) < 0)
		return -1;
	return fstatat(place.dir_fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && tree_is_whiteout(&st);
}

static int make_parent(struct tree *tree, const char *path, struct error *err)
{
	struct tree_place place;

	if (tree_place(tree, &place, path, err) < 0 || tree_make_directory(tree, &place, 0755, err) < 0)
		return -1;
	text_list_add(&tree->implied, path);
	return 0;
}

/* Makes every missing directory on the way to `path`. */
static int make_parents(struct tree *tree, const char *path, struct error *err)
{
	AUTO_FREE char *part = xstrdup(path);
	char *slash = part;

	while (slash) {
		AUTO_CLOSE int fd = -1;

		slash = strchr(slash, '/');
		if (slash)
			*slash = '\0';
		fd = open_inside(tree->root_fd, part);
		if (fd == -ENOTDIR) {
			int r = covers_whiteout(tree, part, err);

			if (r <= 0)
				return r < 0 ? -1 : fail_path(err, ENOTDIR, path);
		} else if (fd < 0 && fd != -ENOENT) {
			return fail_path(err, fd, path);
		}
		if (fd < 0 && make_parent(tree, part, err) < 0)
			return -1;
		if (slash)
			*slash++ = '/';
	}
	return 0;
}

static int enter_parent(struct tree *tree, const char *parent, size_t size, struct error *err)
{
	AUTO_FREE char *path = xstrndup(parent, size);
	AUTO_CLOSE int fd = -1;
	struct stat st;

	fd = open_inside(tree->root_fd, size > 0 ? path : ".");
	if (fd == -ENOENT || fd == -ENOTDIR) {
		if (make_parents(tree, path, err) < 0)
			return -1;
		fd = open_inside(tree->root_fd, path);
	}
	if (fd < 0)
		return fail_path(err, fd, path);
	if (fstat(fd, &st) < 0)
		return tree_fail(err, errno, "look at", path);
	forget_parent(tree);
	tree->parent_fd = take_fd(&fd);
	tree->parent_path = take_ptr(path);
	tree->parent_setgid = (st.st_mode & S_ISGID) != 0;
	return 0;
}

int tree_place(struct tree *tree, struct tree_place *out_place, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) : 0;
	bool same = tree->parent_path && strncmp(tree->parent_path, path, size) == 0 && tree->parent_path[size] == '\0';

	if (!same && enter_parent(tree, path, size, err) < 0)
		return -1;
	*out_place = (struct tree_place){ .dir_fd = tree->parent_fd,
					  .name = slash ? slash + 1 : path,
					  .setgid = tree->parent_setgid };
	return 0;
}

int tree_find_parent(const struct tree *tree, const char *path, const char **out_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	int fd = open_inside(tree->root_fd, parent);

	if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
		return fail_path(err, fd, path);
	*out_name = slash ? slash + 1 : path;
	return fd < 0 ? -1 : fd;
}

/* ---- entries ---- */

int tree_clear(struct tree *tree, const struct tree_place *place, struct error *err)
{
	int r;

	if (unlinkat(place->dir_fd, place->name, 0) == 0 || errno == ENOENT)
		return 0;
	r = remove_tree(place->dir_fd, place->name);
	if (r < 0)
		return tree_fail(err, r, "replace", place->name);
	/* The cached parent cannot lie in what went: it is the parent of what went. */
	(void)tree;
	return 0;
}

static int set_opaque(int fd, const char *path, struct error *err)
{
	if (fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) == 0)
		return 0;
	return tree_fail(err, errno, "make opaque", path);
}

static int open_directory(const struct tree_place *place)
{
	return openat(place->dir_fd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int tree_make_directory(struct tree *tree, const struct tree_place *place, mode_t mode, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	bool whiteout;
	struct stat st;

	if (mkdirat(place->dir_fd, place->name, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return tree_fail(err, errno, "make directory", place->name);
	if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "look at", place->name);
	if (S_ISDIR(st.st_mode))
		return 0;
	/* Whiteout and then the same name again: what lies below stays hidden. */
	whiteout = tree_is_whiteout(&st);
	if (tree_clear(tree, place, err) < 0)
		return -1;
	if (mkdirat(place->dir_fd, place->name, mode) < 0)
		return tree_fail(err, errno, "make directory", place->name);
	if (!whiteout)
		return 0;
	fd = open_directory(place);
	return fd < 0 ? tree_fail(err, errno, "open", place->name) : set_opaque(fd, place->name, err);
}

int tree_whiteout(struct tree *tree, const struct tree_place *place, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	(void)tree;
	if (mknodat(place->dir_fd, place->name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return tree_fail(err, errno, "make a whiteout for", place->name);
	/* Whiteouts hide lower layers only (image-spec layer.md): a directory of this layer keeps its own entries. */
	fd = open_directory(place);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? 0 : tree_fail(err, errno, "open", place->name);
	return set_opaque(fd, place->name, err);
}

int tree_make_opaque(struct tree *tree, const char *path, struct error *err)
{
	AUTO_CLOSE int fd = openat2_resolve(tree->root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0,
					    RESOLVE_INSIDE);

	return fd < 0 ? fail_path(err, fd, path) : set_opaque(fd, *path ? path : "/", err);
}
