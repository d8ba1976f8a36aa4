/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "builder/build_private.h"
#include "builder/excerpt.h"

void build_print_bytes(struct build *build, const void *data, size_t size)
{
	AUTO(text_fini) struct text json = { 0 };

	if (size == 0 || build->options->quiet || build->options->watch)
		return;
	text_add(&json, "{\"stream\":");
	quote_json(&json, data, size);
	text_add_char(&json, '}');
	build->options->send(build->options->send_arg, json.data);
}

void build_print_output(struct build *build, int stream, const void *data, size_t size)
{
	const struct build_watch *watch = build->options->watch;

	if (!watch && size > 0 && stream == 2)
		build_print(build, "\033[91m%.*s\033[0m", (int)size, (const char *)data);
	else if (!watch)
		build_print_bytes(build, data, size);
	else if (size > 0 && build->vertex)
		watch->log(watch->arg, build->vertex->id, stream, data, size);
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
	AUTO(text_fini) struct text shown = { 0 };

	build->failure->first = first;
	build->failure->last = last;
	excerpt_add(&shown, build->dockerfile_path, build->dockerfile_text, first, last);
	if (shown.size)
		build_print_bytes(build, shown.data, shown.size);
}

void build_send_id(struct build *build, const struct digest *id)
{
	AUTO_FREE char *json = NULL;
	char text[DIGEST_TEXT_MAX];

	if (build->options->watch)
		return;
	if (build->options->quiet)
		json = xasprintf("{\"stream\":\"%s\\n\"}", digest_text(id, text));
	else
		json = xasprintf("{\"aux\":{\"ID\":\"%s\"}}", digest_text(id, text));
	build->options->send(build->options->send_arg, json);
}
