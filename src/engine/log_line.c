/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "engine/log_line.h"

struct cursor {
	const char *at;
	const char *end;
};

static void skip_blanks(struct cursor *cursor)
{
	while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
		cursor->at++;
}

static bool take(struct cursor *cursor, char c)
{
	skip_blanks(cursor);
	if (cursor->at >= cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits of \uXXXX, or -1. */
static int take_unit(struct cursor *cursor)
{
	int unit = 0;

	if (cursor->end - cursor->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(*cursor->at++);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static void add_utf8(struct text *out, unsigned code)
{
	if (code < 0x80) {
		text_add_char(out, (char)code);
	} else if (code < 0x800) {
		text_add_char(out, (char)(0xc0 | code >> 6));
		text_add_char(out, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		text_add_char(out, (char)(0xe0 | code >> 12));
		text_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		text_add_char(out, (char)(0x80 | (code & 0x3f)));
	} else {
		text_add_char(out, (char)(0xf0 | code >> 18));
		text_add_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
		text_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		text_add_char(out, (char)(0x80 | (code & 0x3f)));
	}
}

static bool take_unicode(struct cursor *cursor, struct text *out)
{
	int unit = take_unit(cursor);
	int low;

	if (unit < 0)
		return false;
	if (unit >= 0xd800 && unit < 0xdc00 && cursor->end - cursor->at >= 6 && cursor->at[0] == '\\' &&
	    cursor->at[1] == 'u') {
		cursor->at += 2;
		low = take_unit(cursor);
		if (low < 0xdc00 || low > 0xdfff)
			return false;
		add_utf8(out, 0x10000U + ((unsigned)(unit - 0xd800) << 10) + (unsigned)(low - 0xdc00));
		return true;
	}
	add_utf8(out, unit >= 0xd800 && unit <= 0xdfff ? 0xfffd : (unsigned)unit);
	return true;
}

static bool take_escape(struct cursor *cursor, struct text *out)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *found;
	char c;

	if (cursor->at >= cursor->end)
		return false;
	c = *cursor->at++;
	if (c == 'u')
		return take_unicode(cursor, out);
	found = c ? strchr(letters, c) : NULL;
	if (!found)
		return false;
	text_add_char(out, meanings[found - letters]);
	return true;
}

static bool take_text(struct cursor *cursor, struct text *out)
{
	text_reset(out);
	if (!take(cursor, '"'))
		return false;
	for (;;) {
		const char *start = cursor->at;

		while (cursor->at < cursor->end && *cursor->at != '"' && *cursor->at != '\\')
			cursor->at++;
		text_add_bytes(out, start, (size_t)(cursor->at - start));
		if (cursor->at >= cursor->end)
			return false;
		if (*cursor->at++ == '"')
			return true;
		if (!take_escape(cursor, out))
			return false;
	}
}

/* "attrs" and what else others write: an object or scalar without meaning for us. */
static bool skip_value(struct cursor *cursor, struct text *scratch)
{
	unsigned depth = 0;

	do {
		skip_blanks(cursor);
		if (cursor->at >= cursor->end)
			return false;
		if (*cursor->at == '"') {
			if (!take_text(cursor, scratch))
				return false;
			continue;
		}
		if (*cursor->at == '{' || *cursor->at == '[')
			depth++;
		else if (*cursor->at == '}' || *cursor->at == ']')
			depth -= depth ? 1 : 0;
		else if (depth == 0 && *cursor->at == ',')
			return true;
		cursor->at++;
	} while (depth);
	while (cursor->at < cursor->end && *cursor->at != ',' && *cursor->at != '}')
		cursor->at++;
	return true;
}

/* As Go's url.QueryEscape. */
static void add_escaped(struct text *out, const struct text *value)
{
	for (size_t i = 0; i < value->size; i++) {
		char c = value->data[i];

		if (c == ' ')
			text_add_char(out, '+');
		else if (isalnum((unsigned char)c) || (c && strchr("-_.~", c)))
			text_add_char(out, c);
		else
			text_addf(out, "%%%02X", (unsigned char)c);
	}
}

/* Behind "attrs": what --details shows. */
static bool take_attributes(struct cursor *cursor, struct log_line *line)
{
	if (!take(cursor, '{'))
		return false;
	if (take(cursor, '}'))
		return true;
	do {
		struct text pair = { 0 };

		if (!take_text(cursor, &line->key) || !take(cursor, ':') || !take_text(cursor, &line->value))
			return false;
		add_escaped(&pair, &line->key);
		text_add_char(&pair, '=');
		add_escaped(&pair, &line->value);
		text_list_add_take(&line->attributes, text_take(&pair));
	} while (take(cursor, ','));
	text_list_sort(&line->attributes);
	return take(cursor, '}');
}

static bool take_member(struct cursor *cursor, struct log_line *line)
{
	if (!take_text(cursor, &line->key) || !take(cursor, ':'))
		return false;
	skip_blanks(cursor);
	if (text_equal(line->key.data, "log"))
		return take_text(cursor, &line->log);
	if (text_equal(line->key.data, "attrs")) {
		const struct cursor start = *cursor;

		if (take_attributes(cursor, line))
			return true;
		*cursor = start;
	}
	if (cursor->at >= cursor->end || *cursor->at != '"')
		return skip_value(cursor, &line->value);
	if (!take_text(cursor, &line->value))
		return false;
	if (text_equal(line->key.data, "stream"))
		line->stream = text_equal(line->value.data, "stderr") ? STREAM_STDERR : STREAM_STDOUT;
	else if (text_equal(line->key.data, "time"))
		return clock_parse(&line->time_ns, text_or_empty(line->value.data)) == 0;
	return true;
}

int log_line_parse(struct log_line *line, const char *data, size_t size)
{
	struct cursor cursor = { data, data + size };
	bool good = take(&cursor, '{');

	text_reset(&line->log);
	text_list_fini(&line->attributes);
	line->stream = STREAM_STDOUT;
	line->time_ns = 0;
	while (good) {
		good = take_member(&cursor, line);
		if (!good || take(&cursor, '}'))
			break;
		good = take(&cursor, ',');
	}
	skip_blanks(&cursor);
	return good && cursor.at == cursor.end ? 0 : -EINVAL;
}

void log_line_fini(struct log_line *line)
{
	text_fini(&line->log);
	text_fini(&line->key);
	text_fini(&line->value);
	text_list_fini(&line->attributes);
}
