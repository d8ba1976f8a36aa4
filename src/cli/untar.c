/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/tar_reader.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/file.h"

#define PIECE 65536

struct unpacking {
	struct untar *untar;
	struct tar_reader *reader;
	struct tree tree;
};

/* Where an entry goes; yours. */
static char *land(const struct unpacking *unpacking, const char *path)
{
	const struct untar *untar = unpacking->untar;

	return untar->land ? untar->land(untar->land_arg, path) : xstrdup(path);
}

static int write_file(struct unpacking *unpacking, const struct tree_place *place, const struct tar_entry *entry,
		      struct error *err)
{
	AUTO_FREE char *piece = xmalloc(PIECE);
	AUTO_CLOSE int fd = -1;
	ssize_t got;

	if (tree_clear(&unpacking->tree, place, err) < 0)
		return -1;
	fd = openat(place->dir_fd, place->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return tree_fail(err, errno, "create", entry->path);
	while ((got = tar_reader_read(unpacking->reader, piece, PIECE, err)) > 0) {
		int r = write_full(fd, piece, (size_t)got);

		if (r < 0)
			return tree_fail(err, r, "write", entry->path);
		unpacking->untar->bytes += (uint64_t)got;
	}
	return got < 0 ? -1 : 0;
}

static int make_link(struct unpacking *unpacking, const struct tree_place *place, const struct tar_entry *entry,
		     struct error *err)
{
	AUTO_FREE char *landing = land(unpacking, entry->link);
	AUTO_FREE char *plain = tree_path(landing, err);
	const char *name;
	AUTO_CLOSE int fd = plain ? tree_find_parent(&unpacking->tree, plain, &name, err) : -1;

	if (fd < 0)
		return error_is_set(err) ? -1
					 : error_set(err, ERR_INVALID, "%s: link to what is not there", entry->path);
	if (tree_clear(&unpacking->tree, place, err) < 0)
		return -1;
	return linkat(fd, name, place->dir_fd, place->name, 0) < 0 ? tree_fail(err, errno, "link", entry->path) : 0;
}

static int make_entry(struct unpacking *unpacking, const struct tree_place *place, const struct tar_entry *entry,
		      struct error *err)
{
	switch (entry->type) {
	case TAR_FILE:
		return write_file(unpacking, place, entry, err);
	case TAR_DIRECTORY:
		return tree_make_directory(&unpacking->tree, place, entry->mode & 0777, err);
	case TAR_HARD_LINK:
		return make_link(unpacking, place, entry, err);
	case TAR_SYMLINK:
		if (tree_clear(&unpacking->tree, place, err) < 0)
			return -1;
		return symlinkat(entry->link, place->dir_fd, place->name) < 0
			       ? tree_fail(err, errno, "link", entry->path)
			       : 0;
	default:
		/* Devices and pipes are of no use out here. */
		return 1;
	}
}

/* Owner, mode and time; not of links, whose own are nobody's business. */
static int dress(const struct unpacking *unpacking, const struct tree_place *place, const struct tar_entry *entry,
		 struct error *err)
{
	const struct timespec times[2] = { { .tv_sec = entry->mtime_s }, { .tv_sec = entry->mtime_s } };

	if (unpacking->untar->owners &&
	    fchownat(place->dir_fd, place->name, (uid_t)entry->uid, (gid_t)entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "change the owner of", entry->path);
	if (entry->type != TAR_SYMLINK &&
	    fchmodat(place->dir_fd, place->name, entry->mode & (unpacking->untar->owners ? 07777 : 0777), 0) < 0)
		return tree_fail(err, errno, "change the mode of", entry->path);
	utimensat(place->dir_fd, place->name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int unpack_entry(struct unpacking *unpacking, const struct tar_entry *entry, struct error *err)
{
	AUTO_FREE char *landing = land(unpacking, entry->path);
	AUTO_FREE char *path = tree_path(landing, err);
	struct tree_place place;
	int r;

	if (!path || !*path)
		return path ? 0 : -1;
	if (tree_place(&unpacking->tree, &place, path, err) < 0)
		return -1;
	r = make_entry(unpacking, &place, entry, err);
	return r != 0 ? (r < 0 ? -1 : 0) : dress(unpacking, &place, entry, err);
}

int untar_into(struct untar *untar, const char *folder, struct error *err)
{
	AUTO(tar_reader_freep) struct tar_reader *reader = tar_reader_new(untar->read, untar->read_arg);
	AUTO_CLOSE int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unpacking unpacking = { .untar = untar, .reader = reader };
	struct tar_entry entry;
	int r;

	if (folder_fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "open %s", folder);
	tree_init(&unpacking.tree, folder_fd);
	while ((r = tar_reader_next(reader, &entry, err)) > 0)
		if (unpack_entry(&unpacking, &entry, err) < 0) {
			r = -1;
			break;
		}
	tree_fini(&unpacking.tree);
	return r;
}
