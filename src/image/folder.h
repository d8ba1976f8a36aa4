/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder.h - blobs written into a folder of the user's: under their name only
 * when whole and on disk. A blob on its way is ".partial-<digest>", so that the
 * next try goes on where a killed one stopped; two at a time never share one.
 */
#pragma once

#include "oci/descriptor.h"

/* A file (yours) for a blob's bytes below the folder; may hold a first part. */
int folder_blob_file(int folder_fd, const struct descriptor *blob, struct error *err);
/* Gives that file, or another one, its name. */
int folder_put(int folder_fd, const struct descriptor *blob, int file_fd, const char *name, struct error *err);
/* 1: a file of that name and size is there. */
int folder_has(int folder_fd, const char *name, uint64_t size);
