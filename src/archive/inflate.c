/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the first MAGIC_SIZE bytes are held back until they name the
 * format; then they go through the decoder before anything newer does. A gzip
 * stream may have several members (pigz, eStargz) and trailing zeros (tape
 * padding); between members `member_open` is false.
 */
#include "archive/inflate.h"

#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"

#define MAGIC_SIZE 6
#define PIECE_SIZE (256 * 1024)
/* 128 MiB: what `zstd --long=27` needs; more would let a peer choose our memory. */
#define ZSTD_WINDOW_LOG_MAX 27

struct inflate {
	bool pass_foreign; /* bzip2 and xz are somebody else's */
	enum inflate_format format;
	uint64_t limit;
	uint64_t total;
	uint8_t magic[MAGIC_SIZE];
	size_t magic_size;  /* bytes held in magic */
	size_t magic_taken; /* of them, how many the decoder has used */
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	bool member_open; /* gzip: inside a member; zstd: inside a frame */
	bool any_member;
	bool padding; /* gzip: zeros behind the last member; nothing else may follow */
	bool stalled; /* the decoder filled the whole window: it may hold more output */
	uint8_t *piece;
};

struct inflate *inflate_new(uint64_t limit_bytes)
{
	struct inflate *inflate = xcalloc(1, sizeof(*inflate));

	inflate->limit = limit_bytes;
	return inflate;
}

void inflate_free(struct inflate *inflate)
{
	if (!inflate)
		return;
	ZSTD_freeDStream(inflate->zstd);
	free(inflate->gzip);
	free(inflate->piece);
	free(inflate);
}

enum inflate_format inflate_format(const struct inflate *inflate)
{
	return inflate->format;
}

uint64_t inflate_total(const struct inflate *inflate)
{
	return inflate->total;
}

/* ---- which format ---- */

static bool starts_with(const struct inflate *inflate, const char *magic, size_t size)
{
	return inflate->magic_size >= size && memcmp(inflate->magic, magic, size) == 0;
}

/* RFC 8878 3.1.2: skippable frames are 0x184D2A50 to 5F, little endian. */
static bool starts_with_skippable_frame(const struct inflate *inflate)
{
	return inflate->magic_size >= 4 && (inflate->magic[0] & 0xf0) == 0x50 &&
	       memcmp(inflate->magic + 1, "\x2a\x4d\x18", 3) == 0;
}

static void open_gzip(struct inflate *inflate)
{
	inflate->format = INFLATE_GZIP;
	inflate->gzip = xmalloc(sizeof(*inflate->gzip));
	isal_inflate_init(inflate->gzip);
	inflate->gzip->crc_flag = ISAL_GZIP;
}

