/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base64.h"

#include <stdint.h>
#include <string.h>

static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static char digit(unsigned value, bool url)
{
	if (value < 62)
		return common[value];
	return value == 62 ? (url ? '-' : '+') : (url ? '_' : '/');
}

void base64_encode(struct text *out, const void *data, size_t size, bool url)
{
	const uint8_t *in = data;

	for (size_t i = 0; i < size; i += 3) {
		size_t have = size - i < 3 ? size - i : 3;
		unsigned bits = (unsigned)in[i] << 16;

		if (have > 1)
			bits |= (unsigned)in[i + 1] << 8;
		if (have > 2)
			bits |= in[i + 2];
		text_add_char(out, digit(bits >> 18, url));
		text_add_char(out, digit(bits >> 12 & 63, url));
		text_add_char(out, have > 1 ? digit(bits >> 6 & 63, url) : '=');
		text_add_char(out, have > 2 ? digit(bits & 63, url) : '=');
	}
}

static int value_of(char c)
{
	const char *found = c ? strchr(common, c) : NULL;

	if (found)
		return (int)(found - common);
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

char *base64_decode(size_t *out_size, const char *text)
{
	struct text out = { 0 };
	unsigned bits = 0;
	unsigned have = 0;

	for (; *text && *text != '='; text++) {
		int value = value_of(*text);

		if (value < 0) {
			text_fini(&out);
			return NULL;
		}
		bits = bits << 6 | (unsigned)value;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		text_add_char(&out, (char)(bits >> have & 0xff));
		bits &= (1u << have) - 1;
	}
	*out_size = out.size;
	return text_take(&out);
}
