/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ttrpc_server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"

#define READ_SIZE 16384
#define UNREAD_MAX (8 * 1024 * 1024)
#define KEEP_MAX 65536 /* buffers beyond this are given back when empty */
#define CODE_EXHAUSTED 8

struct ttrpc_connection {
	int fd;
	struct buffer input;
	struct text output;
	size_t sent;   /* of output */
	uint64_t skip; /* bytes left of a frame that is too large */
	uint32_t last_stream_id;
};

struct ttrpc_connection *ttrpc_connection_new_take_fd(int fd)
{
	struct ttrpc_connection *connection = xcalloc(1, sizeof(*connection));

	connection->fd = fd;
	fd_set_nonblocking(fd, true);
	buffer_init(&connection->input, TTRPC_HEADER_SIZE + TTRPC_DATA_MAX + READ_SIZE);
	return connection;
}

void ttrpc_connection_free(struct ttrpc_connection *connection)
{
	if (!connection)
		return;
	close(connection->fd);
	buffer_fini(&connection->input);
	text_fini(&connection->output);
	free(connection);
}

int ttrpc_connection_fd(const struct ttrpc_connection *connection)
{
	return connection->fd;
}

bool ttrpc_connection_wants_write(const struct ttrpc_connection *connection)
{
	return connection->output.size > connection->sent;
}

static int handle_request(struct ttrpc_connection *connection, const struct ttrpc_header *header, const uint8_t *data,
			  ttrpc_handler *handler, void *context, struct error *err)
{
	struct ttrpc_request request = { 0 };

	/* ttrpc: a client's ids are odd and strictly increasing */
	if (header->stream_id % 2 == 0 || header->stream_id <= connection->last_stream_id)
		return error_set(err, ERR_INVALID, "stream id %u out of order", header->stream_id);
	connection->last_stream_id = header->stream_id;
	if (proto_decode(&request, ttrpc_request_fields, data, header->size, err) < 0)
		return error_prefix(err, "request");
	handler(context, connection, header->stream_id, &request);
	proto_free(&request, ttrpc_request_fields);
	return 0;
}

static void refuse_large(struct ttrpc_connection *connection, const struct ttrpc_header *header)
{
	AUTO(error_clear) struct error error = { 0 };

	error_set(&error, ERR_EXHAUSTED, "message of %u bytes, the most is %d", header->size, TTRPC_DATA_MAX);
	ttrpc_reply_error(connection, header->stream_id, CODE_EXHAUSTED, &error);
	connection->skip = (uint64_t)header->size + TTRPC_HEADER_SIZE;
}

static void skip_input(struct ttrpc_connection *connection)
{
	size_t size = connection->input.size;

	if (connection->skip < size)
		size = (size_t)connection->skip;
	buffer_consume(&connection->input, size);
	connection->skip -= size;
}

/* Takes one frame off the input. Returns 1 if there was one. */
static int handle_frame(struct ttrpc_connection *connection, ttrpc_handler *handler, void *context, struct error *err)
{
	struct ttrpc_header header;
	int r = 0;

	skip_input(connection);
	if (connection->input.size < TTRPC_HEADER_SIZE)
		return 0;
	ttrpc_header_parse(connection->input.data, &header);
	if (header.size > TTRPC_DATA_MAX) {
		refuse_large(connection, &header);
		return 1;
	}
	if (connection->input.size < TTRPC_HEADER_SIZE + header.size)
		return 0;
	/* Streams are not ours: requests only, other types are ignored as the protocol says. */
	if (header.type == TTRPC_REQUEST)
		r = handle_request(connection, &header, connection->input.data + TTRPC_HEADER_SIZE, handler, context,
				   err);
	buffer_consume(&connection->input, TTRPC_HEADER_SIZE + header.size);
	return r < 0 ? -1 : 1;
}

static void give_back(struct ttrpc_connection *connection)
{
	size_t limit = connection->input.limit;

	if (connection->input.size || connection->input.capacity <= KEEP_MAX)
		return;
	buffer_fini(&connection->input);
	buffer_init(&connection->input, limit);
}

int ttrpc_connection_read(struct ttrpc_connection *connection, ttrpc_handler *handler, void *context, struct error *err)
{
	ssize_t got = buffer_read_some(&connection->input, connection->fd, READ_SIZE);
	int r = 1;

	if (got == -EAGAIN || got == -EINTR)
		return 1;
	if (got < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)got, "read request");
	if (got == 0)
		return 0;
	while (r > 0)
		r = handle_frame(connection, handler, context, err);
	give_back(connection);
	return r < 0 ? -1 : 1;
}

int ttrpc_connection_write(struct ttrpc_connection *connection, struct error *err)
{
	while (connection->sent < connection->output.size) {
		ssize_t sent = send(connection->fd, connection->output.data + connection->sent,
				    connection->output.size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			return error_set_errno(err, ERR_UNAVAILABLE, errno, "send reply");
		connection->sent += (size_t)sent;
	}
	if (connection->output.size - connection->sent > UNREAD_MAX)
		return error_set(err, ERR_EXHAUSTED, "peer does not read its replies");
	if (connection->sent == connection->output.size) {
		connection->sent = 0;
		if (connection->output.capacity > KEEP_MAX)
			text_fini(&connection->output);
		else
			text_reset(&connection->output);
	}
	return 0;
}

void ttrpc_reply(struct ttrpc_connection *connection, uint32_t stream_id, const void *message,
		 const struct proto_field *fields)
{
	AUTO(text_fini) struct text payload = { 0 };
	struct ttrpc_response response = { 0 };

	proto_encode(&payload, message, fields);
	response.payload = (struct proto_bytes){ .data = (uint8_t *)payload.data, .size = payload.size };
	ttrpc_frame_add(&connection->output, TTRPC_RESPONSE, stream_id, &response, ttrpc_response_fields);
}

void ttrpc_reply_error(struct ttrpc_connection *connection, uint32_t stream_id, int32_t code, const struct error *error)
{
	const struct ttrpc_response response = {
		.code = code ? code : ttrpc_code_of_kind(error->kind),
		.message = error->message,
	};

	ttrpc_frame_add(&connection->output, TTRPC_RESPONSE, stream_id, &response, ttrpc_response_fields);
}
