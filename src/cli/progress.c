/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "json/value.h"

#define MESSAGE_MAX (16u << 20)
#define BAR 50
#define METER_PAUSE_NS (100 * CLOCK_MS)

struct display {
	FILE *out;
	bool terminal;
	bool quiet;
	unsigned columns;
	struct text_list ids;		/* lines on the screen, first one highest */
	struct progress_result *result; /* NULL: not wanted */
	bool output_begins;		/* behind the message that was taken last */
	size_t output_number;
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
	const struct json_value *detail = json_value_get(message, "errorDetail");
	const struct json_value *code = json_value_get(detail, "code");
	const char *container = json_value_text(json_value_get(detail, "container"));
	const struct json_value *written = json_value_get(json_value_get(message, "aux"), "kist.build");
	struct text json = { 0 };

	if (!display->result)
		return;
	if (written) {
		json_value_encode(&json, written, NULL);
		free(display->result->written);
		display->result->written = text_take(&json);
	}
	if (id) {
		free(display->result->id);
		display->result->id = xstrdup(id);
	}
	if (code)
		display->result->code = json_value_integer(code);
	if (container) {
		free(display->result->container);
		display->result->container = xstrdup(container);
	}
}

/* ---- outputs: pieces with their size before them, 4 bytes in network order; 0 ends, all ones breaks off ---- */

#define PIECE_HEADER 4
#define PIECE_BROKEN UINT32_MAX

struct progress_stream {
	struct local_response *response;
	struct buffer *in;
	uint32_t left; /* of the piece */
	bool over;
	bool broken;
};

static int fill(struct progress_stream *stream, size_t wanted, struct error *err)
{
	char data[8192];

	while (stream->in->size < wanted) {
		ssize_t size = local_response_read(stream->response, data, sizeof(data), err);

		if (size < 0)
			return -1;
		if (size == 0)
			return error_set(err, ERR_UNAVAILABLE, "the engine stopped in the middle of an output");
		buffer_append(stream->in, data, (size_t)size);
	}
	return 0;
}

static int next_piece(struct progress_stream *stream, struct error *err)
{
	const uint8_t *data;

	if (fill(stream, PIECE_HEADER, err) < 0)
		return -1;
	data = stream->in->data;
	stream->left = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
	buffer_consume(stream->in, PIECE_HEADER);
	stream->broken = stream->left == PIECE_BROKEN;
	stream->over = stream->broken || stream->left == 0;
	return 0;
}

ssize_t progress_read(void *arg, void *data, size_t size, struct error *err)
{
	struct progress_stream *stream = arg;

	if (!stream->over && stream->left == 0 && next_piece(stream, err) < 0)
		return -1;
	if (stream->broken)
		return error_set(err, ERR_UNAVAILABLE, "the output broke off");
	if (stream->over)
		return 0;
	if (fill(stream, 1, err) < 0)
		return -1;
	if (size > stream->in->size)
		size = stream->in->size;
	if (size > stream->left)
		size = stream->left;
	memcpy(data, stream->in->data, size);
	buffer_consume(stream->in, size);
	stream->left -= (uint32_t)size;
	return (ssize_t)size;
}

/* What its taker leaves is read all the same: messages follow. */
static int take_output(struct display *display, struct local_response *response, struct buffer *in, struct error *err)
{
	struct progress_stream stream = { .response = response, .in = in };
	struct progress_result *result = display->result;
	char rest[8192];
	int r;

	display->output_begins = false;
	if (!result || !result->output)
		return error_set(err, ERR_INTERNAL, "the engine sends an output nobody asked for");
	r = result->output(result->arg, display->output_number, &stream, err);
	if (stream.broken) {
		error_clear(err);
		return 0;
	}
	while (r == 0 && !stream.over)
		if (progress_read(&stream, rest, sizeof(rest), err) < 0)
			return -1;
	return r;
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
	display->output_begins = json_value_get(message, "output") != NULL;
	display->output_number = (size_t)json_value_integer(json_value_get(message, "output"));
	if (failure)
		return error_set(err, ERR_INTERNAL, "%s", failure);
	if (!display->quiet && !display->output_begins)
		show_message(display, message);
	return 0;
}

static int take_lines(struct display *display, struct local_response *response, struct buffer *in, bool last,
		      struct error *err)
{
	for (;;) {
		const char *end = in->size ? memchr(in->data, '\n', in->size) : NULL;
		size_t size = end ? (size_t)(end - (const char *)in->data) : in->size;

		if (!end && (!last || size == 0))
			return 0;
		if (take_line(display, (const char *)in->data, size, err) < 0)
			return -1;
		buffer_consume(in, size + (end ? 1 : 0));
		if (display->output_begins && take_output(display, response, in, err) < 0)
			return -1;
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
			r = take_lines(&display, response, &in, false, err);
	}
	if (r == 0)
		r = take_lines(&display, response, &in, true, err);
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

/* ---- what has no stream of messages ---- */

static void draw(struct progress_meter *meter)
{
	AUTO_FREE char *size = meter->bytes ? units_size((double)meter->bytes, 4) : xstrdup("");

	fprintf(stderr, "\r\033[2K%s%s", meter->label, size);
	fflush(stderr);
	meter->drawn_ns = clock_monotonic_ns();
}

void progress_meter_begin(struct progress_meter *meter, const char *label, bool wanted)
{
	*meter = (struct progress_meter){ .label = label, .is_shown = wanted && isatty(STDERR_FILENO) };
	if (meter->is_shown)
		draw(meter);
}

void progress_meter_add(void *arg, uint64_t bytes)
{
	struct progress_meter *meter = arg;
	bool is_first = meter->bytes == 0;

	meter->bytes += bytes;
	if (meter->is_shown && (is_first || clock_monotonic_ns() - meter->drawn_ns > METER_PAUSE_NS))
		draw(meter);
}

void progress_meter_end(struct progress_meter *meter)
{
	if (meter->is_shown)
		fputs("\r\033[2K", stderr);
	meter->is_shown = false;
}
