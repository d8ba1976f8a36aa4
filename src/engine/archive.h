/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.h - files of a container in and out: docker cp and export.
 *
 * kist-archive does the work: it sees the container's tree as the container
 * does (a running one's through /proc/<pid>/root, a stopped one's mounted in a
 * mount namespace of its own) and no link of it leads out. A stopped container
 * is held meanwhile: it cannot be started before this is over.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "json/json.h"

struct engine;
struct archive;

/* X-Docker-Container-Path-Stat. Free with json_free_fields(). */
struct archive_stat {
	char *name;
	int64_t size;
	uint32_t mode; /* Go's os.FileMode */
	char *mtime;
	char *link_target; /* where a link leads to in the end, or "" */
};
extern const struct json_field archive_stat_fields[];

/* ERR_NOT_FOUND "Could not find the file /x in container y". */
int archive_stat(struct archive_stat *out_stat, struct engine *engine, const char *container, const char *path,
		 int cancel_fd, struct error *err);

/* The file or directory as a tar stream: read archive_output_fd() to its end, then archive_finish(). */
int archive_get(struct archive **out_archive, struct archive_stat *out_stat, struct engine *engine,
		const char *container, const char *path, int cancel_fd, struct error *err);
/* The container's own files, without volumes. */
int archive_export(struct archive **out_archive, struct engine *engine, const char *container, struct error *err);
/* The same of a snapshot that no container has; later times become latest_s (negative: they stay). */
int archive_export_snapshot(struct archive **out_archive, struct engine *engine, const char *key, int64_t latest_s,
			    struct error *err);
int archive_output_fd(const struct archive *archive); /* borrowed */
/* Whether all of it was written. */
int archive_finish(struct archive *archive, int cancel_fd, struct error *err);
void archive_free(struct archive *archive);
DEFINE_AUTO(struct archive, archive_free)

struct archive_put_options {
	bool keep_kinds; /* noOverwriteDirNonDir */
	bool own;	 /* copyUIDGID: everything belongs to the container's user */
};
/* Unpacks a tar stream (plain, gzip or zstd) into a directory. */
int archive_put(struct engine *engine, const char *container, const char *path,
		const struct archive_put_options *options, int stream_fd, int cancel_fd, struct error *err);
