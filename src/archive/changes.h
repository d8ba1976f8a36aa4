/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.h - what a container changed, as `docker diff` tells it: every path
 * of the upper directory against the layers below.
 */
#pragma once

#include "archive/mount_points.h"
#include "base/error.h"
#include "base/text.h"

/* Adds "A/path", "C/path" or "D/path", each followed by a NUL, sorted by path. `skip`: paths that do not count. */
/* The same for lines that were found another way (differences.h). */
void changes_write(struct text *out, const struct text_list *lines);
int changes_list(struct text *out, const struct mount_point_search *search, const struct map *skip, struct error *err);
