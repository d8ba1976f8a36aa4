/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h - named files to read, in a folder or in a tar archive (plain, gzip
 * or zstd; also from a pipe). An archive is walked once, then read at random.
 * Threads: share a bundle freely.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct bundle;

int bundle_open_folder(struct bundle **out_bundle, const char *path, struct error *err);
int bundle_open_archive(struct bundle **out_bundle, const char *path, struct error *err);
void bundle_free(struct bundle *bundle);
DEFINE_AUTO(struct bundle, bundle_free)

struct bundle_file {
	int fd; /* owned */
	uint64_t offset;
	uint64_t size;
};

/* 1 with the file, 0 if there is none of that name. */
int bundle_find(struct bundle *bundle, struct bundle_file *out_file, const char *name, struct error *err);
/* 1 with the whole text (yours) of at most `limit` bytes without NUL, 0 if there is none. */
int bundle_text(struct bundle *bundle, char **out_text, const char *name, size_t limit, struct error *err);
