/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - inside store/ only: the sentence for a failed disk operation (a full
 * disk is ERR_EXHAUSTED, whatever was being done), and names of blob files.
 */
#pragma once

#include <dirent.h>

#include "base/error.h"
#include "oci/digest.h"

/* "sha256/<hex>" or with '-' between, behind a prefix. */
#define BLOB_PATH_MAX (DIGEST_TEXT_MAX + 32)

/* errnum may be negative. Always returns -1. */
int disk_fail(struct error *err, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* prefix "blobs/", separator '/': "blobs/sha256/<hex>". Returns out. */
const char *disk_blob_path(char out[BLOB_PATH_MAX], const char *prefix, const struct digest *digest, char separator);

/* A directory to read, yours to close; NULL with errno. No link is followed at the end of the path. */
DIR *disk_open_dir(int root_fd, const char *path);

/*
 * What is made in this directory is unrelated: a hint to file systems of the ext family, which then put each new
 * subdirectory where there is room instead of beside its siblings. Others ignore it.
 */
void disk_spread_children(int root_fd, const char *path);

/* fsync of the directory that holds `path`: its name survives power loss from here on. */
int disk_sync_name(int root_fd, const char *path, struct error *err);
