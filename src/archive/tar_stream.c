/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar_stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "archive/tar_writer.h"
#include "base/alloc.h"
#include "base/cleanup.h"

#define BLOCK_SIZE (256 * 1024)

void tar_stream_init(struct tar_stream *stream, int (*put)(void *arg, const void *data, size_t size, struct error *err),
		     void *arg)
{
	*stream = (struct tar_stream){ .put = put, .arg = arg };
	map_init(&stream->names, NULL);
}

void tar_stream_fini(struct tar_stream *stream)
{
	map_fini(&stream->names);
}

int tar_stream_begin(struct tar_stream *stream, const char *path, uint64_t size, struct error *err)
{
	bool is_folder = text_has_suffix(path, "/");
	const struct tar_entry entry = { .path = path,
					 .type = is_folder ? TAR_DIRECTORY : TAR_FILE,
					 .mode = is_folder ? 0755 : 0644,
					 .size = is_folder ? 0 : size };
	AUTO(text_fini) struct text header = { 0 };

	if (map_get(&stream->names, path))
		return 0;
	map_set(&stream->names, path, stream);
	tar_add_header(&header, &entry);
	return stream->put(stream->arg, header.data, header.size, err) < 0 ? -1 : !is_folder;
}

int tar_stream_end_file(struct tar_stream *stream, uint64_t size, struct error *err)
{
	static const uint8_t zeros[TAR_BLOCK];
	size_t padding = tar_padding(size);

	return padding ? stream->put(stream->arg, zeros, padding, err) : 0;
}

int tar_stream_text(struct tar_stream *stream, const char *path, const char *text, struct error *err)
{
	size_t size = strlen(text);
	int r = tar_stream_begin(stream, path, size, err);

	if (r <= 0)
		return r;
	return stream->put(stream->arg, text, size, err) < 0 ? -1 : tar_stream_end_file(stream, size, err);
}

static int copy_bytes(struct tar_stream *stream, int fd, uint64_t size, struct error *err)
{
	AUTO_FREE char *block = xmalloc(BLOCK_SIZE);

	while (size > 0) {
		ssize_t got = read(fd, block, size < BLOCK_SIZE ? size : BLOCK_SIZE);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return error_set_errno(err, ERR_INTERNAL, got < 0 ? errno : EIO, "read a blob");
		if (stream->put(stream->arg, block, (size_t)got, err) < 0)
			return -1;
		size -= (uint64_t)got;
	}
	return 0;
}

int tar_stream_copy(struct tar_stream *stream, const char *path, int fd, uint64_t size, struct error *err)
{
	int r = tar_stream_begin(stream, path, size, err);

	if (r <= 0)
		return r;
	return copy_bytes(stream, fd, size, err) < 0 ? -1 : tar_stream_end_file(stream, size, err);
}

int tar_stream_end(struct tar_stream *stream, struct error *err)
{
	static const uint8_t zeros[TAR_END_SIZE];

	return stream->put(stream->arg, zeros, sizeof(zeros), err);
}
