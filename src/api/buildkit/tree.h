/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - a directory of ours that becomes equal to one a client lists.
 *
 * Entries come in the order of a walk, parents first. What is there already with
 * the same kind, mode, owner, size and time is left alone; the content of other
 * files is asked for. A file gets its time last, so one that was cut off is
 * never taken for whole. Names are looked up beneath the directory only, links
 * are never followed. One thread.
 */
#pragma once

#include <stdbool.h>

#include "api/buildkit/messages.h"
#include "base/cleanup.h"

struct tree;

/* The directory is borrowed. */
struct tree *tree_new(int directory_fd);
void tree_free(struct tree *tree);
DEFINE_AUTO(struct tree, tree_free)
/* 1: its content is wanted, 0: all is done. */
int tree_add(struct tree *tree, const struct bk_stat *stat, struct error *err);
/* The file to write the content of an entry into, yours; then tree_finish(). */
int tree_open(struct tree *tree, const char *path, struct error *err);
int tree_finish(int fd, const struct bk_stat *stat, struct error *err);
/* After the last entry: removes what was not listed, unless told to keep it, and sets the directories' times. */
int tree_end(struct tree *tree, bool keep, struct error *err);
