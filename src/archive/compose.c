/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "archive/names.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define BLOCK_SIZE (256 * 1024)
#define KEY_MAX 64

struct compose {
	const struct compose_settings *settings;
	struct map links; /* "inode" -> path of its first copy, owned */
	unsigned depth;
};

/* An entry to take over. */
struct entry {
	int from_dir;
	int to_dir;
	const char *name;
	const char *path;
	const struct stat *st;
};

static bool is_in(const struct map *map, const char *path)
{
	return map && map_get(map, path);
}

/* ---- content ---- */

/* A file system that cannot copy by itself. */
static int copy_plainly(int from, int to, off_t at, off_t end, const char *path, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);

	while (at < end) {
		size_t want = end - at < BLOCK_SIZE ? (size_t)(end - at) : BLOCK_SIZE;
		ssize_t got = pread(from, block, want, at);

		if (got < 0)
			return tree_fail(err, errno, "read", path);
		if (got == 0)
			return 0;
		if (pwrite(to, block, (size_t)got, at) != got)
			return tree_fail(err, errno ? errno : ENOSPC, "write", path);
		at += got;
	}
	return 0;
}

/* Shares the blocks where the file system can. */
static int copy_part(int from, int to, off_t at, off_t end, const char *path, struct error *err)
{
	off_t in = at;
	off_t out = at;

	while (in < end) {
		ssize_t got = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);

		if (got < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
			return tree_fail(err, errno, "copy", path);
		if (got <= 0)
			return copy_plainly(from, to, in, end, path, err);
	}
	return 0;
}

