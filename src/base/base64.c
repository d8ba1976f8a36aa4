/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define STANDARD "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define URL_SAFE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static char *encode(const uint8_t *data, size_t size, const char *alphabet)
{
	char *out = xmalloc((size + 2) / 3 * 4 + 1);
	size_t at = 0;

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
				 (left > 2 ? data[i + 2] : 0);

		out[at++] = alphabet[group >> 18];
		out[at++] = alphabet[group >> 12 & 63];
		out[at++] = left > 1 ? alphabet[group >> 6 & 63] : '=';
		out[at++] = left > 2 ? alphabet[group & 63] : '=';
	}
	out[at] = '\0';
	return out;
}

char *base64_encode(const void *data, size_t size)
{
	return encode(data, size, STANDARD);
}

char *base64_encode_url(const void *data, size_t size)
{
	return encode(data, size, URL_SAFE);
}

static int digit(char c)
{
	const char *place = strchr(STANDARD, c == '-' ? '+' : c == '_' ? '/' : c);

	return place && c ? (int)(place - STANDARD) : -1;
}

int base64_decode(char **out_data, size_t *out_size, const char *text)
{
	AUTO_FREE char *out = xmalloc(strlen(text) / 4 * 3 + 4);
	uint32_t group = 0;
	unsigned digits = 0;
	size_t at = 0;

	for (; *text && *text != '='; text++) {
		int value = digit(*text);

		if (*text == '\r' || *text == '\n')
			continue;
		if (value < 0)
			return -EINVAL;
		group = group << 6 | (uint32_t)value;
		digits++;
		if (digits % 4 == 1)
			continue;
		out[at++] = (char)(group >> (digits % 4 == 2 ? 4 : digits % 4 == 3 ? 2 : 0));
	}
	if (digits % 4 == 1 || text[strspn(text, "=\r\n")] != '\0')
		return -EINVAL;
	out[at] = '\0';
	*out_data = take_ptr(out);
	*out_size = at;
	return 0;
}
