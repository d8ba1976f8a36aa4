/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - path text, without touching any file system.
 *
 * Only for our own paths and for messages: paths from images and containers
 * are opened below a directory descriptor instead (sys/, archive/).
 */
#pragma once

#include <stdbool.h>

/* One slash between the two; an absolute `more` does not replace `base`. */
char *path_join(const char *base, const char *more);
/* The part behind the last slash (borrowed); "" for "/". */
const char *path_base(const char *path);
/* Everything before the last slash: "/" for "/a", "." for "a". */
char *path_parent(const char *path);
/* Lexically shortest form: no //, ., or .. that can be resolved; "" becomes ".". */
char *path_clean(const char *path);
bool path_is_absolute(const char *path);
/* path made absolute with the current directory, cleaned; NULL if there is none. */
char *path_absolute(const char *path);
