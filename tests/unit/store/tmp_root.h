/* SPDX-License-Identifier: Apache-2.0 */
/* tmp_root.h - a private folder for each test of the store, gone afterwards; and counting what is in one. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static char tmp_root[64];

static inline int tmp_root_setup(void **state)
{
	(void)state;
	snprintf(tmp_root, sizeof(tmp_root), "/tmp/t-store-unit-XXXXXX");
	return mkdtemp(tmp_root) ? 0 : -1;
}

static inline int tmp_root_teardown(void **state)
{
	(void)state;
	return remove_tree(AT_FDCWD, tmp_root);
}

/* Entries of <tmp_root>/<name>; -1 if it is not there. */
static inline int count_entries(const char *name)
{
	char path[256];
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", tmp_root, name);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			count++;
	closedir(dir);
	return count;
}
