/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_header.h - what stands before and behind files in an archive that we
 * write ourselves: plain files and folders of root, time 0, so that the same
 * content gives the same bytes. POSIX ustar with pax names; sizes over 8 GiB as GNU does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK 512

#define TAR_HEADER_MAX (3 * TAR_BLOCK)

/*
 * name ending in '/': a folder (size 0). Returns the bytes of the header: a block, or three for a name over 100 bytes,
 * which needs a pax record; -ENAMETOOLONG over 450.
 */
int tar_header(uint8_t out[TAR_HEADER_MAX], const char *name, uint64_t size);
/* Zeros to write behind a file of this size. */
size_t tar_padding(uint64_t size);
