/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define XATTR_MAX 65536

void attributes_fini(struct attributes *attributes)
{
	free(attributes->xattrs);
	*attributes = (struct attributes){ 0 };
}

bool attributes_xattr_is_private(const char *name)
{
	return text_has_prefix(name, "trusted.overlay.") || text_has_prefix(name, "user.overlay.");
}

/* What the file system cannot keep is left out, as docker does; a lost capability would change what the program may. */
static bool may_be_lost(int errnum, const char *name)
{
	if (errnum == ENOTSUP)
		return !text_equal(name, "security.capability");
	return errnum == EPERM && text_has_prefix(name, "user.");
}

static int xattr_fail(struct error *err, const char *name, const char *path)
{
	int errnum = errno;

	if (may_be_lost(errnum, name))
		return 0;
	if (errnum == EINVAL || errnum == ERANGE || errnum == E2BIG)
		return error_set_errno(err, ERR_INVALID, errnum, "entry %s: attribute %s", path, name);
	return tree_fail(err, errnum, "set an attribute of", path);
}

static void to_times(struct timespec times[2], const struct timespec *mtime)
{
	times[0] = *mtime;
	times[1] = *mtime;
}

int attributes_set_times(int dir_fd, const char *name, const struct timespec *mtime)
{
	struct timespec times[2];

	to_times(times, mtime);
	return utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int attributes_apply_fd(int fd, const struct attributes *attributes, bool created, const char *path, struct error *err)
{
	struct timespec times[2];
	bool owned = created && attributes->uid == 0 && attributes->gid == 0;

	if (!owned && fchown(fd, attributes->uid, attributes->gid) < 0)
		return tree_fail(err, errno, "change the owner of", path);
	for (size_t i = 0; i < attributes->xattr_count; i++) {
		const struct attribute_xattr *xattr = &attributes->xattrs[i];

		if (fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0) < 0 &&
		    xattr_fail(err, xattr->name, path) < 0)
			return -1;
	}
	if (!(owned && (attributes->mode & 07000) == 0) && fchmod(fd, attributes->mode) < 0)
		return tree_fail(err, errno, "change the mode of", path);
	to_times(times, &attributes->mtime);
	if (futimens(fd, times) < 0)
		return tree_fail(err, errno, "set the times of", path);
	return 0;
}

/* xattrs of what cannot be opened (links, devices) need a path; the current directory makes it a plain name. */
static int apply_xattrs_at(const struct tree_place *place, const struct attributes *attributes, const char *path,
			   struct error *err)
{
	if (attributes->xattr_count == 0)
		return 0;
	if (fchdir(place->dir_fd) < 0)
		return tree_fail(err, errno, "enter the directory of", path);
	for (size_t i = 0; i < attributes->xattr_count; i++) {
		const struct attribute_xattr *xattr = &attributes->xattrs[i];

		if (lsetxattr(place->name, xattr->name, xattr->value, xattr->size, 0) < 0 &&
		    xattr_fail(err, xattr->name, path) < 0)
			return -1;
	}
	return 0;
}

int attributes_apply_at(const struct tree_place *place, const struct attributes *attributes, bool is_link,
			const char *path, struct error *err)
{
	int r;

	if (fchownat(place->dir_fd, place->name, attributes->uid, attributes->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_fail(err, errno, "change the owner of", path);
	if (apply_xattrs_at(place, attributes, path, err) < 0)
		return -1;
	/* Not a link, and nobody else is here to put one in its place. */
	if (!is_link && fchmodat(place->dir_fd, place->name, attributes->mode, 0) < 0)
		return tree_fail(err, errno, "change the mode of", path);
	r = attributes_set_times(place->dir_fd, place->name, &attributes->mtime);
	return r < 0 ? tree_fail(err, r, "set the times of", path) : 0;
}

static int copy_xattr(int from, int to, bool foreign, const char *name, const char *path, struct error *err)
{
	AUTO_FREE char *value = NULL;
	ssize_t size;

	if (attributes_xattr_is_private(name) ||
	    (foreign && (text_has_prefix(name, "trusted.") || text_equal(name, "security.selinux"))))
		return 0;
	value = xmalloc(XATTR_MAX);
	size = fgetxattr(from, name, value, XATTR_MAX);
	if (size < 0)
		return tree_fail(err, errno, "read an attribute of", path);
	if (fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP)
		return tree_fail(err, errno, "set an attribute of", path);
	return 0;
}

int attributes_copy_xattrs(int from, int to, bool foreign, const char *path, struct error *err)
{
	AUTO_FREE char *names = xmalloc(XATTR_MAX);
	ssize_t size = flistxattr(from, names, XATTR_MAX);

	if (size < 0)
		return errno == ENOTSUP ? 0 : tree_fail(err, errno, "list the attributes of", path);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
		if (copy_xattr(from, to, foreign, names + at, path, err) < 0)
			return -1;
	return 0;
}

int attributes_copy_fd(int from, int to, const struct stat *st, const char *path, struct error *err)
{
	struct timespec times[2];

	to_times(times, &st->st_mtim);
	/* A change of the owner would take capabilities away: it comes before the xattrs. */
	if (fchown(to, st->st_uid, st->st_gid) < 0)
		return tree_fail(err, errno, "change the owner of", path);
	if (attributes_copy_xattrs(from, to, false, path, err) < 0)
		return -1;
	if (fchmod(to, st->st_mode & 07777) < 0)
		return tree_fail(err, errno, "change the mode of", path);
	return futimens(to, times) < 0 ? tree_fail(err, errno, "set the times of", path) : 0;
}
