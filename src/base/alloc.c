/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *check(void *pointer)
{
	static const char text[] = "kist: out of memory\n";

	if (!pointer) {
		if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
			_exit(1);
		abort();
	}
	return pointer;
}

void *xmalloc(size_t size)
{
	return check(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *pointer, size_t size)
{
	return check(realloc(pointer, size ? size : 1));
}

void *xmemdup(const void *data, size_t size)
{
	void *copy = xmalloc(size);

	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *xstrdup(const char *text)
{
	return text ? check(strdup(text)) : NULL;
}

char *xstrndup(const char *text, size_t size)
{
	return text ? check(strndup(text, size)) : NULL;
}

char *xvasprintf(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	return check(text);
}

char *xasprintf(const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return text;
}

void *xgrow(void *items, size_t *capacity, size_t needed, size_t item_size)
{
	size_t room = *capacity;
	size_t bytes;

	if (needed <= room)
		return items;
	if (room < 8)
		room = 8;
	while (room < needed) {
		if (__builtin_mul_overflow(room, (size_t)2, &room))
			check(NULL);
	}
	if (__builtin_mul_overflow(room, item_size, &bytes))
		check(NULL);
	*capacity = room;
	return xrealloc(items, bytes);
}
