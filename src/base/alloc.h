/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc.h - memory that is there, or the program ends.
 *
 * Out of memory aborts (docs/decisions/0001-out-of-memory-aborts.md). A size
 * that a peer chooses must not come here unchecked: read through struct buffer.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size) __attribute__((returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((returns_nonnull));
void *xrealloc(void *pointer, size_t size) __attribute__((returns_nonnull));
void *xmemdup(const void *data, size_t size) __attribute__((returns_nonnull));

/* NULL gives NULL. */
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
char *xvasprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0), returns_nonnull));

/*
 * Makes room for `needed` items in a growing array and returns its place:
 * items = xgrow(items, &capacity, count + 1, sizeof(*items)).
 */
void *xgrow(void *items, size_t *capacity, size_t needed, size_t item_size);
