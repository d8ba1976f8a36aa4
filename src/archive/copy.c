/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "archive/names.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/path.h"
#include "sys/in_root.h"

#define BLOCK_SIZE (256 * 1024)
#define KEY_MAX 64

struct copy {
	const struct copy_settings *settings;
	struct owner owner;
	struct map links; /* "dev:inode" -> struct linked, owned */
	unsigned depth;
};

struct linked {
	int dir_fd; /* owned */
	char *name;
};

static void linked_free(void *value)
{
	struct linked *linked = value;

	close(linked->dir_fd);
	free(linked->name);
	free(linked);
}

/* ---- sources ---- */

static int fail_source(struct error *err, int errnum, const char *path)
{
	errnum = abs(errnum);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return error_set(err, ERR_NOT_FOUND,
				 "file not found in build context or excluded by .dockerignore: stat %s: file does not "
				 "exist",
				 path);
	return tree_fail(err, errnum, "reach", path);
}

/* "", "." and "/" are the root; ".." stays in it. */
static char *plain_path(const char *path)
{
	AUTO_FREE char *rooted = xasprintf("/%s", path);
	AUTO_FREE char *clean = path_clean(rooted);

	return xstrdup(clean + 1);
}

/* Adds what `rest` (components with wildcards) names below `path`. */
static int expand(struct text_list *out_paths, int source_fd, const char *path, const char *rest, struct error *err)
{
	size_t size = strcspn(rest, "/");
	AUTO_FREE char *part = xstrndup(rest, size);
	const char *behind = rest[size] ? rest + size + 1 : NULL;
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_CLOSE int fd = open_in_root(source_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fail_source(err, fd, path);
	if (names_load(&names, fd, path, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);
		int r = pattern_match(part, names.items[i], err);

		if (r > 0 && behind)
			r = expand(out_paths, source_fd, inner, behind, err);
		else if (r > 0)
			text_list_add(out_paths, inner);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* --parents: "a/./b/c" keeps "b/c" only; puts the pivot back where it was, counted in components. */
static void put_pivot(struct text_list *paths, size_t first, const char *pattern)
{
	const char *pivot = strstr(pattern, "/./");
	AUTO_FREE char *before = pivot ? xstrndup(pattern, (size_t)(pivot - pattern)) : NULL;
	AUTO_FREE char *plain = before ? plain_path(before) : NULL;
	size_t components = 1;

	if (!plain || !*plain)
		return;
	for (const char *c = plain; *c; c++)
		components += *c == '/';
	for (size_t i = first; i < paths->count; i++) {
		char *at = paths->items[i];
		char *marked;

		for (size_t n = 0; n < components && at; n++)
			at = strchr(n ? at + 1 : at, '/');
		if (!at)
			continue;
		marked = xasprintf("%.*s/./%s", (int)(at - paths->items[i]), paths->items[i], at + 1);
		free(paths->items[i]);
		paths->items[i] = marked;
	}
}

static int add_source(struct text_list *out_paths, const struct copy_settings *settings, const char *pattern,
		      struct error *err)
{
	AUTO_FREE char *path = plain_path(pattern);
	AUTO_CLOSE int fd = -1;
	size_t first = out_paths->count;

	if (pattern_is_magic(path)) {
		if (expand(out_paths, settings->source_fd, "", path, err) < 0)
			return -1;
		if (settings->parents)
			put_pivot(out_paths, first, pattern);
		return 0;
	}
	fd = open_in_root(settings->source_fd, *path ? path : ".", O_PATH, 0);
	if (fd < 0)
		return fail_source(err, fd, pattern);
	text_list_add(out_paths, path);
	if (settings->parents)
		put_pivot(out_paths, first, pattern);
	return 0;
}

int copy_find_sources(struct text_list *out_paths, const struct copy_settings *settings, struct error *err)
{
	for (size_t i = 0; i < settings->sources.count; i++)
		if (add_source(out_paths, settings, settings->sources.items[i], err) < 0)
			return -1;
	return 0;
}

/* ---- attributes ---- */

static void fill_attributes(const struct copy *copy, struct attributes *attributes, const struct stat *st)
{
	const struct copy_settings *settings = copy->settings;
	bool keep = settings->keep_owner && !settings->chown;

	*attributes = (struct attributes){
		.uid = keep ? st->st_uid : copy->owner.uid,
		.gid = keep ? st->st_gid : copy->owner.gid,
		.mode = settings->chmod ? mode_apply(settings->chmod, st->st_mode & 07777, S_ISDIR(st->st_mode))
					: st->st_mode & 07777,
		.mtime = st->st_mtim,
	};
}

/* chown drops capabilities, so the owner comes before the xattrs; see attributes.h. */
static int apply_fd(const struct copy *copy, int from, int to, const struct stat *st, const char *path,
		    struct error *err)
{
	struct attributes attributes;

	fill_attributes(copy, &attributes, st);
	if (fchown(to, attributes.uid, attributes.gid) < 0)
		return tree_fail(err, errno, "change the owner of", path);
	if (attributes_copy_xattrs(from, to, true, path, err) < 0)
		return -1;
	return attributes_apply_fd(to, &attributes, true, path, err) < 0 || fchmod(to, attributes.mode) < 0
		       ? error_is_set(err) ? -1 : tree_fail(err, errno, "change the mode of", path)
		       : 0;
}

/* ---- entries ---- */

/* Removes a file that stands where another shall be; a directory stays. */
static int clear_file(int to_dir, const char *name, const char *path, struct error *err)
{
	struct stat st;

	if (fstatat(to_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tree_fail(err, errno, "look at", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "cannot overwrite the directory %s with a file", path);
	if (unlinkat(to_dir, name, 0) < 0)
		return tree_fail(err, errno, "replace", path);
	return 0;
}

static int copy_bytes(int from, int to, const char *path, struct error *err)
{
	AUTO_FREE char *block = NULL;
	ssize_t got;
	int r;

	do {
		got = copy_file_range(from, NULL, to, NULL, SSIZE_MAX & ~0xfff, 0);
	} while (got > 0);
	if (got == 0)
		return 0;
	if (errno == ENOSPC || errno == EDQUOT)
		return tree_fail(err, errno, "write", path);
	/* Another file system, or one that cannot. */
	block = xmalloc(BLOCK_SIZE);
	while ((got = read(from, block, BLOCK_SIZE)) > 0) {
		r = write_full(to, block, (size_t)got);
		if (r < 0)
			return tree_fail(err, r, "write", path);
	}
	return got < 0 ? tree_fail(err, errno, "read", path) : 0;
}

/* Takes from_fd's bytes to a new file. */
static int copy_regular(struct copy *copy, int from, int to_dir, const char *name, const struct stat *st,
			const char *path, struct error *err)
{
	AUTO_CLOSE int to = -1;

	if (clear_file(to_dir, name, path, err) < 0)
		return -1;
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return tree_fail(err, errno, "create", path);
	if (copy_bytes(from, to, path, err) < 0)
		return -1;
	return apply_fd(copy, from, to, st, path, err);
}

static int apply_at(const struct copy *copy, int to_dir, const char *name, const struct stat *st, const char *path,
		    struct error *err)
{
	const struct tree_place place = { .dir_fd = to_dir, .name = name };
	struct attributes attributes;

	fill_attributes(copy, &attributes, st);
	return attributes_apply_at(&place, &attributes, S_ISLNK(st->st_mode), path, err);
}

static int copy_symlink(struct copy *copy, int from_dir, const char *from_name, int to_dir, const char *name,
			const struct stat *st, const char *path, struct error *err)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(from_dir, from_name, target, sizeof(target) - 1);

	if (size < 0)
		return tree_fail(err, errno, "read the link", path);
	target[size] = '\0';
	if (clear_file(to_dir, name, path, err) < 0)
		return -1;
	if (symlinkat(target, to_dir, name) < 0)
		return tree_fail(err, errno, "link", path);
	return apply_at(copy, to_dir, name, st, path, err);
}

static int copy_node(struct copy *copy, int to_dir, const char *name, const struct stat *st, const char *path,
		     struct error *err)
{
	if (S_ISSOCK(st->st_mode))
		return 0;
	if (clear_file(to_dir, name, path, err) < 0)
		return -1;
	if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0)
		return tree_fail(err, errno, "make device", path);
	return apply_at(copy, to_dir, name, st, path, err);
}

static bool is_same_file(const struct linked *linked, int dir_fd, const char *name)
{
	struct stat a;
	struct stat b;

	return fstatat(linked->dir_fd, linked->name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(dir_fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* 1: became a hard link to a file that was copied already. */
static int copy_linked(struct copy *copy, int to_dir, const char *name, const struct stat *st, const char *path,
		       struct error *err)
{
	const struct linked *linked;
	char key[KEY_MAX];

	if (st->st_nlink < 2)
		return 0;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	linked = map_get(&copy->links, key);
	if (linked) {
		/* Two sources of one name and one file: it is there already. */
		if (is_same_file(linked, to_dir, name))
			return 1;
		if (clear_file(to_dir, name, path, err) < 0)
			return -1;
		if (linkat(linked->dir_fd, linked->name, to_dir, name, 0) < 0)
			return tree_fail(err, errno, "link", path);
		return 1;
	}
	/* Descriptors are few: past this many, copies are made instead of links. */
	if (copy->links.count < 256) {
		int fd = fcntl(to_dir, F_DUPFD_CLOEXEC, 3);
		struct linked *fresh;

		if (fd < 0)
			return tree_fail(err, errno, "hold", path);
		fresh = xcalloc(1, sizeof(*fresh));
		*fresh = (struct linked){ fd, xstrdup(name) };
		map_set(&copy->links, key, fresh);
	}
	return 0;
}

static int copy_below(struct copy *copy, int from_fd, int to_fd, const char *path, const char *below,
		      struct error *err);

/* Made, or the directory that is there. A link to one is not followed. */
static int open_target_directory(int to_dir, const char *name, const char *path, bool *out_new, struct error *err)
{
	int fd;

	*out_new = mkdirat(to_dir, name, 0755) == 0;
	if (!*out_new && errno != EEXIST)
		return tree_fail(err, errno, "make directory", path);
	fd = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return error_set(err, ERR_INVALID, "cannot copy a directory to %s, which is none", path);
	return fd < 0 ? tree_fail(err, errno, "open", path) : fd;
}

static int copy_directory(struct copy *copy, int from_dir, const char *from_name, int to_dir, const char *name,
			  const struct stat *st, const char *path, const char *below, struct error *err)
{
	AUTO_CLOSE int from = openat(from_dir, from_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	bool is_new;

	if (from < 0)
		return tree_fail(err, errno, "open", path);
	to = open_target_directory(to_dir, name, path, &is_new, err);
	if (to < 0 || copy_below(copy, from, to, path, below, err) < 0)
		return -1;
	return apply_fd(copy, from, to, st, path, err);
}

/* `below`: the path from the source's own root, for the excludes. */
static int copy_entry(struct copy *copy, int from_dir, const char *from_name, int to_dir, const char *name,
		      const char *path, const char *below, struct error *err)
{
	const struct pattern_list *excludes = &copy->settings->excludes;
	bool left_out = excludes->count > 0 && pattern_list_matches(excludes, below);
	AUTO_CLOSE int from = -1;
	struct stat st;
	int r;

	if (left_out && !excludes->any_taken_back)
		return 0;
	if (fstatat(from_dir, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "look at", path);
	if (left_out && (!S_ISDIR(st.st_mode) || !pattern_list_may_take_back(excludes, below)))
		return 0;
	if (S_ISDIR(st.st_mode))
		return copy_directory(copy, from_dir, from_name, to_dir, name, &st, path, below, err);
	r = copy_linked(copy, to_dir, name, &st, path, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (S_ISLNK(st.st_mode))
		return copy_symlink(copy, from_dir, from_name, to_dir, name, &st, path, err);
	if (!S_ISREG(st.st_mode))
		return copy_node(copy, to_dir, name, &st, path, err);
	from = openat(from_dir, from_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from < 0)
		return tree_fail(err, errno, "open", path);
	return copy_regular(copy, from, to_dir, name, &st, path, err);
}

static int copy_below(struct copy *copy, int from_fd, int to_fd, const char *path, const char *below, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	int r = 0;

	if (copy->depth >= TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "%.64s...: more than %d directories deep", path, TREE_DEPTH_MAX);
	if (names_load(&names, from_fd, path, err) < 0)
		return -1;
	copy->depth++;
	for (size_t i = 0; i < names.count && r == 0; i++) {
		const char *name = names.items[i];
		AUTO_FREE char *inner = path_join(path, name);
		AUTO_FREE char *inner_below = *below ? xasprintf("%s/%s", below, name) : xstrdup(name);

		r = copy_entry(copy, from_fd, name, to_fd, name, inner, inner_below, err);
	}
	copy->depth--;
	return r;
}

/* ---- the destination ---- */

static int make_directories(const struct copy *copy, const char *path, struct error *err)
{
	AUTO_CLOSE int fd = mkdir_in_root(copy->settings->target_fd, path, 0755, copy->owner.uid, copy->owner.gid);

	if (fd == -ENOTDIR)
		return error_set(err, ERR_INVALID, "cannot copy to %s: a part of it is not a directory", path);
	if (fd < 0)
		return tree_fail(err, fd, "make directory", path);
	return 0;
}

static int open_directory(const struct copy *copy, const char *path, struct error *err)
{
	int fd;

	if (make_directories(copy, path, err) < 0)
		return -1;
	fd = open_in_root(copy->settings->target_fd, path, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? tree_fail(err, fd, "open", path) : fd;
}

static bool is_directory_in_root(int root_fd, const char *path)
{
	AUTO_CLOSE int fd = open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);

	return fd >= 0;
}

/* Where one file goes: the directory (opened, made) and the name in it. */
static int find_place(const struct copy *copy, const char *source, bool into_directory, char **out_name,
		      char **out_path, struct error *err)
{
	const char *destination = copy->settings->destination;
	AUTO_FREE char *parent = NULL;
	AUTO_FREE char *name = NULL;
	int fd;

	if (into_directory) {
		parent = xstrdup(destination);
		name = xstrdup(path_base(source));
	} else {
		parent = path_parent(destination);
		name = xstrdup(path_base(destination));
	}
	fd = open_directory(copy, parent, err);
	if (fd < 0)
		return -1;
	*out_path = path_join(parent, name);
	*out_name = take_ptr(name);
	return fd;
}

/* A link in the place of the file's last component is followed, inside the root: docker writes through it. */
static int follow_link(const struct copy *copy, int *dir_fd, char **name, char **path, struct error *err)
{
	AUTO_CLOSE int fd = open_in_root(copy->settings->target_fd, *path, O_PATH | O_NOFOLLOW, 0);
	AUTO_FREE char *joined = NULL;
	AUTO_FREE char *last = NULL;
	AUTO_FREE char *parent = NULL;
	char target[PATH_MAX];
	struct stat st;
	ssize_t size;
	int next;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	size = readlinkat(fd, "", target, sizeof(target) - 1);
	if (size < 0)
		return tree_fail(err, errno, "read the link", *path);
	target[size] = '\0';
	parent = path_parent(*path);
	joined = target[0] == '/' ? xstrdup(target) : path_join(parent, target);
	next = parent_in_root(copy->settings->target_fd, joined, true, &last);
	if (next < 0)
		return tree_fail(err, next, "follow the link", *path);
	close(*dir_fd);
	*dir_fd = next;
	free(*name);
	*name = take_ptr(last);
	return 0;
}

static int copy_file_source(struct copy *copy, const char *source, const struct stat *st, bool into_directory,
			    struct error *err)
{
	AUTO_CLOSE int from = -1;
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int to_dir = find_place(copy, source, into_directory, &name, &path, err);
	int r;

	if (to_dir < 0 || follow_link(copy, &to_dir, &name, &path, err) < 0)
		return -1;
	r = copy_linked(copy, to_dir, name, st, path, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (!S_ISREG(st->st_mode))
		return copy_node(copy, to_dir, name, st, path, err);
	from = open_in_root(copy->settings->source_fd, source, O_RDONLY | O_NONBLOCK, 0);
	if (from < 0)
		return fail_source(err, from, source);
	return copy_regular(copy, from, to_dir, name, st, path, err);
}

static int copy_directory_source(struct copy *copy, const char *source, const struct stat *st, struct error *err)
{
	const char *destination = copy->settings->destination;
	bool existed = is_directory_in_root(copy->settings->target_fd, destination);
	AUTO_CLOSE int from = open_in_root(copy->settings->source_fd, *source ? source : ".", O_RDONLY | O_DIRECTORY,
					   0);
	AUTO_CLOSE int to = open_directory(copy, destination, err);

	if (to < 0)
		return -1;
	if (from < 0)
		return fail_source(err, from, source);
	if (copy_below(copy, from, to, destination, "", err) < 0)
		return -1;
	return existed ? 0 : apply_fd(copy, from, to, st, destination, err);
}

static int look_at_source(const struct copy *copy, const char *source, struct stat *out_st, struct error *err)
{
	AUTO_CLOSE int fd = open_in_root(copy->settings->source_fd, *source ? source : ".", O_PATH, 0);

	if (fd < 0 || fstat(fd, out_st) < 0)
		return fail_source(err, fd < 0 ? fd : errno, source);
	return 0;
}

static int copy_with_parents(struct copy *copy, const char *source, const struct stat *st, struct error *err)
{
	const char *pivot = strstr(source, "/./");
	AUTO_FREE char *kept = plain_path(pivot ? pivot + 3 : source);
	AUTO_FREE char *whole = path_join(copy->settings->destination, kept);
	struct copy_settings inner = *copy->settings;
	const struct copy_settings *outer = copy->settings;
	AUTO_FREE char *from = plain_path(source);
	int r;

	inner.destination = whole;
	copy->settings = &inner;
	r = S_ISDIR(st->st_mode) ? copy_directory_source(copy, from, st, err)
				 : copy_file_source(copy, from, st, false, err);
	copy->settings = outer;
	return r;
}

static int copy_sources(struct copy *copy, const struct text_list *sources, struct error *err)
{
	const struct copy_settings *settings = copy->settings;
	bool into_directory = settings->sources.count > 1 || sources->count > 1 ||
			      text_has_suffix(settings->destination, "/") ||
			      is_directory_in_root(settings->target_fd, settings->destination);

	for (size_t i = 0; i < sources->count; i++) {
		const char *source = sources->items[i];
		struct stat st;
		int r = look_at_source(copy, source, &st, err);

		if (r == 0 && !S_ISDIR(st.st_mode) && settings->excludes.count > 0 &&
		    pattern_list_matches(&settings->excludes, path_base(source)))
			continue;
		if (r == 0 && settings->parents)
			r = copy_with_parents(copy, source, &st, err);
		else if (r == 0 && S_ISDIR(st.st_mode))
			r = copy_directory_source(copy, source, &st, err);
		else if (r == 0)
			r = copy_file_source(copy, source, &st, into_directory, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

int copy_run(const struct copy_settings *settings, struct error *err)
{
	AUTO(text_list_fini) struct text_list sources = { 0 };
	struct copy copy = { .settings = settings };
	int r;

	if (settings->chown && owner_parse(&copy.owner, settings->target_fd, settings->chown, err) < 0)
		return -1;
	map_init(&copy.links, linked_free);
	r = copy_find_sources(&sources, settings, err);
	if (r == 0)
		r = copy_sources(&copy, &sources, err);
	map_fini(&copy.links);
	return r;
}

/* Devices and the like are not opened: only what they are counts. */
static int open_for_pack(int source_fd, const char *path, struct error *err)
{
	AUTO_CLOSE int fd = open_in_root(source_fd, *path ? path : ".", O_PATH, 0);
	struct stat st;
	int opened;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_source(err, fd < 0 ? fd : errno, path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return take_fd(&fd);
	opened = open_in_root(source_fd, *path ? path : ".", O_RDONLY | O_NONBLOCK, 0);
	return opened < 0 ? fail_source(err, opened, path) : opened;
}

int copy_pack(const struct copy_settings *settings, struct pack *pack, struct error *err)
{
	AUTO(text_list_fini) struct text_list sources = { 0 };

	if (copy_find_sources(&sources, settings, err) < 0)
		return -1;
	for (size_t i = 0; i < sources.count; i++) {
		const char *source = sources.items[i];
		AUTO_CLOSE int fd = open_for_pack(settings->source_fd, source, err);

		if (fd < 0 || pack_add_opened(pack, fd, *source ? source : ".", err) < 0)
			return -1;
	}
	return 0;
}

int copy_make_directory(int target_fd, const char *path, const char *chown, struct error *err)
{
	AUTO_CLOSE int fd = -1;
	struct owner owner = { 0, 0 };

	if (is_directory_in_root(target_fd, path))
		return 0;
	if (chown && owner_parse(&owner, target_fd, chown, err) < 0)
		return -1;
	fd = mkdir_in_root(target_fd, path, 0755, owner.uid, owner.gid);
	if (fd == -ENOTDIR)
		return error_set(err, ERR_INVALID, "cannot make the directory %s: a part of it is not a directory",
				 path);
	return fd < 0 ? tree_fail(err, fd, "make directory", path) : 1;
}
