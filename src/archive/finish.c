/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each record names a path as the container will see it. It is
 * looked up in the layers below as overlay would: highest first, and a whiteout
 * or an opaque directory on the way hides everything further down.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/attributes.h"
#include "archive/tree.h"
#include "archive/unpack.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sys/in_root.h"

#define OPAQUE_XATTR "trusted.overlay.opaque"

struct lowers {
	const int *fds; /* borrowed */
	size_t count;
};

/* An entry found below. */
struct found {
	int dir_fd; /* owned */
	const char *name;
	struct stat st;
};

static void found_fini(struct found *found)
{
	if (found->dir_fd >= 0)
		close(found->dir_fd);
	found->dir_fd = -1;
}

enum step { STEP_FOUND, STEP_DEEPER, STEP_HIDDEN };

static bool is_opaque(int dir_fd, const char *name)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char value;

	return fd >= 0 && fgetxattr(fd, OPAQUE_XATTR, &value, 1) == 1 && value == 'y';
}

/* Walks one layer, component by component, no links. */
static enum step look_in_layer(struct found *found, int layer_fd, const char *path)
{
	AUTO_CLOSE int fd = openat(layer_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *part = xstrdup(path);
	bool opaque = false;
	char *at = part;

	for (;;) {
		char *slash = strchr(at, '/');
		struct stat st;
		int next;

		if (slash)
			*slash = '\0';
		if (fd < 0 || fstatat(fd, at, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return opaque ? STEP_HIDDEN : STEP_DEEPER;
		if (tree_is_whiteout(&st))
			return STEP_HIDDEN;
		if (!slash) {
			*found = (struct found){ take_fd(&fd), path + (at - part), st };
			return STEP_FOUND;
		}
		if (!S_ISDIR(st.st_mode))
			return STEP_HIDDEN;
		opaque = opaque || is_opaque(fd, at);
		next = openat(fd, at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
		at = slash + 1;
	}
}

static bool look_below(struct found *found, const struct lowers *lowers, const char *path)
{
	for (size_t i = 0; i < lowers->count; i++) {
		enum step step = look_in_layer(found, lowers->fds[i], path);

		if (step != STEP_DEEPER)
			return step == STEP_FOUND;
	}
	return false;
}

/* ---- copying what was found ---- */

static int copy_bytes(int from, int to, const char *path, struct error *err)
{
	AUTO_FREE char *block = NULL;
	const size_t size = 256 * 1024;
	ssize_t got;
	int r;

	do {
		got = copy_file_range(from, NULL, to, NULL, SSIZE_MAX & ~0xfff, 0);
	} while (got > 0);
	if (got == 0)
		return 0;
	/* Another file system, or one that cannot. */
	block = xmalloc(size);
	while ((got = read(from, block, size)) > 0) {
		r = write_full(to, block, (size_t)got);
		if (r < 0)
			return tree_fail(err, r, "write", path);
	}
	return got < 0 ? tree_fail(err, errno, "read", path) : 0;
}

static int copy_file(const struct found *found, const struct tree_place *place, const char *path, struct error *err)
{
	AUTO_CLOSE int from = openat(found->dir_fd, found->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int to = -1;

	if (from < 0)
		return tree_fail(err, errno, "open below", path);
	to = openat(place->dir_fd, place->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return tree_fail(err, errno, "create", path);
	if (copy_bytes(from, to, path, err) < 0)
		return -1;
	return attributes_copy_fd(from, to, &found->st, path, err);
}

static int copy_symlink(const struct found *found, const struct tree_place *place, const char *path, struct error *err)
{
	struct attributes attributes = { .uid = found->st.st_uid, .gid = found->st.st_gid, .mtime = found->st.st_mtim };
	char target[PATH_MAX];
	ssize_t size = readlinkat(found->dir_fd, found->name, target, sizeof(target) - 1);

	if (size < 0)
		return tree_fail(err, errno, "read the link below", path);
	target[size] = '\0';
	if (symlinkat(target, place->dir_fd, place->name) < 0)
		return tree_fail(err, errno, "link", path);
	return attributes_apply_at(place, &attributes, true, path, err);
}

static int copy_node(const struct found *found, const struct tree_place *place, const char *path, struct error *err)
{
	struct attributes attributes = { .uid = found->st.st_uid,
					 .gid = found->st.st_gid,
					 .mode = found->st.st_mode & 07777,
					 .mtime = found->st.st_mtim };

	if (mknodat(place->dir_fd, place->name, found->st.st_mode, found->st.st_rdev) < 0)
		return tree_fail(err, errno, "make device", path);
	return attributes_apply_at(place, &attributes, false, path, err);
}

/* ---- records ---- */

/* A hard link to a file of a lower layer: overlay's copy-up, done by hand. */
static int finish_link(struct tree *tree, const struct lowers *lowers, const char *path, const char *target,
		       struct error *err)
{
	AUTO(found_fini) struct found found = { .dir_fd = -1 };
	struct tree_place place;

	if (!look_below(&found, lowers, target) || S_ISDIR(found.st.st_mode))
		return error_set(err, ERR_INVALID, "entry %s: hard link to %s, which is not in the image", path,
				 target);
	if (tree_place(tree, &place, path, err) < 0 || tree_clear(tree, &place, err) < 0)
		return -1;
	if (S_ISREG(found.st.st_mode))
		return copy_file(&found, &place, path, err);
	if (S_ISLNK(found.st.st_mode))
		return copy_symlink(&found, &place, path, err);
	return copy_node(&found, &place, path, err);
}

/* A directory the layer did not mention: it must not change owner or mode by being on the way. */
static int finish_directory(const struct tree *tree, const struct lowers *lowers, const char *path, struct error *err)
{
	AUTO(found_fini) struct found found = { .dir_fd = -1 };
	AUTO_CLOSE int from = -1;
	AUTO_CLOSE int to = -1;

	if (!look_below(&found, lowers, path) || !S_ISDIR(found.st.st_mode))
		return 0;
	from = openat(found.dir_fd, found.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	to = openat2_resolve(tree->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0,
			     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (to == -ENOENT || to == -ENOTDIR || to == -ELOOP)
		return 0; /* a later entry replaced it */
	if (from < 0 || to < 0)
		return tree_fail(err, from < 0 ? errno : to, "open", path);
	return attributes_copy_fd(from, to, &found.st, path, err);
}

/* The text that starts at *at, and moves behind it; NULL if it does not end. */
static const char *next_text(const char **at, const char *end)
{
	const char *text = *at;
	const char *nul = memchr(text, '\0', (size_t)(end - text));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return text;
}

static int finish_record(struct tree *tree, const struct lowers *lowers, const char *path, const char **at,
			 const char *end, struct error *err)
{
	const char *target;

	/* What a tree without marks hides is compose.h's work. */
	if (path[0] == UNPACK_HIDDEN || path[0] == UNPACK_OPAQUE)
		return 0;
	if (path[0] == 'D')
		return finish_directory(tree, lowers, path + 1, err);
	target = path[0] == 'L' && *at < end ? next_text(at, end) : NULL;
	if (!target)
		return error_set(err, ERR_INTERNAL, "the list of deferred work is damaged");
	return finish_link(tree, lowers, path + 1, target, err);
}

int unpack_finish(int root_fd, const int *lower_fds, size_t lower_count, const char *deferred, size_t size,
		  struct error *err)
{
	AUTO(tree_fini) struct tree tree = { 0 };
	const struct lowers lowers = { lower_fds, lower_count };
	const char *end;
	const char *at = deferred;
	int r = 0;

	if (size == 0)
		return 0;
	end = deferred + size;
	tree_init(&tree, root_fd);
	while (r == 0 && at < end) {
		const char *path = next_text(&at, end);

		r = path ? finish_record(&tree, &lowers, path, &at, end, err)
			 : error_set(err, ERR_INTERNAL, "the list of deferred work is damaged");
	}
	return r;
}
