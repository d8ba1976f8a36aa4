/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

char *path_join(const char *base, const char *more)
{
	size_t size = strlen(base);

	while (size > 1 && base[size - 1] == '/')
		size--;
	while (*more == '/')
		more++;
	if (size == 1 && base[0] == '/')
		return xasprintf("/%s", more);
	return *more ? xasprintf("%.*s/%s", (int)size, base, more) : xstrndup(base, size);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *path_parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

char *path_clean(const char *path)
{
	struct text_list parts = { 0 };
	struct text_list kept = { 0 };
	struct text clean = { 0 };
	bool absolute = path_is_absolute(path);

	text_list_split(&parts, path, '/');
	for (size_t i = 0; i < parts.count; i++) {
		const char *part = parts.items[i];
		bool can_go_up = kept.count && !text_equal(kept.items[kept.count - 1], "..");

		if (text_empty(part) || text_equal(part, "."))
			continue;
		if (text_equal(part, "..") && can_go_up)
			text_list_remove(&kept, kept.count - 1);
		else if (!text_equal(part, "..") || !absolute)
			text_list_add(&kept, part);
	}
	if (absolute)
		text_add_char(&clean, '/');
	for (size_t i = 0; i < kept.count; i++) {
		if (i)
			text_add_char(&clean, '/');
		text_add(&clean, kept.items[i]);
	}
	if (!clean.size)
		text_add_char(&clean, '.');
	text_list_fini(&parts);
	text_list_fini(&kept);
	return text_take(&clean);
}

bool path_is_absolute(const char *path)
{
	return path[0] == '/';
}

char *path_absolute(const char *path)
{
	AUTO_FREE char *here = NULL;
	AUTO_FREE char *joined = NULL;

	if (path_is_absolute(path))
		return path_clean(path);
	here = getcwd(NULL, 0);
	if (!here || here[0] != '/')
		return NULL;
	joined = path_join(here, path);
	return path_clean(joined);
}
