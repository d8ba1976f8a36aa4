/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the connection's thread carries output to the client; a second
 * one, only if somebody reads stdin, carries input. Output ends first (the
 * process ended, or detach keys, or the client is gone): then the input thread
 * is woken through stop_fd and the socket's reading side.
 */
#include "api/docker/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "http/websocket.h"

#define HEADERS_PATIENCE_MS 100
#define INPUT_PIECE 32768
#define PING_MAX 125

struct session {
	struct attach *attach; /* owned; NULL: of an exec that is not started yet */
	struct engine *engine; /* borrowed */
	char *exec_id;	       /* owned; NULL: the container's own process */
	struct exec_start_options exec_options;
	bool mux;
	bool websocket;
	struct websocket_reader reader;
	uint8_t ping[PING_MAX]; /* what came of one */
	size_t ping_size;
	struct mutex send_mutex; /* pongs go between frames of output */
	const struct http_stream *stream;
	int stop_fd;
};

/* A header and what it announces. */
static int send_with_header(int fd, const uint8_t *header, size_t header_size, const uint8_t *data, size_t size)
{
	struct iovec parts[] = {
		{ .iov_base = (void *)(uintptr_t)header, .iov_len = header_size },
		{ .iov_base = (void *)(uintptr_t)data, .iov_len = size },
	};
	ssize_t sent;

	do
		sent = writev(fd, parts, 2);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	/* A short write: the rest piece by piece. */
	if ((size_t)sent < header_size) {
		int r = write_full(fd, header + sent, header_size - (size_t)sent);

		return r < 0 ? r : write_full(fd, data, size);
	}
	sent -= (ssize_t)header_size;
	return write_full(fd, data + sent, size - (size_t)sent);
}

static int send_websocket(struct session *session, enum websocket_opcode opcode, const uint8_t *data, size_t size)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&session->send_mutex);
	uint8_t header[WEBSOCKET_HEADER_MAX];

	return send_with_header(session->stream->fd, header, websocket_header(header, opcode, size), data, size);
}

static int send_frame(struct session *session, const struct stream_frame *frame)
{
	uint8_t header[MUX_HEADER_BYTES];
	int fd = session->stream->fd;

	if (session->websocket)
		return send_websocket(session, WEBSOCKET_BINARY, frame->data, frame->size);
	if (!session->mux)
		return write_full(fd, frame->data, frame->size);
	mux_header(header, (int)frame->stream, frame->size);
	return send_with_header(fd, header, MUX_HEADER_BYTES, frame->data, frame->size);
}

/* Readable once both directions are shut: a client that only has no more input still wants output. */
static int gone_fd(int socket_fd)
{
	struct epoll_event event = { .events = 0 };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd >= 0)
		epoll_ctl(fd, EPOLL_CTL_ADD, socket_fd, &event);
	return fd;
}

static void carry_output(struct session *session)
{
	AUTO_CLOSE int cancel_fd = gone_fd(session->stream->fd);
	AUTO(error_clear) struct error err = { 0 };
	struct stream_frame frame;

	while (attach_read(session->attach, &frame, cancel_fd, &err) > 0)
		if (send_frame(session, &frame) < 0)
			return;
}

/* false: no more input is wanted. */
static bool give_input(struct session *session, const void *data, size_t size)
{
	AUTO(error_clear) struct error err = { 0 };
	int r = attach_write_stdin(session->attach, data, size, session->stop_fd, &err);

	if (r == 0)
		attach_detach(session->attach);
	return r > 0;
}

/* A ping is answered with what it holds, or the client takes us for gone. */
static void take_ping(struct session *session, const uint8_t *data, size_t size, bool end)
{
	size_t room = sizeof(session->ping) - session->ping_size;

	if (size > 0)
		memcpy(session->ping + session->ping_size, data, size < room ? size : room);
	session->ping_size += size < room ? size : room;
	if (!end)
		return;
	send_websocket(session, WEBSOCKET_PONG, session->ping, session->ping_size);
	session->ping_size = 0;
}

/* What the client's websocket frames hold; false as give_input(), and after its close. */
static bool give_frames(struct session *session, uint8_t *data, size_t size)
{
	while (size > 0) {
		enum websocket_opcode opcode = WEBSOCKET_BINARY;
		uint8_t *payload = NULL;
		size_t payload_size;
		bool end;
		ssize_t taken = websocket_read(&session->reader, data, size, &opcode, &payload, &payload_size, &end);

		if (taken < 0 || (end && opcode == WEBSOCKET_CLOSE)) {
			attach_detach(session->attach);
			return false;
		}
		if (opcode == WEBSOCKET_PING)
			take_ping(session, payload, payload_size, end);
		if (opcode <= WEBSOCKET_BINARY && payload_size > 0 && attach_wants_stdin(session->attach) &&
		    !give_input(session, payload, payload_size))
			return false;
		data += taken;
		size -= (size_t)taken;
	}
	return true;
}