static int open_zstd(struct inflate *inflate, struct error *err)
{
	inflate->format = INFLATE_ZSTD;
	inflate->zstd = ZSTD_createDStream();
	if (!inflate->zstd)
		return error_set(err, ERR_INTERNAL, "zstd: cannot start a decoder");
	ZSTD_DCtx_setParameter(inflate->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	return 0;
}

void inflate_pass_foreign(struct inflate *inflate)
{
	inflate->pass_foreign = true;
}

static int choose_format(struct inflate *inflate, struct error *err)
{
	if (starts_with(inflate, "\x1f\x8b", 2)) {
		open_gzip(inflate);
		return 0;
	}
	if (starts_with(inflate, "\x28\xb5\x2f\xfd", 4) || starts_with_skippable_frame(inflate))
		return open_zstd(inflate, err);
	if (starts_with(inflate, "BZh", 3) && !inflate->pass_foreign)
		return error_set(err, ERR_UNSUPPORTED, "bzip2 compression is not supported");
	if (starts_with(inflate, "\xfd\x37zXZ", 5) && !inflate->pass_foreign)
		return error_set(err, ERR_UNSUPPORTED, "xz compression is not supported");
	inflate->format = INFLATE_PLAIN;
	return 0;
}

static int read_magic(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	while (inflate->magic_size < MAGIC_SIZE && window->in_size > 0) {
		inflate->magic[inflate->magic_size++] = *window->in++;
		window->in_size--;
	}
	if (inflate->magic_size < MAGIC_SIZE)
		return 0;
	return choose_format(inflate, err);
}

/* ---- one decoder call over one window ---- */

static const char *gzip_problem(int result)
{
	switch (result) {
	case ISAL_INVALID_WRAPPER:
		return "bad header";
	case ISAL_UNSUPPORTED_METHOD:
		return "unknown compression method";
	case ISAL_INCORRECT_CHECKSUM:
		return "checksum mismatch";
	default:
		return "damaged data";
	}
}

static void move_window(struct inflate_window *window, size_t used, size_t made)
{
	window->in += used;
	window->in_size -= used;
	window->out += made;
	window->out_size -= made;
}

static uint32_t clamp_u32(size_t size)
{
	return size > INT32_MAX ? INT32_MAX : (uint32_t)size;
}

/* Behind a member: another one, zeros, or the end. */
static int between_members(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	while (window->in_size > 0 && *window->in == 0) {
		inflate->padding = true;
		move_window(window, 1, 0);
	}
	if (window->in_size == 0)
		return 0;
	if (inflate->padding)
		return error_set(err, ERR_INVALID, "gzip: data behind the end of the stream");
	isal_inflate_reset(inflate->gzip);
	inflate->gzip->crc_flag = ISAL_GZIP;
	inflate->member_open = true;
	return 0;
}

static int decode_gzip(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	struct inflate_state *state = inflate->gzip;
	uint32_t in_size;
	uint32_t out_size = clamp_u32(window->out_size);
	int result;

	if (!inflate->member_open && inflate->any_member) {
		if (between_members(inflate, window, err) < 0)
			return -1;
		if (!inflate->member_open)
			return 0;
	}
	inflate->member_open = true;
	inflate->any_member = true;
	in_size = clamp_u32(window->in_size);
	state->next_in = (uint8_t *)window->in;
	state->avail_in = in_size;
	state->next_out = window->out;
	state->avail_out = out_size;
	result = isal_inflate(state);
	if (result < 0 || result == ISAL_NEED_DICT)
		return error_set(err, ERR_INVALID, "gzip: %s", gzip_problem(result));
	move_window(window, in_size - state->avail_in, out_size - state->avail_out);
	if (state->block_state == ISAL_BLOCK_FINISH)
		inflate->member_open = false;
	return 0;
}

static int decode_zstd(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	ZSTD_inBuffer in = { window->in, window->in_size, 0 };
	ZSTD_outBuffer out = { window->out, window->out_size, 0 };
	size_t result = ZSTD_decompressStream(inflate->zstd, &out, &in);

	if (ZSTD_isError(result))
		return error_set(err, ERR_INVALID, "zstd: %s", ZSTD_getErrorName(result));
	if (in.pos > 0 || out.pos > 0)
		inflate->member_open = result != 0;
	move_window(window, in.pos, out.pos);
	return 0;
}

static void copy_plain(struct inflate_window *window)
{
	size_t size = window->in_size < window->out_size ? window->in_size : window->out_size;

	if (size == 0)
		return;
	memcpy(window->out, window->in, size);
	move_window(window, size, size);
}

static int decode(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	switch (inflate->format) {
	case INFLATE_GZIP:
		return decode_gzip(inflate, window, err);
	case INFLATE_ZSTD:
		return decode_zstd(inflate, window, err);
	default:
		copy_plain(window);
		return 0;
	}
}

static int account(struct inflate *inflate, size_t made, struct error *err)
{
	if (made > inflate->limit - inflate->total)
		return error_set(err, ERR_EXHAUSTED, "decompresses to more than the limit of %llu bytes",
				 (unsigned long long)inflate->limit);
	inflate->total += made;
	return 0;
}

/* Runs the decoder over the held-back magic, if any of it is left, else over the caller's input. */
static int decode_once(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	struct inflate_window held = { inflate->magic + inflate->magic_taken,
				       inflate->magic_size - inflate->magic_taken, window->out, window->out_size };
	size_t out_before = window->out_size;

	if (held.in_size == 0) {
		if (decode(inflate, window, err) < 0)
			return -1;
	} else {
		if (decode(inflate, &held, err) < 0)
			return -1;
		inflate->magic_taken = inflate->magic_size - held.in_size;
		window->out = held.out;
		window->out_size = held.out_size;
	}
	return account(inflate, out_before - window->out_size, err);
}

static size_t pending_input(const struct inflate *inflate, const struct inflate_window *window)
{
	return inflate->magic_size - inflate->magic_taken + window->in_size;
}

int inflate_step(struct inflate *inflate, struct inflate_window *window, struct error *err)
{
	if (inflate->format == INFLATE_UNKNOWN && read_magic(inflate, window, err) < 0)
		return -1;
	if (inflate->format == INFLATE_UNKNOWN)
		return 0;
	/* A decoder keeps output back only when it has filled the window. */
	while (window->out_size > 0 && (inflate->stalled || pending_input(inflate, window) > 0)) {
		inflate->stalled = false;
		if (decode_once(inflate, window, err) < 0)
			return -1;
		if (window->out_size == 0)
			inflate->stalled = true;
	}
	return 0;
}

int inflate_write(struct inflate *inflate, const void *data, size_t size, inflate_sink sink, void *arg,
		  struct error *err)
{
	struct inflate_window window = { data, size, NULL, 0 };

	if (!inflate->piece)
		inflate->piece = xmalloc(PIECE_SIZE);
	do {
		window.out = inflate->piece;
		window.out_size = PIECE_SIZE;
		if (inflate_step(inflate, &window, err) < 0)
			return -1;
		if (window.out_size < PIECE_SIZE && sink(arg, inflate->piece, PIECE_SIZE - window.out_size, err) < 0)
			return -1;
	} while (inflate->stalled);
	return 0;
}

int inflate_finish(struct inflate *inflate, struct error *err)
{
	if (inflate->format == INFLATE_UNKNOWN && inflate->magic_size > 0)
		return error_set(err, ERR_INVALID, "cut short after %zu bytes", inflate->magic_size);
	if (inflate->member_open || inflate->magic_taken < inflate->magic_size)
		return error_set(err, ERR_INVALID, "%s: cut short after %llu bytes of output",
				 inflate->format == INFLATE_GZIP ? "gzip" : "zstd", (unsigned long long)inflate->total);
	return 0;
}
