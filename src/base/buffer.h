/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffer.h - bytes from a peer, never more than a stated maximum.
 *
 * Appending past `limit` fails, and the failure is sticky: add many times,
 * check buffer_failed() once. data is not NUL-terminated; buffer_text() is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer {
	uint8_t *data;
	size_t size;
	size_t capacity;
	size_t limit;
	bool failed;
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_fini(struct buffer *buffer);
void buffer_append(struct buffer *buffer, const void *data, size_t size);
/* Drops `size` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t size);
bool buffer_failed(const struct buffer *buffer);
/* One read(2) of at most `max` bytes onto the end: bytes read, 0 at end of file, -errno; -EMSGSIZE past the limit. */
ssize_t buffer_read_some(struct buffer *buffer, int fd, size_t max);
/* Reads fd to its end: 0 or -errno. */
int buffer_read_all(struct buffer *buffer, int fd);
/* The bytes with a NUL behind them (borrowed, until the next change). */
const char *buffer_text(struct buffer *buffer);
