/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes.h - owner, mode, times and xattrs of an entry, in the order that
 * keeps them: chown drops setuid bits and capabilities, so it goes first; times
 * go last. Inside archive/ only.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/tree.h"
#include "base/error.h"

struct attribute_xattr {
	const char *name;  /* borrowed */
	const void *value; /* borrowed */
	size_t size;
};

struct attributes {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* 07777 */
	struct timespec mtime;
	struct attribute_xattr *xattrs; /* owned array */
	size_t xattr_count;
};

void attributes_fini(struct attributes *attributes);
/* A regular file or directory, open. `created`: it is ours, root's, with these permission bits already. */
int attributes_apply_fd(int fd, const struct attributes *attributes, bool created, const char *path, struct error *err);
/* Anything else, by name; uses the current directory for xattrs. */
int attributes_apply_at(const struct tree_place *place, const struct attributes *attributes, bool is_link,
			const char *path, struct error *err);
int attributes_set_times(int dir_fd, const char *name, const struct timespec *mtime);
/*
 * All xattrs from one open file to another, but overlay's own. `foreign`: they come from a tree that is not a layer,
 * whose word about trust and labels means nothing here.
 */
int attributes_copy_xattrs(int from, int to, bool foreign, const char *path, struct error *err);
/* Everything an open regular file or directory has, to another: owner, xattrs, mode, times. */
int attributes_copy_fd(int from, int to, const struct stat *st, const char *path, struct error *err);
/* overlay's own words, which a layer must not say: trusted.overlay.*, user.overlay.* */
bool attributes_xattr_is_private(const char *name);
