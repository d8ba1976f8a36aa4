/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what kist-unpack writes on its report descriptor behind an 'R'; see unpack_main.c. */
#pragma once

#include <stdint.h>

struct unpack_report {
	uint64_t entries;
	uint64_t bytes;
	uint64_t has_root;
	uint64_t deferred_size; /* bytes that follow */
};
