/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the hours between start and exit: our stdin, stdout and stderr
 * joined to a hijacked stream of the engine (attach, exec), signals passed on,
 * the window's size kept, detach keys watched.
 *
 * One poll() loop, no threads. A stream without a terminal carries frames
 * {stream, 0, 0, 0, length BE}; with one it is raw.
 */
#pragma once

#include "cli/client.h"

struct session {
	struct client *client;	       /* for signals and sizes */
	struct local_response *stream; /* hijacked (borrowed) */
	const char *resize_path;       /* "/containers/ID", "/exec/ID" */
	const char *kill_path;	       /* "/containers/ID" to pass signals on, or NULL */
	const char *detach_keys;       /* NULL: ctrl-p,ctrl-q */
	bool tty;
	bool use_stdin;
	int signal_fd;
};

enum session_end {
	SESSION_FAILED = -1,
	SESSION_ENDED, /* the stream is over */
	SESSION_DETACHED
};

/* Signals are held from here on, so that none is lost between start and run. */
void session_open(struct session *session);
/* Raw mode, first size, then the loop. */
enum session_end session_run(struct session *session, struct error *err);
void session_close(struct session *session);

/* "ctrl-p,ctrl-q" to bytes; at most `max`, the number returned, or -1. */
int session_parse_keys(uint8_t *out_keys, int max, const char *text, struct error *err);

/* Splits a stream of frames. */
struct session_frames {
	uint8_t header[8];
	size_t header_size;
	uint32_t left;
};

/* Takes bytes of one frame: *out_stream (1, 2, 3), *out_size of data; *out_used bytes are consumed. 0 or -1. */
int session_frame(struct session_frames *frames, const uint8_t *data, size_t size, size_t *out_used, int *out_stream,
		  const uint8_t **out_data, size_t *out_size, struct error *err);
/* Copies a framed or raw response to stdout and stderr until its end: logs. */
int session_copy(struct local_response *response, bool raw, struct error *err);
