/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "builder/build_private.h"

/* Lines shown before and behind the ones that failed. */
#define PLACE_AROUND 2

void build_print_bytes(struct build *build, const void *data, size_t size)
{
	AUTO(text_fini) struct text json = { 0 };

	if (size == 0 || build->options->quiet)
		return;
	text_add(&json, "{\"stream\":");
	quote_json(&json, data, size);
	text_add_char(&json, '}');
	build->options->send(build->options->send_arg, json.data);
}

void build_print(struct build *build, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	build_print_bytes(build, text, strlen(text));
}

void build_print_place(struct build *build, unsigned first, unsigned last)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(text_fini) struct text shown = { 0 };
	size_t from = first > PLACE_AROUND ? first - PLACE_AROUND : 1;

	text_list_split(&lines, text_or_empty(build->dockerfile_text), '\n');
	if (first == 0 || first > lines.count)
		return;
	text_addf(&shown, "%s:%u\n--------------------\n", build->dockerfile_path, first);
	for (size_t i = from; i <= lines.count && i <= last + PLACE_AROUND; i++)
		text_addf(&shown, "%4zu | %s %s\n", i, i >= first && i <= last ? ">>>" : "   ",
			  text_trim(lines.items[i - 1]));
	text_add(&shown, "--------------------\n");
	build_print_bytes(build, shown.data, shown.size);
}

void build_send_id(struct build *build, const struct digest *id)
{
	AUTO_FREE char *json = NULL;
	char text[DIGEST_TEXT_MAX];

	if (build->options->quiet)
		json = xasprintf("{\"stream\":\"%s\\n\"}", digest_text(id, text));
	else
		json = xasprintf("{\"aux\":{\"ID\":\"%s\"}}", digest_text(id, text));
	build->options->send(build->options->send_arg, json);
}
