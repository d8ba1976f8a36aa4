/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deflate.h - a layer's bytes to gzip, as they come. The same bytes always give
 * the same stream (no time, no name in the header), whatever the pieces.
 * One thread at a time.
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

struct deflate;

/* Takes one piece of output; negative with err filled ends the stream. */
typedef int (*deflate_sink)(void *arg, const void *data, size_t size, struct error *err);

struct deflate *deflate_new(deflate_sink sink, void *arg);
void deflate_free(struct deflate *deflate);
DEFINE_AUTO(struct deflate, deflate_free)

int deflate_write(struct deflate *deflate, const void *data, size_t size, struct error *err);
/* After the last byte: what is left, and the trailer. */
int deflate_finish(struct deflate *deflate, struct error *err);
