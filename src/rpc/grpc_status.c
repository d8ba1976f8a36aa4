/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "rpc/grpc_private.h"

/* The numbers of google.rpc.Code; the first that fits a kind is sent. */
static const struct {
	int status;
	enum error_kind kind;
} codes[] = {
	{ 1, ERR_CANCELED },	 { 2, ERR_INTERNAL },	   { 3, ERR_INVALID },	   { 5, ERR_NOT_FOUND },
	{ 6, ERR_CONFLICT },	 { 7, ERR_FORBIDDEN },	   { 8, ERR_EXHAUSTED },   { 12, ERR_UNSUPPORTED },
	{ 14, ERR_UNAVAILABLE }, { 16, ERR_UNAUTHORIZED }, { 4, ERR_UNAVAILABLE }, { 9, ERR_CONFLICT },
	{ 10, ERR_CONFLICT },	 { 11, ERR_INVALID },
};

int grpc_status_of(enum error_kind kind)
{
	/* "Unimplemented" is for methods; what we cannot do is told as any failure. */
	if (kind == ERR_UNSUPPORTED)
		return GRPC_STATUS_UNKNOWN;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].kind == kind)
			return codes[i].status;
	return GRPC_STATUS_UNKNOWN;
}

enum error_kind grpc_kind_of(int status)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].status == status)
			return codes[i].kind;
	return ERR_INTERNAL;
}

char *grpc_percent_encode(const char *text)
{
	struct text out = { 0 };

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c <= 0x7e && c != '%')
			text_add_char(&out, *text);
		else
			text_addf(&out, "%%%02X", c);
	}
	return text_take(&out);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *grpc_percent_decode(const char *text)
{
	struct text out = { 0 };

	while (*text) {
		int high = *text == '%' ? hex_digit(text[1]) : -1;
		int low = high >= 0 ? hex_digit(text[2]) : -1;
		int c = high * 16 + low;

		/* What is no escape stands for itself; a NUL would hide the rest. */
		if (low < 0 || c == 0) {
			text_add_char(&out, *text++);
			continue;
		}
		text_add_char(&out, (char)c);
		text += 3;
	}
	return text_take(&out);
}
