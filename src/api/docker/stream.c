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

#define HEADERS_PATIENCE_MS 100

struct session {
	struct attach *attach; /* owned; NULL: of an exec that is not started yet */
	struct engine *engine; /* borrowed */
	char *exec_id;	       /* owned; NULL: the container's own process */
	struct exec_start_options exec_options;
	bool mux;
	const struct http_stream *stream;
	int stop_fd;
};

static int send_frame(int fd, bool mux, const struct stream_frame *frame)
{
	uint8_t header[MUX_HEADER_BYTES];
	struct iovec parts[] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)frame->data, .iov_len = frame->size },
	};
	ssize_t sent;

	if (!mux)
		return write_full(fd, frame->data, frame->size);
	mux_header(header, (int)frame->stream, frame->size);
	do
		sent = writev(fd, parts, 2);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	/* A short write: the rest piece by piece. */
	if ((size_t)sent < sizeof(header)) {
		int r = write_full(fd, header + sent, sizeof(header) - (size_t)sent);

		return r < 0 ? r : write_full(fd, frame->data, frame->size);
	}
	sent -= (ssize_t)sizeof(header);
	return write_full(fd, frame->data + sent, frame->size - (size_t)sent);
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
		if (send_frame(session->stream->fd, session->mux, &frame) < 0)
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

static void *carry_input(void *arg)
{
	struct session *session = arg;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *data = xmalloc(32768);
	ssize_t size;

	if (session->stream->early_size > 0 &&
	    !give_input(session, session->stream->early, session->stream->early_size))
		return NULL;
	for (;;) {
		size = read(session->stream->fd, data, 32768);
		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			break;
		if (!give_input(session, data, (size_t)size))
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

	send_frame(session->stream->fd, session->mux, &frame);
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
	has_input = attach_wants_stdin(session->attach);
	session->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (has_input && thread_start(&input, "stdin", carry_input, session, &err) < 0)
		return;
	carry_output(session);
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
	free(session);
}

static struct session *hijack(struct http_request *request, struct http_response *response, bool tty)
{
	struct session *session = xcalloc(1, sizeof(*session));

	session->mux = !tty;
	session->stop_fd = -1;
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

void stream_hijack_exec(struct http_request *request, struct http_response *response, struct engine *engine,
			const char *exec_id, const struct exec_start_options *options, bool tty)
{
	struct session *session = hijack(request, response, tty);

	session->engine = engine;
	session->exec_id = xstrdup(exec_id);
	session->exec_options = *options;
}
