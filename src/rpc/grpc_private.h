/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_private.h - what grpc_connection.c (bytes and frames), grpc_stream.c
 * (messages) and grpc_status.c (how calls end) share.
 *
 * The mutex of a connection guards its session and the members of its streams
 * marked below. A stream is freed when both sides let go of it: HTTP/2 (`closed`)
 * and its user (`left`). Whoever waits for a stream polls its wake_fd.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/thread.h"
#include "rpc/grpc.h"

#define GRPC_FRAME_HEADER 5
#define GRPC_OUTPUT_MAX (256u * 1024)
#define GRPC_STATUS_UNKNOWN 2
#define GRPC_STATUS_UNIMPLEMENTED 12

struct grpc_connection {
	struct grpc_options options;
	nghttp2_session *session;
	struct mutex mutex;
	struct condition idle; /* a stream was freed */
	struct list streams;
	size_t stream_count;
	int wake_fd; /* eventfd: something is to be sent, or to stop */
	bool stopping;
	bool over;
	struct text output; /* taken from the session, not sent yet */
	size_t output_sent;
};

struct grpc_stream {
	struct list_node node;
	struct grpc_connection *connection;
	int32_t id;
	const struct grpc_method *method; /* server */
	struct grpc_metadata metadata;	  /* of the request, on a server */
	char *path;
	size_t header_bytes;
	int wake_fd;   /* eventfd: state below has changed */
	int cancel_fd; /* server: eventfd, never read; client: the caller's */

	/* guarded by the connection's mutex */
	bool started;	     /* a handler has it, or a client made it */
	bool peer_ended;     /* all was received */
	bool closed;	     /* HTTP/2 is done with it */
	bool left;	     /* its user is */
	bool ended;	     /* nothing more is added to output */
	bool submitted;	     /* server: headers of the answer */
	struct buffer input; /* received, not taken */
	struct text output;
	size_t output_sent;
	int status; /* client: of the trailers, -1: not seen; server: what to send */
	char *status_message;

	/* the user's own */
	struct buffer partial; /* of the message that is being read */
	size_t taken;	       /* of partial: the message given out last */
	struct text details;   /* encoded fields of google.rpc.Status */
};

struct grpc_stream *grpc_stream_new_locked(struct grpc_connection *connection, int32_t id);
void grpc_stream_wake(struct grpc_stream *stream);
/* Frees it if nobody needs it. */
void grpc_stream_release_locked(struct grpc_stream *stream);
void grpc_connection_wake(struct grpc_connection *connection);
/* Submits the headers of an answer, once. */
void grpc_answer_locked(struct grpc_stream *stream);
/* The thread of a call on a server. */
void *grpc_serve(void *arg);

/* grpc_status.c */
int grpc_status_of(enum error_kind kind);
enum error_kind grpc_kind_of(int status);
/* As grpc-message wants it, and back. Yours. */
char *grpc_percent_encode(const char *text);
char *grpc_percent_decode(const char *text);
