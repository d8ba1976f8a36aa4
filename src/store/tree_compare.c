/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tree_compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "sys/xattrs.h"

#define BLOCK_SIZE (128 * 1024)

struct comparison {
	int fds[2];
	struct text_list folders; /* still to be looked at: paths below both */
	char *difference;	  /* the first that was found */
	char *blocks[2];
};

/* Returns 0: they differ. */
static int differs(struct comparison *comparison, const char *path, const char *what)
{
	comparison->difference = xasprintf("%s: %s", *path ? path : "/", what);
	return 0;
}

static const char *relative(const char *path)
{
	return *path ? path : ".";
}

/* ---- one entry ---- */

static int compare_bytes(struct comparison *comparison, const int *files, const char *path, struct error *err)
{
	for (;;) {
		ssize_t a = read_full(files[0], comparison->blocks[0], BLOCK_SIZE);
		ssize_t b = read_full(files[1], comparison->blocks[1], BLOCK_SIZE);

		if (a < 0 || b < 0)
			return error_set_errno(err, ERR_INTERNAL, (int)(a < 0 ? a : b), "read %s", path);
		if (a != b || memcmp(comparison->blocks[0], comparison->blocks[1], (size_t)a) != 0)
			return differs(comparison, path, "its content differs");
		if (a == 0)
			return 1;
	}
}

/* What overlay remembers of its own work, in a folder that was a container's before it became a layer. */
static bool is_overlays_note(const char *name)
{
	static const char *const notes[] = { "origin", "impure", "nlink", "uuid" };
	const char *own = text_after(name, "trusted.overlay.");

	for (size_t i = 0; own && i < sizeof(notes) / sizeof(*notes); i++)
		if (text_equal(own, notes[i]))
			return true;
	return false;
}

static int compare_attributes(struct comparison *comparison, const int *files, const char *path)
{
	AUTO(text_fini) struct text a = { 0 };
	AUTO(text_fini) struct text b = { 0 };

	xattrs_describe(&a, files[0], is_overlays_note);
	xattrs_describe(&b, files[1], is_overlays_note);
	if (a.size != b.size || (a.size > 0 && memcmp(a.data, b.data, a.size) != 0))
		return differs(comparison, path, "its attributes differ");
	return 1;
}

static int compare_opened(struct comparison *comparison, const char *path, bool is_file, struct error *err)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (is_file ? 0 : O_DIRECTORY);
	AUTO_CLOSE int a = openat(comparison->fds[0], relative(path), flags);
	AUTO_CLOSE int b = openat(comparison->fds[1], relative(path), flags);
	const int files[2] = { a, b };
	int r;

	if (a < 0 || b < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", path);
	r = compare_attributes(comparison, files, path);
	return r > 0 && is_file ? compare_bytes(comparison, files, path, err) : r;
}

static int compare_link(struct comparison *comparison, const char *path, struct error *err)
{
	ssize_t a = readlinkat(comparison->fds[0], path, comparison->blocks[0], BLOCK_SIZE);
	ssize_t b = readlinkat(comparison->fds[1], path, comparison->blocks[1], BLOCK_SIZE);

	if (a < 0 || b < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "read the link %s", path);
	if (a != b || memcmp(comparison->blocks[0], comparison->blocks[1], (size_t)a) != 0)
		return differs(comparison, path, "it leads elsewhere");
	return 1;
}

static int compare_stat(struct comparison *comparison, const char *path, const struct stat *a, const struct stat *b)
{
	if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT) || a->st_rdev != b->st_rdev)
		return differs(comparison, path, "it is of another kind");
	if (a->st_mode != b->st_mode)
		return differs(comparison, path, "its mode differs");
	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		return differs(comparison, path, "its owner differs");
	if (S_ISREG(a->st_mode) && a->st_size != b->st_size)
		return differs(comparison, path, "its size differs");
	/* A whiteout has no time of its own. */
	if (!S_ISCHR(a->st_mode) && a->st_mtim.tv_sec != b->st_mtim.tv_sec)
		return differs(comparison, path, "its time differs");
	return 1;
}

static int compare_entry(struct comparison *comparison, const char *path, struct error *err)
{
	struct stat a;
	struct stat b;
	int r;

	if (fstatat(comparison->fds[0], relative(path), &a, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(comparison->fds[1], relative(path), &b, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "look at %s", path);
	/* One file under two names. */
	if (a.st_ino == b.st_ino && a.st_dev == b.st_dev && !S_ISDIR(a.st_mode))
		return 1;
	r = compare_stat(comparison, path, &a, &b);
	if (r <= 0)
		return r;
	if (S_ISLNK(a.st_mode))
		return compare_link(comparison, path, err);
	if (S_ISDIR(a.st_mode) && *path)
		text_list_add(&comparison->folders, path);
	return S_ISDIR(a.st_mode) || S_ISREG(a.st_mode) ? compare_opened(comparison, path, S_ISREG(a.st_mode), err) : 1;
}

/* ---- one folder ---- */

static int list_folder(struct text_list *out_names, int root_fd, const char *path, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = dir_open(root_fd, relative(path));
	struct dirent *entry;

	if (!dir)
		return error_set_errno(err, ERR_INTERNAL, errno, "open the folder %s", path);
	while ((entry = readdir(dir)))
		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
			text_list_add(out_names, entry->d_name);
	text_list_sort(out_names);
	return 0;
}

static int compare_names(struct comparison *comparison, const char *path, const struct text_list *a,
			 const struct text_list *b)
{
	for (size_t i = 0; i < a->count || i < b->count; i++) {
		const char *one = i < a->count ? a->items[i] : NULL;
		const char *other = i < b->count ? b->items[i] : NULL;

		if (!text_equal(one, other)) {
			bool missing = one && (!other || strcmp(one, other) < 0);
			AUTO_FREE char *place = xasprintf("%s%s%s", path, *path ? "/" : "", missing ? one : other);

			return differs(comparison, place, missing ? "it is missing" : "it should not be there");
		}
	}
	return 1;
}

static int compare_folder(struct comparison *comparison, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list a = { 0 };
	AUTO(text_list_fini) struct text_list b = { 0 };
	int r;

	if (list_folder(&a, comparison->fds[0], path, err) < 0 || list_folder(&b, comparison->fds[1], path, err) < 0)
		return -1;
	r = compare_names(comparison, path, &a, &b);
	for (size_t i = 0; r > 0 && i < a.count; i++) {
		AUTO_FREE char *below = xasprintf("%s%s%s", path, *path ? "/" : "", a.items[i]);

		r = compare_entry(comparison, below, err);
	}
	return r;
}

int tree_compare(char **out_difference, int a_fd, int b_fd, bool root, struct error *err)
{
	struct comparison comparison = { .fds = { a_fd, b_fd } };
	int r;

	comparison.blocks[0] = xmalloc(BLOCK_SIZE);
	comparison.blocks[1] = xmalloc(BLOCK_SIZE);
	r = root ? compare_entry(&comparison, "", err) : 1;
	if (r > 0)
		r = compare_folder(&comparison, "", err);
	while (r > 0 && comparison.folders.count > 0) {
		AUTO_FREE char *path = xstrdup(comparison.folders.items[comparison.folders.count - 1]);

		text_list_remove(&comparison.folders, comparison.folders.count - 1);
		r = compare_folder(&comparison, path, err);
	}
	text_list_fini(&comparison.folders);
	free(comparison.blocks[0]);
	free(comparison.blocks[1]);
	*out_difference = comparison.difference;
	return r;
}
