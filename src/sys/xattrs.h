/* SPDX-License-Identifier: Apache-2.0 */
/* xattrs.h - the extended attributes of an open file, to be compared. */
#pragma once

#include <stdbool.h>

#include "base/text.h"

/* Adds all names and values, sorted; what cannot be read counts as none. skip (NULL: none) names what does not count. */
void xattrs_describe(struct text *out, int fd, bool (*skip)(const char *name));
