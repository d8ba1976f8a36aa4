/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - names with wildcards: Go's filepath.Match for COPY and ADD, and
 * the lists of .dockerignore and --exclude.
 *
 * A list's last matching line wins; "!" takes a path back; a match of a parent
 * directory counts for all below it. "**" is any number of components there.
 * Paths are relative, with '/', and clean.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* Whether the text has *, ?, [ or a backslash. */
bool pattern_is_magic(const char *text);
/* One component pattern: * and ? do not cross '/'. 1, 0, or ERR_INVALID "syntax error in pattern". */
int pattern_match(const char *pattern, const char *name, struct error *err);

struct pattern_rule {
	char *pattern;
	bool taken_back; /* "!" */
};

struct pattern_list {
	struct pattern_rule *rules;
	size_t count;
	size_t capacity;
	bool any_taken_back;
};

/* Text of a .dockerignore: comments, blank lines and a byte order mark are skipped. */
int pattern_list_parse(struct pattern_list *list, const char *text, size_t size, struct error *err);
/* One line; "" adds nothing. */
int pattern_list_add(struct pattern_list *list, const char *line, struct error *err);
void pattern_list_fini(struct pattern_list *list);
/* Whether the list names this path (or a directory above it). */
bool pattern_list_matches(const struct pattern_list *list, const char *path);
/* Whether something below this directory may be taken back, though the directory itself is named. */
bool pattern_list_may_take_back(const struct pattern_list *list, const char *directory);
