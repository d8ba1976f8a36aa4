/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: nghttp2 keeps the state of HTTP/2 and never touches the socket.
 * run() feeds it what arrives and sends what it has; everybody else changes
 * streams under the mutex and wakes run() through wake_fd. HTTP/2's windows are
 * given back for a stream when its reader took the bytes, for the connection at
 * once: one slow reader does not stop the others.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "rpc/grpc_private.h"

#define READ_SIZE (64u * 1024)
#define STREAM_WINDOW (1024 * 1024)
#define CONNECTION_WINDOW (8 * 1024 * 1024)
#define STREAMS_MAX 128
#define HEADERS_MAX (256u * 1024)

static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t ignored = write(fd, &one, sizeof(one));

	(void)ignored;
}

void grpc_connection_wake(struct grpc_connection *connection)
{
	signal_fd(connection->wake_fd);
}

void grpc_stream_wake(struct grpc_stream *stream)
{
	signal_fd(stream->wake_fd);
}

/* ---- streams ---- */

struct grpc_stream *grpc_stream_new_locked(struct grpc_connection *connection, int32_t id)
{
	struct grpc_stream *stream;
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int cancel_fd = connection->options.methods ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;

	mutex_assert_held(&connection->mutex);
	if (wake_fd < 0 || (connection->options.methods && cancel_fd < 0)) {
		auto_close(&wake_fd);
		auto_close(&cancel_fd);
		return NULL;
	}
	stream = xcalloc(1, sizeof(*stream));
	stream->connection = connection;
	stream->id = id;
	stream->wake_fd = wake_fd;
	stream->cancel_fd = cancel_fd;
	stream->status = -1;
	buffer_init(&stream->input, 2 * STREAM_WINDOW);
	buffer_init(&stream->partial, 2 * STREAM_WINDOW + GRPC_MESSAGE_MAX + GRPC_FRAME_HEADER);
	list_add_last(&connection->streams, &stream->node);
	connection->stream_count++;
	return stream;
}

static void stream_free_locked(struct grpc_stream *stream)
{
	struct grpc_connection *connection = stream->connection;

	list_remove(&stream->node);
	connection->stream_count--;
	condition_broadcast(&connection->idle);
	close(stream->wake_fd);
	if (connection->options.methods)
		close(stream->cancel_fd);
	grpc_metadata_fini(&stream->metadata);
	free(stream->path);
	free(stream->status_message);
	buffer_fini(&stream->input);
	buffer_fini(&stream->partial);
	text_fini(&stream->output);
	text_fini(&stream->details);
	free(stream);
}

void grpc_stream_release_locked(struct grpc_stream *stream)
{
	mutex_assert_held(&stream->connection->mutex);
	if (stream->closed && (stream->left || !stream->started))
		stream_free_locked(stream);
}

static void close_stream_locked(struct grpc_stream *stream)
{
	stream->closed = true;
	grpc_stream_wake(stream);
	if (stream->connection->options.methods && !stream->ended)
		signal_fd(stream->cancel_fd);
	grpc_stream_release_locked(stream);
}

