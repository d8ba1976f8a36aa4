/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "rpc/grpc_private.h"

struct status_head {
	int32_t code;
	char *message;
};

struct detail {
	char *type_url;
	struct proto_bytes value;
};

static const struct proto_field status_head_fields[] = {
	PROTO_I32(1, struct status_head, code),
	PROTO_TEXT(2, struct status_head, message),
	PROTO_END,
};

static const struct proto_field detail_fields[] = {
	PROTO_TEXT(1, struct detail, type_url),
	PROTO_BYTES(2, struct detail, value),
	PROTO_END,
};

struct status_detail {
	struct detail detail;
};

static const struct proto_field status_detail_fields[] = {
	PROTO_OBJECT(3, struct status_detail, detail, detail_fields),
	PROTO_END,
};

void grpc_metadata_add(struct grpc_metadata *metadata, const char *name, const char *value)
{
	text_list_add(&metadata->names, name);
	text_list_add(&metadata->values, value);
}

void grpc_metadata_fini(struct grpc_metadata *metadata)
{
	text_list_fini(&metadata->names);
	text_list_fini(&metadata->values);
}

const char *grpc_metadata_at(const struct grpc_stream *stream, const char *name, size_t index)
{
	const struct grpc_metadata *metadata = &stream->metadata;

	for (size_t i = 0; i < metadata->names.count; i++)
		if (text_equal(metadata->names.items[i], name) && index-- == 0)
			return metadata->values.items[i];
	return NULL;
}

int grpc_cancel_fd(const struct grpc_stream *stream)
{
	return stream->cancel_fd;
}

void grpc_add_detail(struct grpc_stream *stream, const char *type_url, const void *data, size_t size)
{
	const struct status_detail more = {
		.detail = { .type_url = (char *)(uintptr_t)type_url,
			    .value = { .data = (uint8_t *)(uintptr_t)data, .size = size } },
	};

	proto_encode(&stream->details, &more, status_detail_fields);
}

/* ---- what goes out ---- */

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value),
			     .flags = NGHTTP2_NV_FLAG_NONE };
}

static char *encode_details(const struct grpc_stream *stream)
{
	const struct status_head head = { .code = stream->status, .message = stream->status_message };
	struct text bytes = { 0 };
	char *encoded;

	proto_encode(&bytes, &head, status_head_fields);
	text_add_bytes(&bytes, stream->details.data, stream->details.size);
	encoded = base64_encode(bytes.data, bytes.size);
	text_fini(&bytes);
	return encoded;
}

static void submit_trailers(struct grpc_stream *stream)
{
	AUTO_FREE char *message = grpc_percent_encode(text_or_empty(stream->status_message));
	AUTO_FREE char *details = stream->details.size > 0 ? encode_details(stream) : NULL;
	nghttp2_nv headers[3];
	char status[16];
	size_t count = 0;

	snprintf(status, sizeof(status), "%d", stream->status);
	headers[count++] = header("grpc-status", status);
	if (*message)
		headers[count++] = header("grpc-message", message);
	if (details)
		headers[count++] = header("grpc-status-details-bin", details);
	nghttp2_submit_trailer(stream->connection->session, stream->id, headers, count);
}

static ssize_t read_output(nghttp2_session *session, int32_t stream_id, uint8_t *data, size_t size, uint32_t *flags,
			   nghttp2_data_source *source, void *arg)
{
	struct grpc_stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);
	size_t left = stream ? stream->output.size - stream->output_sent : 0;

	(void)source;
	(void)arg;
	if (!stream)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (left > size)
		left = size;
	if (left > 0) {
		memcpy(data, stream->output.data + stream->output_sent, left);
		stream->output_sent += left;
		grpc_stream_wake(stream);
	}
	if (stream->output_sent < stream->output.size)
		return (ssize_t)left;
	text_reset(&stream->output);
	stream->output_sent = 0;
	if (!stream->ended)
		return left > 0 ? (ssize_t)left : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (stream->connection->options.methods) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		submit_trailers(stream);
	}
	return (ssize_t)left;
}

