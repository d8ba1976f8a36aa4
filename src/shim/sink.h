/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.h - where one output stream ends: nowhere, a fifo, a file, a json-file log,
 * a program's pipe, or the last two at once.
 *
 * A fifo is held open for reading too, so that its reader may come and go. When
 * it is full, sink_is_full() stays true until the `drained` callback.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "shim/json_log.h"
#include "shim/loop.h"
#include "shim/stdio_uri.h"

struct sink {
	struct watch watch;
	struct loop *loop;
	int fd;		      /* -1: none */
	int keep_fd;	      /* the fifo's other side */
	struct json_log *log; /* borrowed */
	enum json_log_stream stream;
	char *pending; /* what a full fifo did not take */
	size_t pending_size;
	size_t pending_at;
	bool ending;
	int failed; /* errno of a write that lost output, until asked */
	void (*drained)(void *context);
	void *context;
};

void sink_init(struct sink *sink, struct loop *loop, void (*drained)(void *context), void *context);
/* Opens what the URI names, except json-file: give the log with sink_use_log(). */
int sink_open(struct sink *sink, const struct stdio_uri *uri, struct error *err);
void sink_use_log(struct sink *sink, struct json_log *log, enum json_log_stream stream);
/* The writing end of a program's pipe (not blocking), beside the log or instead; replaces an earlier one. */
void sink_use_pipe_take_fd(struct sink *sink, int fd);
/* Gives up on it. */
void sink_drop_pipe(struct sink *sink);
/* Only when it is not full; size at most SINK_WRITE_MAX. */
#define SINK_WRITE_MAX 16384
void sink_write(struct sink *sink, const char *data, size_t size);
bool sink_is_full(const struct sink *sink);
/* No more output: closes as soon as all is written. */
void sink_end(struct sink *sink);
void sink_fini(struct sink *sink);
