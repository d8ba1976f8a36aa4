/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/excerpt.h"

#include "base/cleanup.h"

#define RULE "--------------------\n"
/* Lines shown besides the place's own: more where it is one line only. */
#define AROUND_ONE 4
#define AROUND_MORE 2

void excerpt_add(struct text *out, const char *name, const char *source, unsigned first, unsigned last)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	size_t from = first;
	size_t to;

	text_list_split(&lines, text_or_empty(source), '\n');
	if (first == 0 || first > lines.count)
		return;
	to = last < lines.count ? last : lines.count;
	for (unsigned added = 0; added < (first == last ? AROUND_ONE : AROUND_MORE); added++) {
		if (from > 1) {
			from--;
			added++;
		}
		if (to < lines.count) {
			to++;
			added++;
		}
	}
	text_addf(out, "%s:%u\n" RULE, name, first);
	for (size_t i = from; i <= to; i++)
		text_addf(out, " %3zu | %s %s\n", i, i >= first && i <= last ? ">>>" : "   ", lines.items[i - 1]);
	text_add(out, RULE);
}