static int copy_content(int from, int to, off_t size, const char *path, struct error *err)
{
	off_t end = 0;

	while (end < size) {
		off_t at = lseek(from, end, SEEK_DATA);

		if (at < 0 && errno == ENXIO)
			break; /* only a hole is left */
		if (at < 0)
			return tree_fail(err, errno, "read", path);
		end = lseek(from, at, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		if (copy_part(from, to, at, end, path, err) < 0)
			return -1;
	}
	return ftruncate(to, size) < 0 ? tree_fail(err, errno, "extend", path) : 0;
}

/* ---- entries ---- */

static int copy_file(const struct entry *entry, struct error *err)
{
	AUTO_CLOSE int from = openat(entry->from_dir, entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO_CLOSE int to = -1;

	if (from < 0)
		return tree_fail(err, errno, "open below", entry->path);
	to = openat(entry->to_dir, entry->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return tree_fail(err, errno, "create", entry->path);
	if (copy_content(from, to, entry->st->st_size, entry->path, err) < 0)
		return -1;
	return attributes_copy_fd(from, to, entry->st, entry->path, err);
}

static int copy_other(const struct entry *entry, struct error *err)
{
	const struct stat *st = entry->st;
	const struct attributes attributes = {
		.uid = st->st_uid, .gid = st->st_gid, .mode = st->st_mode & 07777, .mtime = st->st_mtim
	};
	const struct tree_place place = { .dir_fd = entry->to_dir, .name = entry->name };
	char target[PATH_MAX];
	ssize_t size;

	if (S_ISLNK(st->st_mode)) {
		size = readlinkat(entry->from_dir, entry->name, target, sizeof(target) - 1);
		if (size < 0)
			return tree_fail(err, errno, "read the link", entry->path);
		target[size] = '\0';
		if (symlinkat(target, entry->to_dir, entry->name) < 0)
			return tree_fail(err, errno, "link", entry->path);
	} else if (mknodat(entry->to_dir, entry->name, st->st_mode, st->st_rdev) < 0) {
		return tree_fail(err, errno, "make device", entry->path);
	}
	return attributes_apply_at(&place, &attributes, S_ISLNK(st->st_mode), entry->path, err);
}

/* 1: another name of what was copied already. */
static int link_copy(struct compose *compose, const struct entry *entry, struct error *err)
{
	char key[KEY_MAX];
	const char *first;

	if (entry->st->st_nlink < 2)
		return 0;
	snprintf(key, sizeof(key), "%llx", (unsigned long long)entry->st->st_ino);
	first = map_get(&compose->links, key);
	if (first && linkat(compose->settings->to_fd, first, entry->to_dir, entry->name, 0) == 0)
		return 1;
	/* A file system without links, or with too many of them: copies are as good to read. */
	if (first && errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP)
		return tree_fail(err, errno, "link", entry->path);
	map_set(&compose->links, key, xstrdup(entry->path));
	return 0;
}

static int take_file(struct compose *compose, const struct entry *entry, struct error *err)
{
	int r;

	if (compose->settings->link && linkat(entry->from_dir, entry->name, entry->to_dir, entry->name, 0) == 0)
		return 0;
	if (compose->settings->link && errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP && errno != EXDEV)
		return tree_fail(err, errno, "link", entry->path);
	r = link_copy(compose, entry, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	return S_ISREG(entry->st->st_mode) ? copy_file(entry, err) : copy_other(entry, err);
}

static int add_below(struct compose *compose, int from_fd, int to_fd, const char *path, struct error *err);

/* Directories of both; a new one gets its attributes when nothing in it changes any more. */
static int take_directory(struct compose *compose, const struct entry *entry, bool is_new, struct error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	AUTO_CLOSE int from = openat(entry->from_dir, entry->name, flags);
	AUTO_CLOSE int to = -1;

	if (from < 0)
		return tree_fail(err, errno, "open below", entry->path);
	if (is_new && mkdirat(entry->to_dir, entry->name, 0700) < 0)
		return tree_fail(err, errno, "make directory", entry->path);
	to = openat(entry->to_dir, entry->name, flags);
	if (to < 0)
		return tree_fail(err, errno, "open", entry->path);
	if (add_below(compose, from, to, entry->path, err) < 0)
		return -1;
	return is_new ? attributes_copy_fd(from, to, entry->st, entry->path, err) : 0;
}

static int add_entry(struct compose *compose, int from_dir, int to_dir, const char *name, const char *path,
		     struct error *err)
{
	struct stat st;
	const struct entry entry = { from_dir, to_dir, name, path, &st };
	struct stat there;
	bool is_new;

	if (is_in(compose->settings->hidden, path))
		return 0;
	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "look below at", path);
	is_new = fstatat(to_dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0;
	if (is_new && errno != ENOENT)
		return tree_fail(err, errno, "look at", path);
	if (S_ISDIR(st.st_mode) && (is_new || S_ISDIR(there.st_mode)))
		return take_directory(compose, &entry, is_new, err);
	return is_new ? take_file(compose, &entry, err) : 0;
}

static int add_below(struct compose *compose, int from_fd, int to_fd, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct timespec times[2];
	struct stat st;
	int r = 0;

	if (is_in(compose->settings->opaque, path))
		return 0;
	if (compose->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", path, TREE_DEPTH_MAX);
	if (names_load(&names, from_fd, path, err) < 0)
		return -1;
	if (fstat(to_fd, &st) < 0)
		return tree_fail(err, errno, "look at", path);
	compose->depth++;
	for (size_t i = 0; i < names.count && r == 0; i++) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);

		r = add_entry(compose, from_fd, to_fd, names.items[i], inner, err);
	}
	compose->depth--;
	times[0] = st.st_mtim;
	times[1] = st.st_mtim;
	/* Each new name was a change of it. */
	if (r == 0 && futimens(to_fd, times) < 0)
		return tree_fail(err, errno, "set the times of", path);
	return r;
}

int compose_run(const struct compose_settings *settings, struct error *err)
{
	struct compose compose = { .settings = settings };
	int r;

	map_init(&compose.links, free);
	r = add_below(&compose, settings->from_fd, settings->to_fd, "", err);
	map_fini(&compose.links);
	return r;
}
