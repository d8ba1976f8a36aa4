/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - COPY and ADD: files of one root into another, the way the Dockerfile
 * reference says.
 *
 * Source patterns and the destination are paths inside their roots (in_root.h):
 * a link or ".." never leads out. A directory gives its contents; a link that
 * is named itself is followed, links below a directory are copied as they are;
 * sockets are left out. Owner, mode, times, xattrs and hard links among the
 * copied files are kept unless told otherwise. One thread.
 */
#pragma once

#include <stdbool.h>

#include "archive/owner.h"
#include "archive/pack.h"
#include "archive/pattern.h"
#include "base/error.h"
#include "base/text.h"

struct copy_settings {
	int source_fd;
	int target_fd;
	struct text_list sources; /* patterns; at least one */
	const char *destination;  /* absolute; with '/' at the end: a directory */
	const char *chown;	  /* NULL: none */
	const char *chmod;	  /* checked; NULL: none */
	bool keep_owner;	  /* else everything belongs to root, unless chown */
	bool parents;		  /* keep the sources' directories */
	struct pattern_list excludes;
};

/* What the patterns name, in the source's order; ERR_NOT_FOUND for a plain name that is not there. */
int copy_find_sources(struct text_list *out_paths, const struct copy_settings *settings, struct error *err);
int copy_run(const struct copy_settings *settings, struct error *err);
/* The same files as a stream to be hashed: names, kinds, modes, xattrs, contents. */
int copy_pack(const struct copy_settings *settings, struct pack *pack, struct error *err);
/* WORKDIR: 1 if the directory is new. */
int copy_make_directory(int target_fd, const char *path, const char *chown, struct error *err);