/* ---- what the session tells ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_connection *connection = arg;
	struct grpc_stream *stream;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = connection->stream_count < STREAMS_MAX ? grpc_stream_new_locked(connection, frame->hd.stream_id)
							: NULL;
	if (!stream)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
		     const uint8_t *value, size_t value_size, uint8_t flags, void *arg)
{
	struct grpc_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	const char *key = (const char *)name;
	const char *text = (const char *)value;

	(void)flags;
	(void)arg;
	if (!stream)
		return 0;
	stream->header_bytes += name_size + value_size;
	if (stream->header_bytes > HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (stream->connection->options.methods) {
		if (text_equal(key, ":path")) {
			free(stream->path);
			stream->path = xstrdup(text);
		} else if (*key != ':') {
			grpc_metadata_add(&stream->metadata, key, text);
		}
	} else if (text_equal(key, "grpc-status")) {
		uint64_t number;

		stream->status = text_parse_u64(&number, text, 1000) == 0 ? (int)number : GRPC_STATUS_UNKNOWN;
	} else if (text_equal(key, "grpc-message")) {
		free(stream->status_message);
		stream->status_message = grpc_percent_decode(text);
	} else if (text_equal(key, ":status") && !text_equal(text, "200")) {
		free(stream->status_message);
		stream->status_message = xasprintf("the answer was HTTP %s", text);
	}
	return 0;
}

static void refuse_locked(struct grpc_stream *stream, int status, const char *message)
{
	stream->status = status;
	stream->status_message = xstrdup(message);
	stream->ended = true;
	grpc_answer_locked(stream);
}

static void start_locked(struct grpc_stream *stream)
{
	const struct grpc_method *method = stream->connection->options.methods;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *why = NULL;
	pthread_t thread;

	while (method->path && !text_equal(method->path, stream->path))
		method++;
	if (!method->path) {
		why = xasprintf("unknown method %s", text_or_empty(stream->path));
		refuse_locked(stream, GRPC_STATUS_UNIMPLEMENTED, why);
		return;
	}
	stream->method = method;
	stream->started = true;
	if (thread_start(&thread, "grpc-call", grpc_serve, stream, &err) < 0) {
		stream->started = false;
		refuse_locked(stream, grpc_status_of(ERR_EXHAUSTED), err.message);
		return;
	}
	pthread_detach(thread);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_stream *stream;

	(void)arg;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!stream)
		return 0;
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		stream->peer_ended = true;
		grpc_stream_wake(stream);
	}
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		start_locked(stream);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t size,
		   void *arg)
{
	struct grpc_stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);

	(void)flags;
	(void)arg;
	nghttp2_session_consume_connection(session, size);
	if (!stream || stream->left || !stream->started) {
		nghttp2_session_consume_stream(session, stream_id, size);
		return 0;
	}
	buffer_append(&stream->input, data, size);
	grpc_stream_wake(stream);
	/* More than the window that was offered: not HTTP/2. */
	return buffer_failed(&stream->input) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *arg)
{
	struct grpc_stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);

	(void)code;
	(void)arg;
	if (!stream)
		return 0;
	nghttp2_session_set_stream_user_data(session, stream_id, NULL);
	close_stream_locked(stream);
	return 0;
}

/* ---- life ---- */

static int make_session(struct grpc_connection *connection)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	bool server = connection->options.methods != NULL;
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int r = nghttp2_session_callbacks_new(&callbacks);

	if (r == 0)
		r = nghttp2_option_new(&option);
	if (r == 0) {
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
		r = server ? nghttp2_session_server_new2(&connection->session, callbacks, connection, option)
			   : nghttp2_session_client_new2(&connection->session, callbacks, connection, option);
	}
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	/* A client may not speak of pushes to one who could never push. */
	if (r == 0)
		r = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, server ? 2 : 3);
	if (r == 0)
		r = nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
	return r;
}

int grpc_connection_new(struct grpc_connection **out_connection, const struct grpc_options *options, struct error *err)
{
	struct grpc_connection *connection = xcalloc(1, sizeof(*connection));
	ssize_t taken = 0;
	int r;

	connection->options = *options;
	mutex_init(&connection->mutex);
	condition_init(&connection->idle);
	list_init(&connection->streams);
	connection->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = connection->wake_fd < 0 ? NGHTTP2_ERR_NOMEM : make_session(connection);
	if (r == 0 && options->early_size > 0) {
		mutex_lock(&connection->mutex);
		taken = nghttp2_session_mem_recv(connection->session, options->early, options->early_size);
		mutex_unlock(&connection->mutex);
	}
	if (r != 0 || taken < 0) {
		error_fill(err, r != 0 ? ERR_INTERNAL : ERR_INVALID, "http/2: %s",
			   nghttp2_strerror(r ? r : (int)taken));
		connection->over = true;
		grpc_connection_free(connection);
		return -1;
	}
	*out_connection = connection;
	return 0;
}

