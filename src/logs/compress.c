/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/compress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define WINDOW_BITS 15
#define WITH_GZIP_HEADER 16
#define PIECE 65536

static int start(z_stream *stream, enum compress_form form, int level, struct error *err)
{
	int r = deflateInit2(stream, level, Z_DEFLATED, WINDOW_BITS + (form == COMPRESS_GZIP ? WITH_GZIP_HEADER : 0),
			     MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);

	return r == Z_OK ? 0 : error_set(err, ERR_INTERNAL, "compress: zlib error %d", r);
}

int compress_text(struct text *out, const char *data, size_t size, enum compress_form form, int level,
		  struct error *err)
{
	z_stream stream = { 0 };
	AUTO_FREE char *packed = NULL;
	int r;

	if (start(&stream, form, level, err) < 0)
		return -1;
	stream.avail_out = (uInt)deflateBound(&stream, size);
	packed = xmalloc(stream.avail_out);
	stream.next_in = (Bytef *)(uintptr_t)data;
	stream.avail_in = (uInt)size;
	stream.next_out = (Bytef *)packed;
	r = deflate(&stream, Z_FINISH);
	if (r == Z_STREAM_END)
		text_add_bytes(out, packed, stream.total_out);
	deflateEnd(&stream);
	return r == Z_STREAM_END ? 0 : error_set(err, ERR_INTERNAL, "compress: zlib error %d", r);
}

/* 0, or -errno. */
static int pump(z_stream *stream, int in_fd, int out_fd)
{
	char in[PIECE];
	char out[PIECE];
	ssize_t got;

	do {
		got = read_full(in_fd, in, sizeof(in));
		if (got < 0)
			return (int)got;
		stream->next_in = (Bytef *)in;
		stream->avail_in = (uInt)got;
		do {
			int r;

			stream->next_out = (Bytef *)out;
			stream->avail_out = sizeof(out);
			deflate(stream, got == 0 ? Z_FINISH : Z_NO_FLUSH);
			r = write_full(out_fd, out, sizeof(out) - stream->avail_out);
			if (r < 0)
				return r;
		} while (stream->avail_out == 0);
	} while (got > 0);
	return 0;
}

static int pack(int in_fd, const char *part, const char *whole, struct error *err)
{
	AUTO_CLOSE int out_fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	z_stream stream = { 0 };
	int r;

	if (out_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make %s", part);
	if (start(&stream, COMPRESS_GZIP, Z_BEST_SPEED, err) < 0)
		return -1;
	r = pump(&stream, in_fd, out_fd);
	deflateEnd(&stream);
	if (r == 0 && rename(part, whole) < 0)
		r = -errno;
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", whole) : 0;
}

int compress_file(const char *path, struct error *err)
{
	AUTO_CLOSE int in_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_FREE char *whole = xasprintf("%s.gz", path);
	AUTO_FREE char *part = xasprintf("%s.gz.new", path);

	if (in_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", path);
	if (pack(in_fd, part, whole, err) < 0) {
		unlink(part);
		return -1;
	}
	if (unlink(path) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "remove %s", path);
	return 0;
}

int expand_file(int in_fd, int out_fd, struct error *err)
{
	char out[PIECE];
	gzFile file = gzdopen(dup(in_fd), "r");
	int got;
	int r = 0;

	if (!file)
		return error_set(err, ERR_INTERNAL, "open a compressed log");
	while (r == 0 && (got = gzread(file, out, sizeof(out))) > 0)
		r = write_full(out_fd, out, (size_t)got);
	gzclose_r(file);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "expand a compressed log") : 0;
}
