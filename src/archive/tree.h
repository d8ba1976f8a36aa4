/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the directory a layer is unpacked into: all path work of unpack.c.
 *
 * A path from a tar file is used only after tree_path() made it plain (no
 * leading slash, no ".", and ".." is refused), and only below the root
 * descriptor, by openat2(RESOLVE_BENEATH): a symbolic link of the layer itself
 * may be followed in the middle of a path while it stays below; one that leads
 * out is an error. The last component is never followed. Overlay's marks
 * (whiteout, opaque) are made here too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

struct tree {
	int root_fd; /* borrowed */
	/* The last parent used: entries of a tar come folder by folder. */
	char *parent_path;
	int parent_fd;
	bool parent_setgid;
	struct text_list implied; /* directories made although the layer does not mention them */
};

/* One directory entry: where, and its last component. */
struct tree_place {
	int dir_fd;	  /* borrowed from the tree, until the next tree_place() */
	const char *name; /* points into the path */
	bool setgid;	  /* new entries inherit the directory's group */
};

void tree_init(struct tree *tree, int root_fd);
void tree_fini(struct tree *tree);

/* The plain form ("" is the root itself), yours; NULL with ERR_INVALID for "..". */
char *tree_path(const char *path, struct error *err);
/* Resolves the parent of a plain, non-empty path; makes missing directories. */
int tree_place(struct tree *tree, struct tree_place *out_place, const char *path, struct error *err);
/* O_PATH descriptor of the parent of a path that should be there, yours; -1 with err clean if it is not. */
int tree_find_parent(const struct tree *tree, const char *path, const char **out_name, struct error *err);

/* Removes what is at a place, whatever it is. */
int tree_clear(struct tree *tree, const struct tree_place *place, struct error *err);
/* Makes a directory, or keeps the one that is there. One that covers our own whiteout is made opaque. */
int tree_make_directory(struct tree *tree, const struct tree_place *place, mode_t mode, struct error *err);
/* Hides `name` of the layers below. */
int tree_whiteout(struct tree *tree, const struct tree_place *place, struct error *err);
/* Hides everything of the layers below in the directory at path ("": the root). */
int tree_make_opaque(struct tree *tree, const char *path, struct error *err);

bool tree_is_whiteout(const struct stat *st);
/* A failed operation on an entry: a full disk is ERR_EXHAUSTED, else ERR_INTERNAL. Returns -1. */
int tree_fail(struct error *err, int errnum, const char *what, const char *path);
