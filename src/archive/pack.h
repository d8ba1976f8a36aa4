/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h - a tree of files as a tar stream: the changes of an upper directory
 * of overlay as a layer (whiteouts and opaque marks in their tar form), or
 * selected files with what does not count left out, to be hashed.
 *
 * Sorted, whole seconds, only xattrs that belong to the file: the same tree
 * always gives the same bytes. Sockets are left out, as docker does. No link is
 * followed. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "archive/differences.h"
#include "archive/pattern.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"

struct pack_settings {
	int out_fd;
	bool overlay;			     /* 0/0 devices and opaque directories are marks */
	bool no_times;			     /* all times are 0 */
	bool no_owners;			     /* all owners are 0:0 */
	int64_t latest_s;		     /* later times become this one; negative: no such bound */
	bool no_content;		     /* no tar: of a file's bytes only what changes when they do */
	const struct pattern_list *excludes; /* of paths below the one given to pack_add_opened(); NULL */
	const struct map *skip;		     /* paths in the stream that are left out, with all below; NULL */
	const struct differences *only;	     /* what goes in, with its parents and marks of what is gone; NULL: all */
	const struct map *hollow;	     /* directories of which only the entry goes in; NULL */
};

struct pack_counts {
	uint64_t entries;
	uint64_t bytes; /* of file content */
};

struct pack;

struct pack *pack_new(const struct pack_settings *settings);
void pack_free(struct pack *pack);
DEFINE_AUTO(struct pack, pack_free)

/* Everything in the directory, under `path` ("" or "a/b"). */
int pack_add_below(struct pack *pack, int dir_fd, const char *path, struct error *err);
/* A file or directory (with all below it) that is open for reading; anything else may be open in any way. */
int pack_add_opened(struct pack *pack, int fd, const char *path, struct error *err);
/* A file that is nowhere else, root's, time 0. */
int pack_add_text(struct pack *pack, const char *path, const char *text, size_t size, struct error *err);
/* The root directory itself, as "./". */
int pack_add_root(struct pack *pack, int dir_fd, struct error *err);
/* Ends the stream. */
int pack_finish(struct pack *pack, struct pack_counts *out_counts, struct error *err);
