/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define READ_STEP 65536

void buffer_init(struct buffer *buffer, size_t limit)
{
	*buffer = (struct buffer){ .limit = limit };
}

void buffer_fini(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ .limit = buffer->limit };
}

/* Makes room for size more bytes and a NUL, or sets failed. */
static bool reserve(struct buffer *buffer, size_t size)
{
	if (buffer->failed || size > buffer->limit - buffer->size) {
		buffer->failed = true;
		return false;
	}
	buffer->data = xgrow(buffer->data, &buffer->capacity, buffer->size + size + 1, 1);
	return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
	if (!reserve(buffer, size) || size == 0)
		return;
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	if (size > buffer->size)
		size = buffer->size;
	buffer->size -= size;
	if (buffer->size)
		memmove(buffer->data, buffer->data + size, buffer->size);
}

bool buffer_failed(const struct buffer *buffer)
{
	return buffer->failed;
}

ssize_t buffer_read_some(struct buffer *buffer, int fd, size_t max)
{
	ssize_t got;
	char probe;

	if (max > buffer->limit - buffer->size)
		max = buffer->limit - buffer->size;
	if (max == 0) {
		do
			got = read(fd, &probe, 1);
		while (got < 0 && errno == EINTR);
		if (got > 0)
			buffer->failed = true;
		return got > 0 ? -EMSGSIZE : got < 0 ? -errno : 0;
	}
	if (!reserve(buffer, max))
		return -EMSGSIZE;
	do
		got = read(fd, buffer->data + buffer->size, max);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	buffer->size += (size_t)got;
	return got;
}

int buffer_read_all(struct buffer *buffer, int fd)
{
	ssize_t got;

	do
		got = buffer_read_some(buffer, fd, READ_STEP);
	while (got > 0);
	return (int)got;
}

const char *buffer_text(struct buffer *buffer)
{
	buffer->data = xgrow(buffer->data, &buffer->capacity, buffer->size + 1, 1);
	buffer->data[buffer->size] = '\0';
	return (const char *)buffer->data;
}
