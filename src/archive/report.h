/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what kist-unpack, kist-files and kist-archive write on their report descriptors. */
#pragma once

#include <stdint.h>

struct unpack_report {
	uint64_t entries;
	uint64_t bytes;
	uint64_t has_root;
	uint64_t deferred_size; /* bytes that follow */
};

/* What `docker cp` wants to know of a path; the name and where a link ends follow. */
struct archive_stat_report {
	uint64_t size;
	uint64_t mode; /* st_mode */
	int64_t mtime_s;
	int64_t mtime_ns;
	uint64_t name_size;
	uint64_t link_size;
};

struct files_report {
	uint64_t entries;
	uint64_t bytes;	  /* of file content */
	uint64_t changed; /* there is something in the result */
};
