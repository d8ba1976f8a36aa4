/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_stream.h - a tar of files and folders, each name once, told to a function
 * as it grows: image archives. Who reads a file's bytes elsewhere calls begin,
 * write and end_file; text and copy are the three at once.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/map.h"

struct tar_stream {
	int (*put)(void *arg, const void *data, size_t size, struct error *err);
	void *arg;
	struct map names; /* in the archive */
};

void tar_stream_init(struct tar_stream *stream, int (*put)(void *arg, const void *data, size_t size, struct error *err),
		     void *arg);
void tar_stream_fini(struct tar_stream *stream);
/* A folder if the path ends in '/'. 1: a file whose `size` bytes are to follow; 0: nothing is, it is there already. */
int tar_stream_begin(struct tar_stream *stream, const char *path, uint64_t size, struct error *err);
int tar_stream_end_file(struct tar_stream *stream, uint64_t size, struct error *err);
/* A whole file, unless it is there: a text, or `size` bytes of a descriptor from where it stands. */
int tar_stream_text(struct tar_stream *stream, const char *path, const char *text, struct error *err);
int tar_stream_copy(struct tar_stream *stream, const char *path, int fd, uint64_t size, struct error *err);
int tar_stream_end(struct tar_stream *stream, struct error *err);
