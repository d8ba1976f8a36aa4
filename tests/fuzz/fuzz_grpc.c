/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's bytes on a gRPC connection; the first byte says which role is ours. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "rpc/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct note {
	char *text;
};

static const struct proto_field note_fields[] = {
	PROTO_TEXT(1, struct note, text),
	PROTO_END,
};

/* Answers each message with itself, and fails with a detail where there is none. */
static int echo(void *context, struct grpc_stream *stream, struct error *err)
{
	int r;

	(void)context;
	for (;;) {
		struct note note = { 0 };

		r = grpc_receive(stream, &note, note_fields, err);
		if (r > 0)
			r = grpc_send(stream, &note, note_fields, err) < 0 ? -1 : 1;
		proto_free(&note, note_fields);
		if (r <= 0)
			break;
	}
	grpc_add_detail(stream, "type", "{}", 2);
	return r;
}

static const struct grpc_method methods[] = {
	{ "/t.T/Echo", echo },
	{ NULL, NULL },
};

static void *call(void *arg)
{
	AUTO(error_clear) struct error err = { 0 };
	const struct grpc_call options = { .path = "/t.T/Echo", .cancel_fd = -1 };
	struct note request = { 0 };
	struct note response = { 0 };
	const struct grpc_message message = { &request, note_fields, &response, note_fields };

	if (grpc_exchange(arg, &options, &message, &err) == 0)
		proto_free(&response, note_fields);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	bool server = size > 0 && data[0] == 's';
	struct grpc_options options = { .methods = server ? methods : NULL };
	struct grpc_connection *connection;
	pthread_t thread;
	bool calling = false;
	int fds[2];

	/* All of it must fit into the socket: nobody reads while we write. */
	if (size < 1 || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return 0;
	options.fd = fds[0];
	if (grpc_connection_new(&connection, &options, &err) == 0) {
		if (!server)
			calling = thread_start(&thread, "call", call, connection, &err) == 0;
		if (write_full(fds[1], data + 1, size - 1) < 0)
			abort();
		shutdown(fds[1], SHUT_WR);
		grpc_connection_run(connection);
		if (calling)
			pthread_join(thread, NULL);
		grpc_connection_free(connection);
	}
	close(fds[0]);
	close(fds[1]);
	return 0;
}
