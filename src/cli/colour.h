/* SPDX-License-Identifier: Apache-2.0 */
/*
 * colour.h - colours for people: on a terminal only, and never with NO_COLOR (no-color.org) or TERM=dumb. What is
 * printed is otherwise the same.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"

#define COLOUR_BOLD "\033[1m"
#define COLOUR_END "\033[0m"

bool colour_wanted(int fd);
/* How docker words the state of a container ("Up 2 hours (healthy)") in a colour; NULL: none. */
const char *colour_of_status(const char *status);
/*
 * Adds a table's lines: the titles bold, and in line i + 1 the text statuses[i] in its colour. statuses: one for each
 * line below the titles, "" for none; NULL: the table has no such column.
 */
void colour_table(struct text *out, const char *table, const struct text_list *statuses);
