/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/units.h"

struct line {
	struct text_list cells; /* the last one belongs to no column */
	size_t *widths;		/* of each cell but the last */
};

/* Sets the width of column `column` in each run of lines that have it. */
static void measure(struct line *lines, size_t count, size_t column, struct table_style style)
{
	size_t start = 0;

	while (start < count) {
		size_t width = style.min_width;
		size_t end = start;

		for (; end < count && lines[end].cells.count > column + 1; end++) {
			size_t cell = units_width(lines[end].cells.items[column]) + style.padding;

			if (cell > width)
				width = cell;
		}
		for (size_t i = start; i < end; i++)
			lines[i].widths[column] = width;
		start = end == start ? start + 1 : end;
	}
}

static void print_line(struct text *out, const struct line *line)
{
	for (size_t i = 0; i < line->cells.count; i++) {
		const char *cell = line->cells.items[i];

		text_add(out, cell);
		if (i + 1 < line->cells.count)
			text_addf(out, "%*s", (int)(line->widths[i] - units_width(cell)), "");
	}
}

void table_format(struct text *out, const char *source, struct table_style style)
{
	AUTO(text_list_fini) struct text_list texts = { 0 };
	AUTO_FREE struct line *lines = NULL;
	size_t columns = 0;

	text_list_split(&texts, source, '\n');
	lines = xcalloc(texts.count + 1, sizeof(*lines));
	for (size_t i = 0; i < texts.count; i++) {
		text_list_split(&lines[i].cells, texts.items[i], '\t');
		lines[i].widths = xcalloc(lines[i].cells.count + 1, sizeof(size_t));
		if (lines[i].cells.count > columns)
			columns = lines[i].cells.count;
	}
	for (size_t column = 0; column + 1 < columns; column++)
		measure(lines, texts.count, column, style);
	for (size_t i = 0; i < texts.count; i++) {
		print_line(out, &lines[i]);
		if (i + 1 < texts.count)
			text_add_char(out, '\n');
		text_list_fini(&lines[i].cells);
		free(lines[i].widths);
	}
}
