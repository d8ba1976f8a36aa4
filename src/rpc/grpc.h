/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc.h - gRPC over one HTTP/2 connection without TLS, as its server or as its
 * client (decision 0070).
 *
 * grpc_connection_run() belongs to one thread and moves bytes until the peer is
 * gone. Each call of a server runs its handler in a thread of its own, blocking
 * as long as it likes; a client's calls may come from any thread. One thread at
 * a time uses a stream. A message is at most GRPC_MESSAGE_MAX bytes; what the
 * peer sends ahead of the reader is bounded by HTTP/2's windows.
 *
 * Wire: docs of grpc, PROTOCOL-HTTP2; nothing is compressed.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "rpc/proto.h"

#define GRPC_MESSAGE_MAX (16u * 1024 * 1024)

struct grpc_connection;
struct grpc_stream;

/* Headers that belong to the application; a name may come again. Names are lower case. */
struct grpc_metadata {
	struct text_list names;
	struct text_list values;
};
void grpc_metadata_add(struct grpc_metadata *metadata, const char *name, const char *value);
void grpc_metadata_fini(struct grpc_metadata *metadata);

/* Answers with grpc_send() as often as the method has it; 0, or the error that the call ends with. */
typedef int (*grpc_handler)(void *context, struct grpc_stream *stream, struct error *err);

struct grpc_method {
	const char *path; /* "/package.Service/Method"; NULL ends the table */
	grpc_handler handler;
};

struct grpc_options {
	int fd;		   /* stream socket (borrowed) */
	const void *early; /* read from it before (borrowed during new) */
	size_t early_size;
	const struct grpc_method *methods; /* server; NULL: client (borrowed) */
	void *context;
};

int grpc_connection_new(struct grpc_connection **out_connection, const struct grpc_options *options, struct error *err);
/* Returns when the connection is over: every stream has failed then. */
void grpc_connection_run(struct grpc_connection *connection);
/* Any thread: makes run() return soon. */
void grpc_connection_stop(struct grpc_connection *connection);
/* After run(): waits for the handlers and for the client's streams to be freed. */
void grpc_connection_free(struct grpc_connection *connection);
DEFINE_AUTO(struct grpc_connection, grpc_connection_free)

/* ---- client ---- */

struct grpc_call {
	const char *path;
	const struct grpc_metadata *metadata; /* may be NULL */
	int cancel_fd;			      /* readable: whoever waits gives up; -1: none */
};
int grpc_open(struct grpc_stream **out_stream, struct grpc_connection *connection, const struct grpc_call *call,
	      struct error *err);
/* Nothing more will be sent. */
void grpc_send_end(struct grpc_stream *stream);
/* Reads and drops what is left, then how the call ended: 0, or its error. */
int grpc_finish(struct grpc_stream *stream, struct error *err);
/* Also ends a call that is under way. */
void grpc_stream_free(struct grpc_stream *stream);
DEFINE_AUTO(struct grpc_stream, grpc_stream_free)

struct grpc_message {
	const void *request;
	const struct proto_field *request_fields;
	void *response; /* zeroed; filled on success */
	const struct proto_field *response_fields;
};
/* One message there, one back. */
int grpc_exchange(struct grpc_connection *connection, const struct grpc_call *call, const struct grpc_message *message,
		  struct error *err);

/* ---- both ---- */

int grpc_send(struct grpc_stream *stream, const void *message, const struct proto_field *fields, struct error *err);
int grpc_send_bytes(struct grpc_stream *stream, const void *data, size_t size, struct error *err);
/* 1 and a message, decoded into a zeroed struct; 0: the peer has sent all; a client gets the call's error. */
int grpc_receive(struct grpc_stream *stream, void *message, const struct proto_field *fields, struct error *err);
/* The same, not decoded: bytes (borrowed) until the next call. */
int grpc_receive_bytes(struct grpc_stream *stream, struct proto_bytes *out_bytes, struct error *err);

/* For who waits for other things as well: 2 if there is no message now, then poll grpc_wake_fd(). */
int grpc_try_receive_bytes(struct grpc_stream *stream, struct proto_bytes *out_bytes, struct error *err);
/* Readable when the stream may have news (borrowed): read eight bytes from it, then try again. */
int grpc_wake_fd(const struct grpc_stream *stream);

/* ---- server ---- */

/* The index-th value of a header of the request, NULL behind the last. */
const char *grpc_metadata_at(const struct grpc_stream *stream, const char *name, size_t index);
/* Readable once the caller does not want the answer any more. Borrowed. */
int grpc_cancel_fd(const struct grpc_stream *stream);
/* More about the error the handler is going to return: a google.protobuf.Any. */
void grpc_add_detail(struct grpc_stream *stream, const char *type_url, const void *data, size_t size);
