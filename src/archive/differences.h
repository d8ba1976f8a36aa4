/* SPDX-License-Identifier: Apache-2.0 */
/*
 * differences.h - what a container changed in a tree that is whole, found by
 * comparing it with the tree it was copied from.
 *
 * Everything is compared by kind, owner, mode, size and time. Content and
 * xattrs are read where somebody was since the copy was made, which the change
 * times tell: of what changed itself, and of what is in a directory that
 * changed (it may be another under an old name). The times of directories do
 * not count, as in docker. No link is followed. One thread.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/map.h"
#include "base/text.h"

struct differences {
	struct map listed;	/* directory -> struct text_list: the names in it that changed; a new one is not here */
	struct map gone;	/* paths that are only below */
	struct text_list lines; /* "<path>\1<A, C or D>" */
	uint64_t bytes;		/* of content that is new or other */
};

struct differences_search {
	int upper_fd;
	int lower_fd;		/* -1: nothing lies below */
	struct timespec since;	/* when the copy was whole, by the file system's clock; 0: nobody knows */
	const struct map *skip; /* paths that do not count */
};

int differences_find(struct differences *out, const struct differences_search *search, struct error *err);
void differences_fini(struct differences *differences);
