/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "json/value.h"

#define MESSAGE_MAX (16u << 20)
#define BAR 50

struct display {
	FILE *out;
	bool terminal;
	bool quiet;
	unsigned columns;
	struct text_list ids;		/* lines on the screen, first one highest */
	struct progress_result *result; /* NULL: not wanted */
};

char *progress_bar(long long current, long long total, unsigned columns)
{
	struct text bar = { 0 };
	AUTO_FREE char *now = units_size((double)current, 4);
	AUTO_FREE char *all = units_size((double)total, 4);
	int done;

	if (current <= 0 && total <= 0)
		return xstrdup("");
	if (total <= 0)
		return xasprintf("%8s", now);
	done = (int)((double)current / (double)total * 100 / 2);
	if (done > BAR)
		done = BAR;
	if (columns > 110) {
		text_add_char(&bar, '[');
		for (int i = 0; i < done; i++)
			text_add_char(&bar, '=');
		text_addf(&bar, ">%*s] ", BAR - done, "");
	}
	if (current > total)
		text_addf(&bar, "%8s", now);
	else
		text_addf(&bar, "%8s/%s", now, all);
	return text_take(&bar);
}

/* Line of an id, counted from the top; new ones go below. */
static size_t line_of(struct display *display, const char *id)
{
	for (size_t i = 0; i < display->ids.count; i++)
		if (text_equal(display->ids.items[i], id))
			return i;
	text_list_add(&display->ids, id);
	if (display->terminal)
		fputc('\n', display->out);
	return display->ids.count - 1;
}

static void print_message(struct display *display, const struct json_value *message, bool has_progress)
{
	const struct json_value *detail = json_value_get(message, "progressDetail");
	const char *id = json_value_text(json_value_get(message, "id"));
	const char *status = text_or_empty(json_value_text(json_value_get(message, "status")));
	const char *stream = json_value_text(json_value_get(message, "stream"));
	AUTO_FREE char *bar = progress_bar(json_value_integer(json_value_get(detail, "current")),
					   json_value_integer(json_value_get(detail, "total")), display->columns);
	bool redraw = display->terminal && !stream && has_progress;

	if (!redraw && *bar)
		return;
	if (redraw)
		fputs("\033[2K\r", display->out);
	if (!text_empty(id))
		fprintf(display->out, "%s: ", id);
	if (redraw)
		fprintf(display->out, "%s %s\r", status, bar);
	else if (stream)
		fputs(stream, display->out);
	else
		fprintf(display->out, "%s\n", status);
}

static void show_message(struct display *display, const struct json_value *message)
{
	const char *id = json_value_text(json_value_get(message, "id"));
	bool has_progress = json_value_type(json_value_get(message, "progressDetail")) == JSON_TYPE_OBJECT;
	size_t up = 0;

	if (json_value_get(message, "aux") && !json_value_get(message, "status"))
		return;
	if (!text_empty(id) && has_progress) {
		size_t line = line_of(display, id);

		up = display->ids.count - line;
		if (display->terminal)
			fprintf(display->out, "\033[%zuA", up);
	} else {
		text_list_fini(&display->ids);
	}
	print_message(display, message, has_progress);
	if (up && display->terminal)
		fprintf(display->out, "\033[%zuB", up);
	fflush(display->out);
}

static void note_result(struct display *display, const struct json_value *message)
{
	const char *id = json_value_text(json_value_get(json_value_get(message, "aux"), "ID"));
	const struct json_value *code = json_value_get(json_value_get(message, "errorDetail"), "code");

	if (!display->result)
		return;
	if (id) {
		free(display->result->id);
		display->result->id = xstrdup(id);
	}
	if (code)
		display->result->code = json_value_integer(code);
}

static int take_line(struct display *display, const char *line, size_t size, struct error *err)
{
	AUTO(json_value_freep) struct json_value *message = NULL;
	const char *failure;

	while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == ' '))
		size--;
	if (size == 0)
		return 0;
	if (json_value_parse(&message, line, size, err) < 0)
		return error_prefix(err, "progress of the engine");
	failure = json_value_text(json_value_get(json_value_get(message, "errorDetail"), "message"));
	if (!failure)
		failure = json_value_text(json_value_get(message, "error"));
	note_result(display, message);
	if (failure)
		return error_set(err, ERR_INTERNAL, "%s", failure);
	if (!display->quiet)
		show_message(display, message);
	return 0;
}

static int take_lines(struct display *display, struct buffer *in, bool last, struct error *err)
{
	for (;;) {
		const char *end = in->size ? memchr(in->data, '\n', in->size) : NULL;
		size_t size = end ? (size_t)(end - (const char *)in->data) : in->size;

		if (!end && (!last || size == 0))
			return 0;
		if (take_line(display, (const char *)in->data, size, err) < 0)
			return -1;
		buffer_consume(in, size + (end ? 1 : 0));
	}
}

static int show(struct local_response *response, struct display *shown, struct error *err)
{
	struct display display = *shown;
	AUTO(buffer_fini) struct buffer in = { 0 };
	char data[8192];
	unsigned rows;
	ssize_t size;
	int r = 0;

	buffer_init(&in, MESSAGE_MAX);
	if (display.terminal)
		terminal_size(fileno(display.out), &rows, &display.columns);
	while (r == 0 && (size = local_response_read(response, data, sizeof(data), err)) != 0) {
		if (size < 0) {
			r = -1;
			break;
		}
		buffer_append(&in, data, (size_t)size);
		if (buffer_failed(&in))
			r = error_set(err, ERR_EXHAUSTED, "a progress message of the engine is too long");
		else
			r = take_lines(&display, &in, false, err);
	}
	if (r == 0)
		r = take_lines(&display, &in, true, err);
	text_list_fini(&display.ids);
	return r;
}

int progress_show(struct local_response *response, FILE *out, bool quiet, struct error *err)
{
	struct display display = { .out = out, .terminal = isatty(fileno(out)), .quiet = quiet, .columns = 200 };

	return show(response, &display, err);
}

int progress_show_build(struct local_response *response, FILE *out, struct progress_result *result, struct error *err)
{
	struct display display = { .out = out, .terminal = isatty(fileno(out)), .columns = 200, .result = result };

	return show(response, &display, err);
}
