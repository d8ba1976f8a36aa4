/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/xattrs.h"

#include <string.h>
#include <sys/xattr.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define XATTRS_MAX (64 * 1024)

void xattrs_describe(struct text *out, int fd, bool (*skip)(const char *name))
{
	AUTO_FREE char *names = xmalloc(XATTRS_MAX);
	AUTO_FREE char *value = xmalloc(XATTRS_MAX);
	AUTO(text_list_fini) struct text_list sorted = { 0 };
	ssize_t size = flistxattr(fd, names, XATTRS_MAX);

	for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1)
		if (!skip || !skip(name))
			text_list_add(&sorted, name);
	text_list_sort(&sorted);
	for (size_t i = 0; i < sorted.count; i++) {
		ssize_t got = fgetxattr(fd, sorted.items[i], value, XATTRS_MAX);

		text_addf(out, "%s=%zd:", sorted.items[i], got);
		if (got > 0)
			text_add_bytes(out, value, (size_t)got);
	}
}