void grpc_answer_locked(struct grpc_stream *stream)
{
	const nghttp2_nv headers[] = { header(":status", "200"), header("content-type", "application/grpc") };
	const nghttp2_data_provider provider = { .read_callback = read_output };

	if (stream->submitted || stream->closed)
		return;
	stream->submitted = true;
	nghttp2_submit_response(stream->connection->session, stream->id, headers, 2, &provider);
}

static void resume_locked(struct grpc_stream *stream)
{
	if (stream->connection->options.methods)
		grpc_answer_locked(stream);
	if (!stream->closed)
		nghttp2_session_resume_data(stream->connection->session, stream->id);
}

/* ---- waiting ---- */

/* Until something about the stream has changed. */
static int wait_change(struct grpc_stream *stream, struct error *err)
{
	/* A server's is told through wake_fd as well. */
	int cancel_fd = stream->connection->options.methods ? -1 : stream->cancel_fd;
	struct pollfd fds[] = { { .fd = stream->wake_fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };
	uint64_t count;

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for a call");
	if (fds[1].revents)
		return error_set(err, ERR_CANCELED, "canceled");
	if (read(stream->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return error_set_errno(err, ERR_INTERNAL, errno, "wait for a call");
	return 0;
}

/* Why a stream on which nothing more comes has ended; 0 if all is well. */
static int how_it_ended(struct grpc_stream *stream, struct error *err)
{
	const char *message = stream->status_message;

	if (stream->connection->options.methods)
		return stream->peer_ended ? 0 : error_set(err, ERR_CANCELED, "the caller is gone");
	if (stream->status == 0)
		return 0;
	if (stream->status > 0)
		return error_set(err, grpc_kind_of(stream->status), "%s",
				 text_empty(message) ? "the call failed" : message);
	return error_set(err, ERR_UNAVAILABLE, "%s",
			 !text_empty(message)	    ? message
			 : stream->connection->over ? "the connection is gone"
						    : "the call was broken off");
}

/* ---- sending ---- */

static bool has_room_locked(const struct grpc_stream *stream)
{
	return stream->closed || stream->output.size - stream->output_sent <= GRPC_OUTPUT_MAX;
}

static int wait_room_locked(struct grpc_stream *stream, struct error *err)
{
	struct grpc_connection *connection = stream->connection;
	int r = 0;

	while (r == 0 && !has_room_locked(stream)) {
		mutex_unlock(&connection->mutex);
		r = wait_change(stream, err);
		mutex_lock(&connection->mutex);
	}
	if (r < 0)
		return -1;
	if (!stream->closed)
		return 0;
	if (how_it_ended(stream, err) < 0)
		return -1;
	return error_set(err, ERR_CANCELED, "the other side has ended the call");
}

/* A frame: its five bytes are there already. */
static int send_frame(struct grpc_stream *stream, struct text *frame, struct error *err)
{
	struct grpc_connection *connection = stream->connection;
	size_t size = frame->size - GRPC_FRAME_HEADER;
	int r;

	if (size > GRPC_MESSAGE_MAX)
		return error_set(err, ERR_INVALID, "a message of %zu bytes is too long", size);
	for (int i = 0; i < 4; i++)
		frame->data[4 - i] = (char)(size >> (8 * i) & 0xff);
	mutex_lock(&connection->mutex);
	r = wait_room_locked(stream, err);
	if (r == 0) {
		struct text *output = &stream->output;

		if (stream->output_sent > GRPC_OUTPUT_MAX) {
			memmove(output->data, output->data + stream->output_sent, output->size - stream->output_sent);
			output->size -= stream->output_sent;
			stream->output_sent = 0;
		}
		text_add_bytes(output, frame->data, frame->size);
		resume_locked(stream);
	}
	mutex_unlock(&connection->mutex);
	grpc_connection_wake(connection);
	return r;
}

int grpc_send(struct grpc_stream *stream, const void *message, const struct proto_field *fields, struct error *err)
{
	AUTO(text_fini) struct text frame = { 0 };

	text_add_bytes(&frame, "\0\0\0\0", GRPC_FRAME_HEADER);
	proto_encode(&frame, message, fields);
	return send_frame(stream, &frame, err);
}

int grpc_send_bytes(struct grpc_stream *stream, const void *data, size_t size, struct error *err)
{
	AUTO(text_fini) struct text frame = { 0 };

	text_add_bytes(&frame, "\0\0\0\0", GRPC_FRAME_HEADER);
	text_add_bytes(&frame, data, size);
	return send_frame(stream, &frame, err);
}

/* ---- receiving ---- */

/* 1: more bytes are in partial; 0: nothing more comes; 2: nothing now. */
static int take_input(struct grpc_stream *stream)
{
	struct grpc_connection *connection = stream->connection;
	bool over;
	size_t size;

	mutex_lock(&connection->mutex);
	size = stream->input.size;
	over = stream->peer_ended || stream->closed;
	if (size > 0) {
		buffer_append(&stream->partial, stream->input.data, size);
		buffer_consume(&stream->input, size);
		if (!stream->closed)
			nghttp2_session_consume_stream(connection->session, stream->id, size);
	}
	mutex_unlock(&connection->mutex);
	if (size > 0)
		grpc_connection_wake(connection);
	return size > 0 ? 1 : over ? 0 : 2;
}

/* 1 if a whole message is in partial behind what was taken. */
static int find_message(struct grpc_stream *stream, struct proto_bytes *out_bytes, struct error *err)
{
	size_t left = stream->partial.size - stream->taken;
	const uint8_t *data;
	size_t size;

	if (left < GRPC_FRAME_HEADER)
		return 0;
	data = stream->partial.data + stream->taken;
	if (data[0] != 0)
		return error_set(err, ERR_UNSUPPORTED, "a compressed message");
	size = (size_t)data[1] << 24 | (size_t)data[2] << 16 | (size_t)data[3] << 8 | data[4];
	if (size > GRPC_MESSAGE_MAX)
		return error_set(err, ERR_EXHAUSTED, "a message of %zu bytes is too long", size);
	if (left - GRPC_FRAME_HEADER < size)
		return 0;
	*out_bytes = (struct proto_bytes){ stream->partial.data + stream->taken + GRPC_FRAME_HEADER, size };
	stream->taken += GRPC_FRAME_HEADER + size;
	return 1;
}

int grpc_try_receive_bytes(struct grpc_stream *stream, struct proto_bytes *out_bytes, struct error *err)
{
	int r;

	while ((r = find_message(stream, out_bytes, err)) == 0) {
		buffer_consume(&stream->partial, stream->taken);
		stream->taken = 0;
		r = take_input(stream);
		if (r == 1)
			continue;
		if (r == 2)
			return 2;
		if (how_it_ended(stream, err) < 0)
			return -1;
		return stream->partial.size > 0 ? error_set(err, ERR_INVALID, "a message was cut off") : 0;
	}
	return r;
}

int grpc_wake_fd(const struct grpc_stream *stream)
{
	return stream->wake_fd;
}

int grpc_receive_bytes(struct grpc_stream *stream, struct proto_bytes *out_bytes, struct error *err)
{
	int r;

	while ((r = grpc_try_receive_bytes(stream, out_bytes, err)) == 2)
		if (wait_change(stream, err) < 0)
			return -1;
	return r;
}

int grpc_receive(struct grpc_stream *stream, void *message, const struct proto_field *fields, struct error *err)
{
	struct proto_bytes bytes;
	int r = grpc_receive_bytes(stream, &bytes, err);

	if (r <= 0)
		return r;
	return proto_decode(message, fields, bytes.data, bytes.size, err) < 0 ? -1 : 1;
}

/* ---- client ---- */

static int submit_call_locked(struct grpc_stream *stream, const struct grpc_call *call)
{
	const nghttp2_data_provider provider = { .read_callback = read_output };
	size_t extra = call->metadata ? call->metadata->names.count : 0;
	AUTO_FREE nghttp2_nv *headers = xcalloc(7 + extra, sizeof(*headers));
	size_t count = 0;

	headers[count++] = header(":method", "POST");
	headers[count++] = header(":scheme", "http");
	headers[count++] = header(":path", call->path);
	headers[count++] = header(":authority", "localhost");
	headers[count++] = header("content-type", "application/grpc");
	headers[count++] = header("user-agent", "grpc-kist/1");
	headers[count++] = header("te", "trailers");
	for (size_t i = 0; i < extra; i++)
		headers[count++] = header(call->metadata->names.items[i], call->metadata->values.items[i]);
	return nghttp2_submit_request(stream->connection->session, NULL, headers, count, &provider, stream);
}

int grpc_open(struct grpc_stream **out_stream, struct grpc_connection *connection, const struct grpc_call *call,
	      struct error *err)
{
	struct grpc_stream *stream = NULL;
	int32_t id = NGHTTP2_ERR_INVALID_STATE;

	mutex_lock(&connection->mutex);
	if (!connection->over)
		stream = grpc_stream_new_locked(connection, -1);
	if (stream) {
		stream->started = true;
		stream->cancel_fd = call->cancel_fd;
		id = submit_call_locked(stream, call);
		stream->id = id;
		if (id < 0) {
			stream->closed = true;
			stream->left = true;
			grpc_stream_release_locked(stream);
		}
	}
	mutex_unlock(&connection->mutex);
	if (id < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: the connection is gone", call->path);
	grpc_connection_wake(connection);
	*out_stream = stream;
	return 0;
}

void grpc_send_end(struct grpc_stream *stream)
{
	mutex_lock(&stream->connection->mutex);
	stream->ended = true;
	resume_locked(stream);
	mutex_unlock(&stream->connection->mutex);
	grpc_connection_wake(stream->connection);
}

int grpc_finish(struct grpc_stream *stream, struct error *err)
{
	struct proto_bytes bytes;
	int r;

	do
		r = grpc_receive_bytes(stream, &bytes, err);
	while (r > 0);
	return r;
}

void grpc_stream_free(struct grpc_stream *stream)
{
	struct grpc_connection *connection;

	if (!stream)
		return;
	connection = stream->connection;
	mutex_lock(&connection->mutex);
	if (!stream->closed)
		nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
	stream->left = true;
	grpc_connection_wake(connection);
	grpc_stream_release_locked(stream);
	mutex_unlock(&connection->mutex);
}

int grpc_exchange(struct grpc_connection *connection, const struct grpc_call *call, const struct grpc_message *message,
		  struct error *err)
{
	AUTO(grpc_stream_freep) struct grpc_stream *stream = NULL;
	int r;

	if (grpc_open(&stream, connection, call, err) < 0)
		return -1;
	if (grpc_send(stream, message->request, message->request_fields, err) < 0)
		return -1;
	grpc_send_end(stream);
	r = grpc_receive(stream, message->response, message->response_fields, err);
	if (r == 0)
		return error_set(err, ERR_INTERNAL, "%s: there was no answer", call->path);
	if (r > 0 && grpc_finish(stream, err) == 0)
		return 0;
	if (r > 0)
		proto_free(message->response, message->response_fields);
	return -1;
}

/* ---- server ---- */

void *grpc_serve(void *arg)
{
	struct grpc_stream *stream = arg;
	struct grpc_connection *connection = stream->connection;
	AUTO(error_clear) struct error err = { 0 };
	int r = stream->method->handler(connection->options.context, stream, &err);

	mutex_lock(&connection->mutex);
	stream->status = r < 0 ? grpc_status_of(err.kind) : 0;
	/* With the last stream the connection may be freed: nothing is ours then. */
	stream->status_message = r < 0 ? take_ptr(err.message) : NULL;
	stream->ended = true;
	resume_locked(stream);
	stream->left = true;
	/* Before the release: with the last stream the connection may go. */
	grpc_connection_wake(connection);
	grpc_stream_release_locked(stream);
	mutex_unlock(&connection->mutex);
	return NULL;
}