void grpc_connection_stop(struct grpc_connection *connection)
{
	mutex_lock(&connection->mutex);
	connection->stopping = true;
	mutex_unlock(&connection->mutex);
	grpc_connection_wake(connection);
}

static void end_locked(struct grpc_connection *connection)
{
	connection->over = true;
	LIST_FOR_EACH (node, &connection->streams) {
		struct grpc_stream *stream = list_entry(node, struct grpc_stream, node);

		if (!stream->closed)
			close_stream_locked(stream);
	}
}

void grpc_connection_free(struct grpc_connection *connection)
{
	if (!connection)
		return;
	mutex_lock(&connection->mutex);
	end_locked(connection);
	while (connection->stream_count > 0)
		condition_wait(&connection->idle, &connection->mutex);
	mutex_unlock(&connection->mutex);
	nghttp2_session_del(connection->session);
	auto_close(&connection->wake_fd);
	text_fini(&connection->output);
	condition_fini(&connection->idle);
	mutex_fini(&connection->mutex);
	free(connection);
}

/* ---- bytes ---- */

/* 0, 1 if the socket takes no more now, -1 if it is broken. */
static int send_pending(struct grpc_connection *connection)
{
	struct text *output = &connection->output;

	while (connection->output_sent < output->size) {
		ssize_t sent = send(connection->options.fd, output->data + connection->output_sent,
				    output->size - connection->output_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 1 : -1;
		connection->output_sent += (size_t)sent;
	}
	text_reset(output);
	connection->output_sent = 0;
	return 0;
}

/* As send_pending(), until the session has nothing more. */
static int flush_locked(struct grpc_connection *connection)
{
	const uint8_t *data;
	ssize_t size;
	int r;

	for (;;) {
		r = send_pending(connection);
		if (r != 0)
			return r;
		while (connection->output.size < READ_SIZE &&
		       (size = nghttp2_session_mem_send(connection->session, &data)) != 0) {
			if (size < 0)
				return -1;
			text_add_bytes(&connection->output, data, (size_t)size);
		}
		if (connection->output.size == 0)
			return 0;
	}
}

static int receive(struct grpc_connection *connection, uint8_t *data)
{
	ssize_t size = recv(connection->options.fd, data, READ_SIZE, MSG_DONTWAIT);
	ssize_t taken;

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (size == 0)
		return -1;
	mutex_lock(&connection->mutex);
	taken = nghttp2_session_mem_recv(connection->session, data, (size_t)size);
	mutex_unlock(&connection->mutex);
	return taken == size ? 0 : -1;
}

/* 1 goes on, waiting for the events given; 0 over. */
static int step(struct grpc_connection *connection, short *out_events)
{
	int r;

	mutex_lock(&connection->mutex);
	r = flush_locked(connection);
	*out_events = (short)(r == 1 ? POLLIN | POLLOUT : POLLIN);
	if (connection->stopping || r < 0 ||
	    (r == 0 && !nghttp2_session_want_read(connection->session) &&
	     !nghttp2_session_want_write(connection->session)))
		r = -1;
	mutex_unlock(&connection->mutex);
	return r >= 0;
}

void grpc_connection_run(struct grpc_connection *connection)
{
	uint8_t *data = xmalloc(READ_SIZE);
	short events;

	while (step(connection, &events)) {
		struct pollfd fds[] = { { .fd = connection->options.fd, .events = events },
					{ .fd = connection->wake_fd, .events = POLLIN } };
		uint64_t count;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents && read(connection->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			break;
		if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) && receive(connection, data) < 0) {
			/* What the session has to say of it, a GOAWAY, goes out if it can. */
			mutex_lock(&connection->mutex);
			flush_locked(connection);
			mutex_unlock(&connection->mutex);
			break;
		}
	}
	free(data);
	mutex_lock(&connection->mutex);
	end_locked(connection);
	mutex_unlock(&connection->mutex);
}
