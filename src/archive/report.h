/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what kist-unpack and kist-files write on their report descriptors behind an 'R'. */
#pragma once

#include <stdint.h>

struct unpack_report {
	uint64_t entries;
	uint64_t bytes;
	uint64_t has_root;
	uint64_t deferred_size; /* bytes that follow */
};

struct files_report {
	uint64_t entries;
	uint64_t bytes;	  /* of file content */
	uint64_t changed; /* there is something in the result */
};
