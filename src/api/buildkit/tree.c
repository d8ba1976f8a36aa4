/* SPDX-License-Identifier: Apache-2.0 */
#include "api/buildkit/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/path.h"
#include "sys/in_root.h"

/* Go's os.FileMode */
#define GO_DIR (1u << 31)
#define GO_SYMLINK (1u << 27)
#define GO_DEVICE (1u << 26)
#define GO_PIPE (1u << 25)
#define GO_SOCKET (1u << 24)
#define GO_SETUID (1u << 23)
#define GO_SETGID (1u << 22)
#define GO_CHARACTER (1u << 21)
#define GO_STICKY (1u << 20)

struct directory {
	char *path;
	int64_t mtime;
};

struct tree {
	int fd;
	struct map seen; /* path -> itself */
	struct directory *directories;
	size_t directory_count;
	size_t directory_capacity;
	/* The parent of the last entry: its neighbours follow. */
	char *parent;
	int parent_fd;
};

struct tree *tree_new(int directory_fd)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));

	tree->fd = directory_fd;
	tree->parent_fd = -1;
	map_init(&tree->seen, NULL);
	return tree;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->directory_count; i++)
		free(tree->directories[i].path);
	free(tree->directories);
	map_fini(&tree->seen);
	free(tree->parent);
	auto_close(&tree->parent_fd);
	free(tree);
}

static mode_t unix_mode(uint32_t mode)
{
	mode_t bits = mode & 0777;

	bits |= mode & GO_SETUID ? S_ISUID : 0;
	bits |= mode & GO_SETGID ? S_ISGID : 0;
	bits |= mode & GO_STICKY ? S_ISVTX : 0;
	if (mode & GO_DIR)
		return bits | S_IFDIR;
	if (mode & GO_SYMLINK)
		return bits | S_IFLNK;
	if (mode & GO_DEVICE)
		return bits | (mode & GO_CHARACTER ? S_IFCHR : S_IFBLK);
	if (mode & GO_PIPE)
		return bits | S_IFIFO;
	return bits | (mode & GO_SOCKET ? S_IFSOCK : S_IFREG);
}

static struct timespec to_timespec(int64_t ns)
{
	int64_t seconds = ns / CLOCK_SECOND;
	int64_t rest = ns % CLOCK_SECOND;

	if (rest < 0) {
		seconds--;
		rest += CLOCK_SECOND;
	}
	return (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = (long)rest };
}

static int failed(struct error *err, const char *what, const char *path)
{
	return error_set_errno(err, errno == ENOSPC || errno == EDQUOT ? ERR_EXHAUSTED : ERR_INTERNAL, errno,
			       "build context: %s %s", what, path);
}

/* Relative, clean, without "..": what a walk gives. */
static bool is_plain(const char *path)
{
	AUTO_FREE char *clean = NULL;

	if (text_empty(path) || *path == '/')
		return false;
	clean = path_clean(path);
	return text_equal(clean, path) && !text_equal(path, ".") && !text_equal(path, "..") &&
	       !text_has_prefix(path, "../");
}

/* The descriptor of an entry's parent (borrowed until the next call). */
static int parent_of(struct tree *tree, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	int fd;

	if (tree->parent_fd >= 0 && text_equal(tree->parent, parent))
		return tree->parent_fd;
	fd = openat2_resolve(tree->fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0,
			     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd == -ENOSYS)
		fd = open_in_root(tree->fd, parent, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, fd, "build context: %s comes before its directory", path);
	auto_close(&tree->parent_fd);
	tree->parent_fd = fd;
	free(tree->parent);
	tree->parent = take_ptr(parent);
	return fd;
}

static bool is_same(const struct stat *there, const struct bk_stat *stat, mode_t mode)
{
	struct timespec mtime = to_timespec(stat->mtime);

	return there->st_mode == mode && there->st_uid == stat->uid && there->st_gid == stat->gid &&
	       there->st_size == stat->size && there->st_nlink == 1 && there->st_mtim.tv_sec == mtime.tv_sec &&
	       there->st_mtim.tv_nsec == mtime.tv_nsec;
}

static int make_directory(struct tree *tree, int parent_fd, const char *name, const struct bk_stat *stat, bool exists,
			  struct error *err)
{
	struct directory *directory;

