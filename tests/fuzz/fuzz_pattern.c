/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a .dockerignore, then a NUL, then a path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/pattern.h"
#include "base/alloc.h"
#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
	size_t lines = end ? (size_t)(end - data) : size;
	AUTO_FREE char *path = end ? xstrndup((const char *)end + 1, size - lines - 1) : xstrdup("a/b/c.txt");
	AUTO(pattern_list_fini) struct pattern_list list = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(error_clear) struct error problem = { 0 };

	if (lines > 4096 || strlen(path) > 1024)
		return 0;
	if (pattern_list_parse(&list, (const char *)data, lines, &err) == 0) {
		pattern_list_matches(&list, path);
		pattern_list_may_take_back(&list, path);
	}
	for (size_t i = 0; i < list.count; i++)
		pattern_match(list.rules[i].pattern, path, &problem);
	return 0;
}
