/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_writer.h - headers of a tar stream, POSIX.1-2001 (pax): ustar, and an
 * extended header only where ustar cannot say it (long or non-ASCII names,
 * big numbers, xattrs). The same entry always gives the same bytes. Whole
 * seconds, no names of owners, as image layers have it.
 *
 * Pure text work: the caller writes the header, then `size` bytes of content,
 * then tar_padding(size) zeros; TAR_END_SIZE zeros end the stream.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define TAR_BLOCK 512
#define TAR_END_SIZE 1024

enum tar_type {
	TAR_FILE = '0',
	TAR_HARD_LINK = '1',
	TAR_SYMLINK = '2',
	TAR_CHARACTER_DEVICE = '3',
	TAR_BLOCK_DEVICE = '4',
	TAR_DIRECTORY = '5',
	TAR_FIFO = '6'
};

struct tar_xattr {
	const char *name; /* borrowed: "security.capability" */
	const void *value;
	size_t size;
};

struct tar_entry {
	const char *path; /* no leading slash; directories get their slash here */
	const char *link; /* target of links; NULL */
	enum tar_type type;
	uint32_t mode; /* 07777 */
	uint64_t uid;
	uint64_t gid;
	uint64_t size;
	int64_t mtime_s;
	uint32_t device_major;
	uint32_t device_minor;
	const struct tar_xattr *xattrs; /* sorted by the caller */
	size_t xattr_count;
};

/* Adds the entry's header blocks. */
void tar_add_header(struct text *out, const struct tar_entry *entry);
/* Zeros that follow `size` bytes of content. */
size_t tar_padding(uint64_t size);
