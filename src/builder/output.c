/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "builder/build_private.h"
#include "builder/excerpt.h"
#include "builder/share.h"
#include "builder/work.h"

static char *message_of(const void *data, size_t size)
{
	struct text json = { 0 };

	text_add(&json, "{\"stream\":");
	quote_json(&json, data, size);
	text_add_char(&json, '}');
	return text_take(&json);
}

static bool has_messages(const struct build *build)
{
	return !build->options->quiet && !build->options->watch;
}

void build_print_bytes(struct build *build, const void *data, size_t size)
{
	AUTO_FREE char *message = NULL;

	if (size == 0 || !has_messages(build))
		return;
	message = message_of(data, size);
	build->options->send(build->options->send_arg, message);
}

static void log_output(const struct build *build, struct node *node, int stream, const void *data, size_t size)
{
	static const char clipped[] = "\n[output clipped, log limit 2MiB reached]\n";
	const struct build_watch *watch = build->options->watch;

	if (!*node->id || node->logged_bytes > NODE_OUTPUT_MAX)
		return;
	node->logged_bytes += size;
	watch->log(watch->arg, node->id, stream, data, size);
	if (node->logged_bytes > NODE_OUTPUT_MAX)
		watch->log(watch->arg, node->id, stream, clipped, sizeof(clipped) - 1);
}

static void print_message_take(struct build *build, struct node *node, char *text)
{
	if (has_messages(build))
		work_print_take(build->work, node, message_of(text, strlen(text)));
	free(text);
}

static void print_output(struct build *build, struct node *node, int stream, const void *data, size_t size)
{
	if (size == 0)
		return;
	if (build->options->watch && stream > 0)
		log_output(build, node, stream, data, size);
	else if (stream == 2)
		print_message_take(build, node, xasprintf("\033[91m%.*s\033[0m", (int)size, (const char *)data));
	else if (has_messages(build))
		work_print_take(build->work, node, message_of(data, size));
}

void node_print(struct build *build, struct node *node, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	if (node->run)
		share_tell(node->run, 0, text, strlen(text));
	print_message_take(build, node, text);
}

void node_print_output(struct build *build, struct node *node, int stream, const void *data, size_t size)
{
	if (node->run)
		share_tell(node->run, stream, data, size);
	print_output(build, node, stream, data, size);
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