static bool give(struct session *session, uint8_t *data, size_t size)
{
	return session->websocket ? give_frames(session, data, size) : give_input(session, data, size);
}

static bool give_early(struct session *session)
{
	AUTO_FREE uint8_t *copy = NULL;

	if (session->stream->early_size == 0)
		return true;
	copy = xmemdup(session->stream->early, session->stream->early_size);
	return give(session, copy, session->stream->early_size);
}

static void *carry_input(void *arg)
{
	struct session *session = arg;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE uint8_t *data = xmalloc(INPUT_PIECE);
	ssize_t size;

	if (!give_early(session))
		return NULL;
	for (;;) {
		size = read(session->stream->fd, data, INPUT_PIECE);
		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			break;
		if (!give(session, data, (size_t)size))
			return NULL;
	}
	attach_close_stdin(session->attach, session->stop_fd, &err);
	return NULL;
}

/*
 * Until the client has read our headers (a moment, then never mind): Python's http.client reads ahead, and what came
 * in one piece with the headers never reaches the user of docker-py.
 */
static void await_headers_read(int fd)
{
	int unread = 0;

	for (int i = 0; i < HEADERS_PATIENCE_MS && ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0; i++)
		clock_sleep_ms(1);
}

static int start_exec(struct session *session, struct error *err)
{
	return exec_start(&session->attach, session->engine, session->exec_id, &session->exec_options, -1, err);
}

static void tell(struct session *session, const struct error *err)
{
	AUTO_FREE char *text = xasprintf("%s\r\n", text_or_empty(err->message));
	const struct stream_frame frame = { STREAM_STDOUT, (const uint8_t *)text, strlen(text) };

	send_frame(session, &frame);
}

static void run_session(void *arg, const struct http_stream *stream)
{
	struct session *session = arg;
	AUTO(error_clear) struct error err = { 0 };
	pthread_t input;
	bool has_input;

	session->stream = stream;
	await_headers_read(stream->fd);
	if (!session->attach && start_exec(session, &err) < 0) {
		tell(session, &err);
		return;
	}
	/* A websocket's client also says when it leaves. */
	has_input = session->websocket || attach_wants_stdin(session->attach);
	session->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (has_input && (session->stop_fd < 0 || thread_start(&input, "stdin", carry_input, session, &err) < 0))
		return;
	carry_output(session);
	if (session->websocket)
		send_websocket(session, WEBSOCKET_CLOSE, (const uint8_t *)"", 0);
	if (!has_input)
		return;
	eventfd_write(session->stop_fd, 1);
	shutdown(stream->fd, SHUT_RD);
	pthread_join(input, NULL);
}

static void drop_session(void *arg)
{
	struct session *session = arg;

	attach_free(session->attach);
	free(session->exec_id);
	if (session->stop_fd >= 0)
		close(session->stop_fd);
	mutex_fini(&session->send_mutex);
	free(session);
}

static struct session *hijack(struct http_request *request, struct http_response *response, bool tty)
{
	struct session *session = xcalloc(1, sizeof(*session));

	session->mux = !tty;
	session->stop_fd = -1;
	mutex_init(&session->send_mutex);
	http_hijack(response,
		    session->mux && http_tag(request) >= API_VERSION(1, 42)
			    ? "application/vnd.docker.multiplexed-stream"
			    : "application/vnd.docker.raw-stream",
		    run_session, drop_session, session);
	return session;
}

void stream_hijack_take(struct http_request *request, struct http_response *response, struct attach *attach)
{
	hijack(request, response, attach_tty(attach))->attach = attach;
}

void stream_hijack_websocket_take(struct http_request *request, struct http_response *response, struct attach *attach)
{
	struct session *session = hijack(request, response, true);

	session->attach = attach;
	session->websocket = true;
}

void stream_hijack_exec(struct http_request *request, struct http_response *response, struct engine *engine,
			const char *exec_id, const struct exec_start_options *options)
{
	struct session *session = hijack(request, response, options->tty);

	session->engine = engine;
	session->exec_id = xstrdup(exec_id);
	session->exec_options = *options;
}
