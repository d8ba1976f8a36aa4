/* SPDX-License-Identifier: Apache-2.0 */
/* compress.h - gzip and zlib of texts and of rotated log files. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

enum compress_form { COMPRESS_NONE, COMPRESS_ZLIB, COMPRESS_GZIP };

/* level: -1 (zlib's own choice) to 9. */
int compress_text(struct text *out, const char *data, size_t size, enum compress_form form, int level,
		  struct error *err);
/* path becomes path.gz, in one step. */
int compress_file(const char *path, struct error *err);
/* A gzip file from in_fd to out_fd; one that was cut short gives what there is. */
int expand_file(int in_fd, int out_fd, struct error *err);
