/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs.h - a tree as one EROFS image (Linux: Documentation/filesystems/erofs.rst,
 * fs/erofs/erofs_fs.h), uncompressed, to be mounted from its file.
 *
 * In one pass, without holding the tree in memory: an inode gets its place when
 * it is met, a directory's entries follow when everything in it has a place.
 * Kinds, owners, modes, times, links, holes, device numbers and xattrs (overlay's
 * opaque marks too) are kept; symbolic links' xattrs are not. No link is followed.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct erofs_counts {
	uint64_t entries;
	uint64_t bytes; /* of the image */
};

/* out_fd: an empty file, to write; root_fd: the directory, open for reading. */
int erofs_write(struct erofs_counts *out_counts, int out_fd, int root_fd, struct error *err);
