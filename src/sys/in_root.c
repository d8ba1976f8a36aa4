/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: openat2(RESOLVE_IN_ROOT) does the walk where it can. Where it
 * cannot (no such system call, a directory has to be made on the way), a
 * walker holds one O_PATH descriptor per directory from the root down. ".."
 * drops the last one, so renaming a directory under our feet leads nowhere; a
 * symlink's text is put before the rest of the path, an absolute one after
 * dropping all descriptors.
 */
#include "sys/in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define LINKS_MAX 40
#define RACE_RETRIES 32

static bool no_openat2;

void in_root_without_openat2(bool without)
{
	no_openat2 = without;
}

int openat2_resolve(int dir_fd, const char *path, int flags, mode_t mode, unsigned long resolve)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve };
	long fd;

	if (no_openat2)
		return -ENOSYS;
	if (flags & (O_CREAT | __O_TMPFILE))
		how.mode = mode & 07777;
	for (int i = 0; i < RACE_RETRIES; i++) {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		/* A rename somewhere made ".." uncertain: the kernel asks to try again. */
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

struct walker {
	int root_fd; /* borrowed */
	int *dirs;   /* owned descriptors below the root */
	size_t depth;
	size_t capacity;
	char *rest; /* owned: what is still to walk */
	char *next; /* where in rest */
	unsigned links;
	bool make;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

static void walker_init(struct walker *walker, int root_fd, const char *path)
{
	*walker = (struct walker){ .root_fd = root_fd, .rest = xstrdup(path), .uid = (uid_t)-1, .gid = (gid_t)-1 };
	walker->next = walker->rest;
}

static void walker_fini(struct walker *walker)
{
	while (walker->depth > 0)
		close(walker->dirs[--walker->depth]);
	free(walker->dirs);
	free(walker->rest);
}

static int here(const struct walker *walker)
{
	return walker->depth ? walker->dirs[walker->depth - 1] : walker->root_fd;
}

static void push(struct walker *walker, int fd)
{
	walker->dirs = xgrow(walker->dirs, &walker->capacity, walker->depth + 1, sizeof(*walker->dirs));
	walker->dirs[walker->depth++] = fd;
}

static void pop(struct walker *walker)
{
	if (walker->depth > 0)
		close(walker->dirs[--walker->depth]);
}

/* Cuts the next component out of the rest; NULL at the end. ".", ".." and empty ones are dealt with here. */
static char *next_component(struct walker *walker)
{
	for (;;) {
		char *name = walker->next;
		size_t size;

		while (*name == '/')
			name++;
		if (*name == '\0')
			return NULL;
		size = strcspn(name, "/");
		walker->next = name + size;
		if (*walker->next)
			*walker->next++ = '\0';
		if (strcmp(name, "..") == 0)
			pop(walker);
		else if (strcmp(name, ".") != 0)
			return name;
	}
}

static bool at_end(const struct walker *walker)
{
	return walker->next[strspn(walker->next, "/")] == '\0';
}

/* Goes on with the text of a symlink. */
static int follow(struct walker *walker, int link_fd)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(link_fd, "", target, sizeof(target) - 1);
	char *rest;

	if (size < 0)
		return -errno;
	if (++walker->links > LINKS_MAX)
		return -ELOOP;
	target[size] = '\0';
	if (target[0] == '/')
		while (walker->depth > 0)
			pop(walker);
	rest = xasprintf("%s/%s", target, walker->next);
	free(walker->rest);
	walker->rest = rest;
	walker->next = rest;
	return 0;
}

static int make_directory(const struct walker *walker, const char *name)
{
	if (mkdirat(here(walker), name, walker->mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	if ((walker->uid != (uid_t)-1 || walker->gid != (gid_t)-1) &&
	    fchownat(here(walker), name, walker->uid, walker->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

/* One directory deeper, or along a symlink. */
static int step(struct walker *walker, const char *name)
{
	AUTO_CLOSE int fd = openat(here(walker), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int made;

	if (fd < 0 && errno == ENOENT && walker->make) {
		made = make_directory(walker, name);
		if (made < 0)
			return made;
		fd = openat(here(walker), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return follow(walker, fd);
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	push(walker, take_fd(&fd));
	return 0;
}

/* Walks all directories; *out_last is the last component (in walker->rest), or NULL if the path ends in a directory. */
static int walk_to_last(struct walker *walker, char **out_last)
{
	char *name;

	while ((name = next_component(walker))) {
		int failed;

		if (at_end(walker)) {
			*out_last = name;
			return 0;
		}
		failed = step(walker, name);
		if (failed < 0)
			return failed;
	}
	*out_last = NULL;
	return 0;
}

/* The same and through the last component too, if that is a symlink. Leaves the name to open without following. */
static int walk_through_links(struct walker *walker, char **out_last)
{
	for (;;) {
		AUTO_CLOSE int fd = -1;
		struct stat st;
		int failed = walk_to_last(walker, out_last);

		if (failed < 0 || !*out_last)
			return failed;
		fd = openat(here(walker), *out_last, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISLNK(st.st_mode))
			return 0;
		failed = follow(walker, fd);
		if (failed < 0)
			return failed;
	}
}

static int duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

static int walk_and_open(int root_fd, const char *path, int flags, mode_t mode)
{
	AUTO(walker_fini) struct walker walker = { 0 };
	char *name;
	int fd;
	int failed;

	walker_init(&walker, root_fd, path);
	failed = flags & O_NOFOLLOW ? walk_to_last(&walker, &name) : walk_through_links(&walker, &name);
	if (failed < 0)
		return failed;
	if (!name && flags & O_CREAT)
		return -EISDIR;
	fd = openat(here(&walker), name ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

int open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
	int fd = openat2_resolve(root_fd, *path ? path : ".", flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	/* A seccomp filter older than openat2 says EPERM; the walk then finds the true error, if there is one. */
	if (fd == -ENOSYS || fd == -EPERM || fd == -EAGAIN)
		return walk_and_open(root_fd, path, flags, mode);
	return fd;
}

/* The usual case: only the last component is missing. Any failure is for the walker to find out. */
static int mkdir_last(int root_fd, const char *path, mode_t mode)
{
	AUTO_FREE char *parent_path = xstrdup(path);
	char *slash = strrchr(parent_path, '/');
	AUTO_CLOSE int parent = -1;
	const char *name;
	int fd;

	if (!slash || slash == parent_path)
		return -ENOENT;
	*slash = '\0';
	name = slash + 1;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -ENOENT;
	parent = openat2_resolve(root_fd, parent_path, O_PATH | O_DIRECTORY, 0,
				 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (parent < 0 || mkdirat(parent, name, mode) < 0)
		return -ENOENT;
	fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int mkdir_in_root(int root_fd, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	AUTO(walker_fini) struct walker walker = { 0 };
	char *name;
	int fd = open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);

	if (fd == -ENOENT && uid == (uid_t)-1 && gid == (gid_t)-1)
		fd = mkdir_last(root_fd, path, mode);
	if (fd != -ENOENT)
		return fd;
	walker_init(&walker, root_fd, path);
	walker.make = true;
	walker.mode = mode;
	walker.uid = uid;
	walker.gid = gid;
	while ((name = next_component(&walker))) {
		int failed = step(&walker, name);

		if (failed < 0)
			return failed;
	}
	return duplicate(here(&walker));
}

int mkdir_in_root_plain(int root_fd, const char *path, mode_t mode)
{
	return mkdir_in_root(root_fd, path, mode, (uid_t)-1, (gid_t)-1);
}

int touch_in_root(int root_fd, const char *path, mode_t mode)
{
	AUTO(walker_fini) struct walker walker = { 0 };
	AUTO_CLOSE int made = -1;
	char *name;
	int fd = open_in_root(root_fd, path, O_PATH, 0);
	int failed;

	if (fd != -ENOENT)
		return fd;
	walker_init(&walker, root_fd, path);
	walker.make = true;
	walker.mode = 0755;
	failed = walk_through_links(&walker, &name);
	if (failed < 0)
		return failed;
	if (!name)
		return -EISDIR;
	/* Never what somebody puts there at this moment: opening a fifo would wait for its other end. */
	made = openat(here(&walker), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (made < 0 && errno != EEXIST)
		return -errno;
	fd = openat(here(&walker), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int parent_in_root(int root_fd, const char *path, bool make, char **out_name)
{
	AUTO(walker_fini) struct walker walker = { 0 };
	char *name;
	int failed;
	int fd;

	walker_init(&walker, root_fd, path);
	walker.make = make;
	walker.mode = 0755;
	failed = walk_to_last(&walker, &name);
	if (failed < 0)
		return failed;
	if (!name)
		return -EINVAL;
	fd = duplicate(here(&walker));
	if (fd >= 0)
		*out_name = xstrdup(name);
	return fd;
}

int symlink_in_root(int root_fd, const char *target, const char *path)
{
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int parent = parent_in_root(root_fd, path, true, &name);
	char there[PATH_MAX];
	ssize_t size;

	if (parent < 0)
		return parent;
	if (symlinkat(target, parent, name) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	size = readlinkat(parent, name, there, sizeof(there) - 1);
	if (size < 0)
		return errno == EINVAL ? -EEXIST : -errno;
	there[size] = '\0';
	return strcmp(there, target) == 0 ? 0 : -EEXIST;
}
