/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

#define MESSAGE_MAX 65536

static const char *const kind_names[ERR_KIND_COUNT] = {
	[ERR_NONE] = "none",
	[ERR_INTERNAL] = "internal",
	[ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_CONFLICT] = "conflict",
	[ERR_FORBIDDEN] = "forbidden",
	[ERR_UNAUTHORIZED] = "unauthorized",
	[ERR_UNAVAILABLE] = "unavailable",
	[ERR_CANCELED] = "canceled",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_EXHAUSTED] = "exhausted",
};

void error_fill(struct error *err, enum error_kind kind, const char *format, ...)
{
	va_list args;

	assert(err && err->kind == ERR_NONE && kind != ERR_NONE);
	va_start(args, format);
	err->message = xvasprintf(format, args);
	va_end(args);
	err->kind = kind;
	err->errnum = 0;
}

void error_fill_errno(struct error *err, enum error_kind kind, int errnum, const char *format, ...)
{
	char *text;
	va_list args;

	assert(err && err->kind == ERR_NONE && kind != ERR_NONE);
	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	err->kind = kind;
	err->errnum = abs(errnum);
	err->message = xasprintf("%s: %s", text, strerror(err->errnum));
	free(text);
}

void error_add_prefix(struct error *err, const char *format, ...)
{
	char *prefix;
	char *message;
	va_list args;

	assert(err && err->kind != ERR_NONE);
	va_start(args, format);
	prefix = xvasprintf(format, args);
	va_end(args);
	message = xasprintf("%s: %s", prefix, err->message);
	free(prefix);
	free(err->message);
	err->message = message;
}

bool error_is_set(const struct error *err)
{
	return err->kind != ERR_NONE;
}

void error_clear(struct error *err)
{
	free(err->message);
	*err = (struct error){ 0 };
}

void error_transfer(struct error *to, struct error *from)
{
	assert(to->kind == ERR_NONE && from->kind != ERR_NONE);
	*to = *from;
	*from = (struct error){ 0 };
}

const char *error_kind_name(enum error_kind kind)
{
	return kind < ERR_KIND_COUNT ? kind_names[kind] : "internal";
}

enum error_kind error_kind_parse(const char *name)
{
	for (unsigned i = 0; i < ERR_KIND_COUNT; i++)
		if (strcmp(name, kind_names[i]) == 0)
			return (enum error_kind)i;
	return ERR_INTERNAL;
}

int error_send(int fd, const struct error *err)
{
	size_t length = strlen(err->message);
	int32_t head[3];
	int r;

	if (length > MESSAGE_MAX)
		length = MESSAGE_MAX;
	head[0] = (int32_t)err->kind;
	head[1] = err->errnum;
	head[2] = (int32_t)length;
	r = write_full(fd, head, sizeof(head));
	return r < 0 ? r : write_full(fd, err->message, length);
}

int error_receive(int fd, struct error *err)
{
	int32_t head[3];
	char *message;
	ssize_t got = read_full(fd, head, sizeof(head));

	if (got == 0)
		return 0;
	if (got != sizeof(head) || head[0] <= 0 || head[0] >= ERR_KIND_COUNT || head[2] < 0 || head[2] > MESSAGE_MAX)
		return error_set(err, ERR_INTERNAL, "broken error report from a child process");
	message = xcalloc(1, (size_t)head[2] + 1);
	got = read_full(fd, message, (size_t)head[2]);
	if (got != head[2]) {
		free(message);
		return error_set(err, ERR_INTERNAL, "cut error report from a child process");
	}
	err->kind = (enum error_kind)head[0];
	err->errnum = head[1];
	err->message = message;
	return 1;
}
