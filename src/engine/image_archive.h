/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_archive.h - the documents in an archive of images, as structs: what
 * save writes and load reads. Inside engine/ only.
 *
 *   manifest.json   docker's: [{"Config": path, "RepoTags": [...], "Layers": [path, ...], "LayerSources": {...}}]
 *   index.json      OCI's: an index whose entries are annotated with their names
 *
 * Reading happens in a folder that kist-unpack filled: paths are followed in it
 * and nowhere else, and nothing in it is believed.
 */
#pragma once

#include "oci/descriptor.h"

#define ARCHIVE_NAME "io.containerd.image.name"
#define ARCHIVE_REFERENCE "org.opencontainers.image.ref.name"
#define ARCHIVE_LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

struct archive_source {
	char *diff_id;
	struct descriptor layer;
};

struct archive_image {
	char *config; /* path */
	struct text_list repo_tags;
	struct text_list layers; /* paths, lowest first */
	JSON_ARRAY_OF(struct archive_source) sources;
	char *manifest; /* path of its OCI manifest, NULL: there is none. Not in manifest.json */
};

struct archive_images {
	struct archive_image *items;
	size_t count;
};

extern const struct json_field archive_image_fields[];

/* "blobs/sha256/<hex>"; yours. */
char *archive_blob_path(const struct digest *digest);

/* platform: which image of an index; ERR_INVALID says what is wrong with the archive. */
int archive_read(struct archive_images *out_images, int root_fd, const struct platform *platform, struct error *err);
void archive_images_fini(struct archive_images *images);

/* A regular file of the archive, open for reading, yours. */
int archive_open(int root_fd, const char *path, struct error *err);
/* The same, all of it, at most `limit` bytes; yours, NUL-terminated. */
int archive_read_file(char **out_text, size_t *out_size, int root_fd, const char *path, size_t limit,
		      struct error *err);
