/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: ISA-L's output depends on how its input is cut into calls, so
 * input is gathered into blocks of one size first.
 */
#include "archive/deflate.h"

#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

#define BLOCK_SIZE (512 * 1024)
#define OUT_SIZE (256 * 1024)
#define LEVEL 2

struct deflate {
	struct isal_zstream stream;
	deflate_sink sink;
	void *arg;
	size_t filled; /* of block */
	uint8_t block[BLOCK_SIZE];
	uint8_t out[OUT_SIZE];
	uint8_t level_buffer[ISAL_DEF_LVL2_DEFAULT];
};

struct deflate *deflate_new(deflate_sink sink, void *arg)
{
	struct deflate *deflate = xcalloc(1, sizeof(*deflate));

	isal_deflate_init(&deflate->stream);
	deflate->stream.level = LEVEL;
	deflate->stream.level_buf = deflate->level_buffer;
	deflate->stream.level_buf_size = sizeof(deflate->level_buffer);
	deflate->stream.gzip_flag = IGZIP_GZIP;
	deflate->sink = sink;
	deflate->arg = arg;
	return deflate;
}

void deflate_free(struct deflate *deflate)
{
	free(deflate);
}

static int flush_block(struct deflate *deflate, bool last, struct error *err)
{
	struct isal_zstream *stream = &deflate->stream;

	stream->next_in = deflate->block;
	stream->avail_in = (uint32_t)deflate->filled;
	stream->end_of_stream = last;
	deflate->filled = 0;
	do {
		size_t got;

		stream->next_out = deflate->out;
		stream->avail_out = OUT_SIZE;
		if (isal_deflate(stream) != COMP_OK)
			return error_set(err, ERR_INTERNAL, "gzip: cannot compress");
		got = OUT_SIZE - stream->avail_out;
		if (got > 0 && deflate->sink(deflate->arg, deflate->out, got, err) < 0)
			return -1;
	} while (stream->avail_in > 0 || stream->avail_out == 0 ||
		 (last && stream->internal_state.state != ZSTATE_END));
	return 0;
}

int deflate_write(struct deflate *deflate, const void *data, size_t size, struct error *err)
{
	const uint8_t *bytes = data;

	while (size > 0) {
		size_t room = BLOCK_SIZE - deflate->filled;
		size_t part = size < room ? size : room;

		memcpy(deflate->block + deflate->filled, bytes, part);
		deflate->filled += part;
		bytes += part;
		size -= part;
		if (deflate->filled == BLOCK_SIZE && flush_block(deflate, false, err) < 0)
			return -1;
	}
	return 0;
}

int deflate_finish(struct deflate *deflate, struct error *err)
{
	return flush_block(deflate, true, err);
}
