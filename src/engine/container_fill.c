/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: docker copies what the image has at a volume's destination into
 * a new volume. Nothing is mounted on the host, so the layers are applied by
 * hand, lowest first: each layer's folder at that path is copied over, its
 * whiteouts remove, an opaque folder empties. All below directory descriptors
 * and without following any link (openat2 RESOLVE_BENEATH | NO_SYMLINKS): the
 * image's links cannot lead outside; a destination behind a link stays empty.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "engine/engine_private.h"
#include "store/layer.h"

#define DEPTH_MAX 128
#define COPY_PIECE 65536
#define XATTRS_MAX 65536

static int open_beneath(int dir_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static bool is_whiteout(const struct stat *status)
{
	return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

static bool is_opaque(int fd)
{
	char value;

	return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/* User, security and ACL attributes; overlay's own stay behind. */
static void copy_xattrs(int from_fd, int to_fd)
{
	AUTO_FREE char *names = xmalloc(XATTRS_MAX);
	AUTO_FREE char *value = xmalloc(XATTRS_MAX);
	ssize_t size = flistxattr(from_fd, names, XATTRS_MAX);

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t length;

		if (text_has_prefix(names + at, "trusted.overlay."))
			continue;
		length = fgetxattr(from_fd, names + at, value, XATTRS_MAX);
		if (length >= 0 && fsetxattr(to_fd, names + at, value, (size_t)length, 0) < 0)
			continue; /* a file system without them: docker goes on too */
	}
}

static int copy_status(int fd, const struct stat *status)
{
	const struct timespec times[2] = { status->st_atim, status->st_mtim };

	if (fchown(fd, status->st_uid, status->st_gid) < 0 || fchmod(fd, status->st_mode & 07777) < 0 ||
	    futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int copy_bytes(int from_fd, int to_fd)
{
	AUTO_FREE char *piece = NULL;
	ssize_t got = copy_file_range(from_fd, NULL, to_fd, NULL, SIZE_MAX / 4, 0);

	while (got > 0)
		got = copy_file_range(from_fd, NULL, to_fd, NULL, SIZE_MAX / 4, 0);
	if (got == 0 || (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS))
		return got == 0 ? 0 : -errno;
	piece = xmalloc(COPY_PIECE);
	while ((got = read(from_fd, piece, COPY_PIECE)) > 0) {
		int r = write_full(to_fd, piece, (size_t)got);

		if (r < 0)
			return r;
	}
	return got < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *status)
{
	AUTO_CLOSE int from_fd = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSE int to_fd = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (from_fd < 0 || to_fd < 0)
		return -errno;
	r = copy_bytes(from_fd, to_fd);
	if (r < 0)
		return r;
	copy_xattrs(from_fd, to_fd);
	return copy_status(to_fd, status);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *status)
{
	char target[4096];
	ssize_t size = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (size < 0)
		return -errno;
	target[size] = '\0';
	if (symlinkat(target, to_dir, name) < 0 ||
	    fchownat(to_dir, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *status)
{
	if (mknodat(to_dir, name, status->st_mode, status->st_rdev) < 0 ||
	    fchownat(to_dir, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(to_dir, name, status->st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int copy_folder(int from_fd, int to_fd, unsigned depth);

static int copy_subfolder(int from_dir, int to_dir, const char *name, unsigned depth)
{
	AUTO_CLOSE int from_fd = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSE int to_fd = -1;

	if (from_fd < 0)
		return -errno;
	if (mkdirat(to_dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	to_fd = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return to_fd < 0 ? -errno : copy_folder(from_fd, to_fd, depth + 1);
}

static int copy_entry(int from_dir, int to_dir, const char *name, unsigned depth)
{
	struct stat status;
	struct stat below;
	bool merges;

	if (fstatat(from_dir, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	merges = S_ISDIR(status.st_mode) && fstatat(to_dir, name, &below, AT_SYMLINK_NOFOLLOW) == 0 &&
		 S_ISDIR(below.st_mode);
	if (!merges) {
		int r = remove_tree(to_dir, name);

		if (r < 0)
			return r;
	}
	if (is_whiteout(&status))
		return 0;
	if (S_ISDIR(status.st_mode))
		return copy_subfolder(from_dir, to_dir, name, depth);
	if (S_ISREG(status.st_mode))
		return copy_file(from_dir, to_dir, name, &status);
	if (S_ISLNK(status.st_mode))
		return copy_link(from_dir, to_dir, name, &status);
	return copy_node(to_dir, name, &status);
}

static int empty_folder(int fd)
{
	int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSEDIR DIR *folder = listed < 0 ? NULL : fdopendir(listed);
	struct dirent *entry;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder))) {
		int r = text_equal(entry->d_name, ".") || text_equal(entry->d_name, "..")
				? 0
				: remove_tree(fd, entry->d_name);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Applies a layer's folder onto what the layers below gave. */
static int copy_folder(int from_fd, int to_fd, unsigned depth)
{
	int listed = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSEDIR DIR *folder = listed < 0 ? NULL : fdopendir(listed);
	struct dirent *entry;
	struct stat status;
	int r;

	if (!folder || fstat(from_fd, &status) < 0)
		return -errno;
	if (depth > DEPTH_MAX)
		return -ELOOP;
	r = is_opaque(from_fd) ? empty_folder(to_fd) : 0;
	while (r == 0 && (entry = readdir(folder)))
		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
			r = copy_entry(from_fd, to_fd, entry->d_name, depth);
	if (r < 0)
		return r;
	copy_xattrs(from_fd, to_fd);
	return copy_status(to_fd, &status);
}

/* A parent that a layer replaced or hid takes everything below away. */
static int look_at_parents(int layer_fd, int to_fd, const char *path)
{
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		AUTO_FREE char *parent = xstrndup(path, (size_t)(slash - path));
		AUTO_CLOSE int fd = open_beneath(layer_fd, parent, O_PATH);
		struct stat status;

		if (fd < 0)
			return 0;
		if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode))
			return empty_folder(to_fd);
		close(fd);
		fd = open_beneath(layer_fd, parent, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && is_opaque(fd))
			return empty_folder(to_fd);
	}
	return 0;
}

static int apply_layer(int layer_fd, int to_fd, const char *path)
{
	AUTO_CLOSE int fd = -1;
	struct stat status;
	int r = look_at_parents(layer_fd, to_fd, path);

	if (r < 0)
		return r;
	fd = open_beneath(layer_fd, path, O_PATH);
	if (fd < 0)
		return 0; /* this layer has nothing there, or a link on the way */
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISDIR(status.st_mode))
		return is_whiteout(&status) ? empty_folder(to_fd) : 0;
	close(take_fd(&fd));
	fd = open_beneath(layer_fd, path, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? fd : copy_folder(fd, to_fd, 0);
}

/* 1, 0 or -errno. */
static int is_empty_folder(int fd)
{
	AUTO_CLOSEDIR DIR *folder = dir_open(fd, ".");
	const struct dirent *entry;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder)))
		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
			return 0;
	return 1;
}

/* docker: only what is empty is filled. */
static int fill_volume(struct container *container, const struct container_mount *mount,
		       const struct layer_stack *stack, struct error *err)
{
	AUTO_CLOSE int to_fd = open(mount->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r = to_fd < 0 ? -errno : is_empty_folder(to_fd);

	if (r == 0)
		return 0;
	r = r > 0 ? 0 : r;
	for (size_t i = stack->trees; i > 0 && r == 0; i--) {
		AUTO_CLOSE int layer_fd = layer_open(container->engine->store, &stack->items[i - 1], err);

		if (layer_fd < 0)
			return -1;
		r = apply_layer(layer_fd, to_fd, mount->destination + 1);
	}
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "copy the image's files to volume %s", mount->name) : 0;
}

int container_fill_volumes(struct container *container, const struct digest *chain_id, struct error *err)
{
	struct container_document *document = &container->document;
	struct layer_stack stack = { 0 };
	bool wanted = false;
	int r = 0;

	for (size_t i = 0; i < document->mounts.count; i++)
		wanted |= document->mounts.items[i].copy_up && text_equal(document->mounts.items[i].type, "volume");
	if (!wanted || !digest_is_set(chain_id))
		return 0;
	if (layer_stack_load(&stack, container->engine->store, chain_id, err) < 0)
		return -1;
	for (size_t i = 0; i < document->mounts.count && r == 0; i++)
		if (document->mounts.items[i].copy_up && text_equal(document->mounts.items[i].type, "volume"))
			r = fill_volume(container, &document->mounts.items[i], &stack, err);
	layer_stack_fini(&stack);
	return r;
}
