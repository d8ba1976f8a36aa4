/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: linking and first calls map some 7 MB of libraries, most of it for good although nobody looks at it
 * again. Clean file pages can be dropped: a later access maps them anew from the page cache. A mapping with private
 * pages (relocated data) must stay as it is, so only those that smaps shows without any are touched.
 */
#include "daemon/memory.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/text.h"

struct mapping {
	uintptr_t start;
	uintptr_t end;
	bool clean; /* of a file, not writable */
};

static bool read_mapping(struct mapping *out, const char *line)
{
	char permissions[5];
	char path[8];
	int fields = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %7s", &out->start, &out->end, permissions,
			    path);

	if (fields < 3)
		return false;
	out->clean = fields == 4 && path[0] == '/' && permissions[1] == '-' && permissions[3] == 'p';
	return true;
}

void memory_shrink(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/smaps", "re");
	struct mapping current = { 0 };
	char line[512];
	unsigned long anonymous;

	malloc_trim(0);
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Anonymous: %lu kB", &anonymous) == 1) {
			if (current.clean && anonymous == 0)
				madvise((void *)current.start, current.end - current.start, MADV_DONTNEED);
			current.clean = false;
		} else if (line[0] >= '0' && line[0] <= 'f' && strchr(line, '-')) {
			read_mapping(&current, line);
		}
	}
}
