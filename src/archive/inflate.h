/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate.h - a layer's bytes, decompressed as they come: gzip (all members),
 * zstd (all frames) or plain, told apart by their first bytes.
 *
 * The invariant: no more than `limit_bytes` ever come out, so a bomb is refused
 * after that many bytes, not after the disk is full. Two ways to use it: give
 * input and take pieces through a sink (inflate_write), or move a window over
 * both sides (inflate_step). inflate_finish() tells a whole stream from a cut
 * one. Broken or cut input is ERR_INVALID, too much output ERR_EXHAUSTED,
 * bzip2 and xz ERR_UNSUPPORTED. One thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct inflate;

enum inflate_format {
	INFLATE_UNKNOWN, /* too few bytes so far */
	INFLATE_PLAIN,
	INFLATE_GZIP,
	INFLATE_ZSTD,
};

#define INFLATE_NO_LIMIT UINT64_MAX

/* Takes one piece of output; negative with err filled ends the stream. */
typedef int (*inflate_sink)(void *arg, const void *data, size_t size, struct error *err);

struct inflate_window {
	const uint8_t *in;
	size_t in_size;
	uint8_t *out;
	size_t out_size;
};

struct inflate *inflate_new(uint64_t limit_bytes);
void inflate_free(struct inflate *inflate);
DEFINE_AUTO(struct inflate, inflate_free)

/* bzip2 and xz go through as they are: the reader behind undoes them, and bounds what comes out. */
void inflate_pass_foreign(struct inflate *inflate);

/* Consumes all of data, handing pieces of at most 256 KiB to the sink. */
int inflate_write(struct inflate *inflate, const void *data, size_t size, inflate_sink sink, void *arg,
		  struct error *err);

/*
 * Moves in and out forward by what was used and made. Call again while it moves
 * anything; in is used up before it asks for more (returns with in_size 0).
 */
int inflate_step(struct inflate *inflate, struct inflate_window *window, struct error *err);

/* After the last input, with all output taken: fails if the stream was cut short. */
int inflate_finish(struct inflate *inflate, struct error *err);

enum inflate_format inflate_format(const struct inflate *inflate);
/* Bytes that came out so far. */
uint64_t inflate_total(const struct inflate *inflate);
