/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - what is done to each file of a checkout. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tree_care {
	bool drop_git; /* everything named .git goes: no repository can have a file of that name */
	bool set_times;
	int64_t time_s;
};

/* Below and including `path`; never follows a link. 0 or -errno. */
int tree_care(const char *path, const struct tree_care *care);
