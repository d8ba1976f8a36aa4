/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/colour.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"

bool colour_wanted(int fd)
{
	return isatty(fd) && text_empty(getenv("NO_COLOR")) && !text_equal(getenv("TERM"), "dumb");
}

const char *colour_of_status(const char *status)
{
	if (text_has_prefix(status, "Up"))
		return strstr(status, "(unhealthy)")					    ? RED
		       : strstr(status, "(Paused)") || strstr(status, "(health: starting)") ? YELLOW
											    : GREEN;
	if (text_has_prefix(status, "Restarting") || text_has_prefix(status, "Removal"))
		return YELLOW;
	if (text_has_prefix(status, "Dead") ||
	    (text_has_prefix(status, "Exited") && !text_has_prefix(status, "Exited (0)")))
		return RED;
	return NULL;
}

static void add_line(struct text *out, const char *line, const char *status)
{
	const char *colour = colour_of_status(status);
	const char *at = colour ? strstr(line, status) : NULL;

	if (!at) {
		text_add(out, line);
		return;
	}
	text_add_bytes(out, line, (size_t)(at - line));
	text_addf(out, "%s%s%s", colour, status, COLOUR_END);
	text_add(out, at + strlen(status));
}

void colour_table(struct text *out, const char *table, const struct text_list *statuses)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };

	text_list_split(&lines, table, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		if (i == 0 && *lines.items[0])
			text_addf(out, COLOUR_BOLD "%s" COLOUR_END, lines.items[0]);
		else
			add_line(out, lines.items[i],
				 statuses && i > 0 && i - 1 < statuses->count ? statuses->items[i - 1] : "");
		if (i + 1 < lines.count)
			text_add_char(out, '\n');
	}
}
