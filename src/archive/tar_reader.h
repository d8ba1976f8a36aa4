/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_reader.h - entries of a tar stream, one after the other: ustar, pax
 * (path, linkpath, size, mtime) and GNU's long names. What is not understood is
 * ERR_INVALID; names are bounded. Pure text work: what to do with an entry, and
 * whether its path may be used, is the caller's business.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/tar_writer.h"
#include "base/cleanup.h"
#include "base/error.h"

struct tar_reader;

/* At most `size` bytes into data: how many, 0 at the end, -1 with err filled. */
typedef ssize_t (*tar_source)(void *arg, void *data, size_t size, struct error *err);

struct tar_reader *tar_reader_new(tar_source source, void *arg);
void tar_reader_free(struct tar_reader *reader);
DEFINE_AUTO(struct tar_reader, tar_reader_free)

/* 1 an entry, 0 the end. Skips what was not read of the last one. path and link live until the next call. */
int tar_reader_next(struct tar_reader *reader, struct tar_entry *out_entry, struct error *err);
/* The content of the last entry: bytes read, 0 at its end. */
ssize_t tar_reader_read(struct tar_reader *reader, void *data, size_t size, struct error *err);
