/* SPDX-License-Identifier: Apache-2.0 */
#include "base/quote.h"

#include <stdint.h>
#include <string.h>

/* Overlong forms, surrogates and what lies beyond U+10FFFF, seen by the first two bytes. */
static bool is_forbidden(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0:
		return second < 0xa0;
	case 0xed:
		return second > 0x9f;
	case 0xf0:
		return second < 0x90;
	case 0xf4:
		return second > 0x8f;
	default:
		return false;
	}
}

size_t utf8_sequence(const char *data, size_t size)
{
	const uint8_t *byte = (const uint8_t *)data;
	size_t length;

	if (size == 0)
		return 0;
	if (byte[0] < 0x80)
		return 1;
	length = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
	if (byte[0] < 0xc2 || byte[0] > 0xf4 || size < length || is_forbidden(byte[0], byte[1]))
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

static void add_escaped(struct text *out, unsigned char c)
{
	static const char short_from[] = "\"\\\n\r\t\b\f";
	static const char short_to[] = "\"\\nrtbf";
	const char *found = strchr(short_from, c);

	if (c && found)
		text_addf(out, "\\%c", short_to[found - short_from]);
	else
		text_addf(out, "\\u%04x", c);
}

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define TOP_BITS (EACH_BYTE * 0x80)

/* The top bit of each byte that is zero; of none if there is none, which is all that is asked. */
static uint64_t zero_bytes(uint64_t word)
{
	return (word - EACH_BYTE) & ~word & TOP_BITS;
}

/* Eight bytes that stand for themselves: no top bit, nothing below a blank, no quote, no backslash. */
static bool is_plain_word(const char *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof(word));
	return !((word | (word - EACH_BYTE * 0x20) | zero_bytes(word ^ EACH_BYTE * '"') |
		  zero_bytes(word ^ EACH_BYTE * '\\')) &
		 TOP_BITS);
}

/* Most text is ASCII that stands for itself. */
static size_t plain_run(const char *data, size_t size)
{
	size_t at = 0;

	while (size - at >= sizeof(uint64_t) && is_plain_word(data + at))
		at += sizeof(uint64_t);
	for (; at < size; at++) {
		unsigned char c = (unsigned char)data[at];

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
	}
	return at;
}

void quote_json_inner(struct text *out, const char *data, size_t size)
{
	size_t start = 0;
	size_t at = 0;

	while ((at += plain_run(data + at, size - at)) < size) {
		unsigned char c = (unsigned char)data[at];
		size_t length = utf8_sequence(data + at, size - at);

		if (length > 1) {
			at += length;
			continue;
		}
		text_add_bytes(out, data + start, at - start);
		if (length)
			add_escaped(out, c);
		else
			text_add(out, "\xef\xbf\xbd");
		start = ++at;
	}
	text_add_bytes(out, data + start, size - start);
}

void quote_json(struct text *out, const char *data, size_t size)
{
	if (plain_run(data, size) == size) {
		char *place = text_extend(out, size + 2);

		place[0] = place[size + 1] = '"';
		memcpy(place + 1, data, size);
		return;
	}
	text_add_char(out, '"');
	quote_json_inner(out, data, size);
	text_add_char(out, '"');
}