	if (!exists && mkdirat(parent_fd, name, 0700) < 0)
		return failed(err, "make", stat->path);
	if (fchownat(parent_fd, name, stat->uid, stat->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(parent_fd, name, unix_mode(stat->mode) & 07777, 0) < 0)
		return failed(err, "set the mode of", stat->path);
	tree->directories = xgrow(tree->directories, &tree->directory_capacity, tree->directory_count + 1,
				  sizeof(*tree->directories));
	directory = &tree->directories[tree->directory_count++];
	*directory = (struct directory){ .path = xstrdup(stat->path), .mtime = stat->mtime };
	return 0;
}

/* A name for a file that was listed before. */
static int make_link(struct tree *tree, int parent_fd, const char *name, const struct bk_stat *stat, struct error *err)
{
	AUTO_FREE char *base = NULL;
	AUTO_CLOSE int from_fd = -1;

	if (!is_plain(stat->link) || !map_get(&tree->seen, stat->link))
		return error_set(err, ERR_INVALID, "build context: %s is a link to %s, which was not listed",
				 stat->path, stat->link);
	from_fd = parent_in_root(tree->fd, stat->link, false, &base);
	if (from_fd < 0)
		return error_set_errno(err, ERR_INVALID, from_fd, "build context: open %s", stat->link);
	return linkat(from_fd, base, parent_fd, name, 0) < 0 ? failed(err, "link", stat->path) : 0;
}

static int make_special(int parent_fd, const char *name, const struct bk_stat *stat, mode_t mode, struct error *err)
{
	struct timespec times[2] = { to_timespec(stat->mtime), to_timespec(stat->mtime) };
	int r;

	if (S_ISLNK(mode))
		r = symlinkat(stat->link, parent_fd, name);
	else
		r = mknodat(parent_fd, name, mode, makedev((unsigned)stat->device_major, (unsigned)stat->device_minor));
	if (r < 0 || fchownat(parent_fd, name, stat->uid, stat->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(mode) && fchmodat(parent_fd, name, mode & 07777, 0) < 0) ||
	    utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(err, "make", stat->path);
	return 0;
}

static int make_file(int parent_fd, const char *name, const struct bk_stat *stat, struct error *err)
{
	AUTO_CLOSE int fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? failed(err, "make", stat->path) : 1;
}

/* Takes the place of what is there. */
static int replace(struct tree *tree, int parent_fd, const char *name, const struct bk_stat *stat, struct error *err)
{
	mode_t mode = unix_mode(stat->mode);
	int r = remove_tree(parent_fd, name);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "build context: remove %s", stat->path);
	if (S_ISDIR(mode))
		return make_directory(tree, parent_fd, name, stat, false, err);
	if (S_ISSOCK(mode))
		return 0;
	if (!S_ISREG(mode))
		return make_special(parent_fd, name, stat, mode, err);
	if (!text_empty(stat->link))
		return make_link(tree, parent_fd, name, stat, err);
	return make_file(parent_fd, name, stat, err);
}

int tree_add(struct tree *tree, const struct bk_stat *stat, struct error *err)
{
	mode_t mode = unix_mode(stat->mode);
	const char *name;
	struct stat there;
	bool exists;
	int parent_fd;

	if (!is_plain(stat->path) || (S_ISLNK(mode) && text_empty(stat->link)))
		return error_set(err, ERR_INVALID, "build context: the client lists a bad name: %s",
				 text_or_empty(stat->path));
	parent_fd = parent_of(tree, stat->path, err);
	if (parent_fd < 0)
		return -1;
	name = path_base(stat->path);
	exists = fstatat(parent_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0;
	map_set(&tree->seen, stat->path, tree);
	if (exists && S_ISDIR(mode) && S_ISDIR(there.st_mode))
		return make_directory(tree, parent_fd, name, stat, true, err);
	if (exists && S_ISREG(mode) && text_empty(stat->link) && stat->xattrs.count == 0 && is_same(&there, stat, mode))
		return 0;
	return replace(tree, parent_fd, name, stat, err);
}

int tree_open(struct tree *tree, const char *path, struct error *err)
{
	int parent_fd = parent_of(tree, path, err);
	int fd;

	if (parent_fd < 0)
		return -1;
	fd = openat(parent_fd, path_base(path), O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? failed(err, "write", path) : fd;
}

int tree_finish(int fd, const struct bk_stat *stat, struct error *err)
{
	struct timespec times[2] = { to_timespec(stat->mtime), to_timespec(stat->mtime) };

	for (size_t i = 0; i < stat->xattrs.count; i++) {
		const struct bk_xattr *xattr = &stat->xattrs.items[i];

		/* A file system without them has lost them before us. */
		if (fsetxattr(fd, text_or_empty(xattr->key), xattr->value.data, xattr->value.size, 0) < 0 &&
		    errno != ENOTSUP && errno != EPERM)
			return failed(err, "set an attribute of", stat->path);
	}
	if (fchown(fd, stat->uid, stat->gid) < 0 || fchmod(fd, unix_mode(stat->mode) & 07777) < 0 ||
	    futimens(fd, times) < 0)
		return failed(err, "set the mode of", stat->path);
	return 0;
}

/* ---- the end ---- */

static int sweep(struct tree *tree, int parent_fd, const char *path, struct error *err)
{
	AUTO_CLOSEDIR DIR *dir = dir_open(parent_fd, *path ? path_base(path) : ".");
	struct dirent *entry;

	if (!dir)
		return failed(err, "read", path);
	while ((entry = readdir(dir))) {
		AUTO_FREE char *inner = *path ? xasprintf("%s/%s", path, entry->d_name) : xstrdup(entry->d_name);
		int r;

		if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, ".."))
			continue;
		if (!map_get(&tree->seen, inner)) {
			r = remove_tree(dirfd(dir), entry->d_name);
			if (r < 0)
				return error_set_errno(err, ERR_INTERNAL, r, "build context: remove %s", inner);
		} else if (entry->d_type == DT_DIR && sweep(tree, dirfd(dir), inner, err) < 0) {
			return -1;
		}
	}
	return 0;
}

int tree_end(struct tree *tree, bool keep, struct error *err)
{
	if (!keep && sweep(tree, tree->fd, "", err) < 0)
		return -1;
	for (size_t i = tree->directory_count; i > 0; i--) {
		const struct directory *directory = &tree->directories[i - 1];
		struct timespec times[2] = { to_timespec(directory->mtime), to_timespec(directory->mtime) };
		int parent_fd = parent_of(tree, directory->path, err);

		if (parent_fd < 0)
			return -1;
		if (utimensat(parent_fd, path_base(directory->path), times, AT_SYMLINK_NOFOLLOW) < 0)
			return failed(err, "set the time of", directory->path);
	}
	return 0;
}
