/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - columns from tabs, as Go's text/tabwriter(10, 1, 3, ' '): each tab
 * ends a cell; a column is as wide as its widest cell in neighbouring lines.
 */
#pragma once

#include "base/text.h"

struct table_style {
	size_t min_width;
	size_t padding;
};

#define TABLE_DOCKER ((struct table_style){ .min_width = 10, .padding = 3 })

void table_format(struct text *out, const char *source, struct table_style style);
