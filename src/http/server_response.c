/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "http/server_private.h"

#define READER_BYTES ((size_t)128 << 10)

static void clear_answer(struct http_response *response)
{
	free(response->data);
	response->data = NULL;
	if (response->fd >= 0)
		close(response->fd);
	response->fd = -1;
	if (response->drop)
		response->drop(response->arg);
	response->drop = NULL;
	response->kind = ANSWER_NONE;
}

void response_fini(struct http_response *response)
{
	clear_answer(response);
	text_list_fini(&response->names);
	text_list_fini(&response->values);
}

void http_set_header(struct http_response *response, const char *name, const char *value)
{
	for (size_t i = 0; i < response->names.count; i++)
		if (text_equal_ignoring_case(response->names.items[i], name)) {
			text_list_remove(&response->names, i);
			text_list_remove(&response->values, i);
			break;
		}
	/* A line break in a value would be a header of the client's making. */
	if (strpbrk(value, "\r\n"))
		return;
	text_list_add(&response->names, name);
	text_list_add(&response->values, value);
}

static void answer(struct http_response *response, enum answer_kind kind, int status, const char *content_type)
{
	clear_answer(response);
	response->kind = kind;
	response->status = status;
	if (content_type)
		http_set_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
}

void http_reply(struct http_response *response, int status, const char *content_type, const void *data, size_t size)
{
	answer(response, ANSWER_DATA, status, content_type);
	response->data = xmemdup(size ? data : "", size ? size : 1);
	response->size = size;
}

void http_reply_text(struct http_response *response, int status, const char *content_type, const char *text)
{
	http_reply(response, status, content_type, text, strlen(text));
}

void http_reply_take(struct http_response *response, int status, const char *content_type, char *text)
{
	answer(response, ANSWER_DATA, status, content_type);
	response->data = text;
	response->size = strlen(text);
}

void http_reply_empty(struct http_response *response, int status)
{
	http_reply(response, status, NULL, "", 0);
}

void http_reply_file_take_fd(struct http_response *response, int status, const char *content_type, int fd,
			     uint64_t offset, uint64_t size)
{
	answer(response, ANSWER_FILE, status, content_type);
	response->fd = fd;
	response->offset = offset;
	response->size = size;
}

void http_reply_reader(struct http_response *response, int status, const char *content_type, uint64_t size,
		       ssize_t (*read)(void *arg, void *data, size_t room), void (*drop)(void *arg), void *arg)
{
	answer(response, ANSWER_READER, status, content_type);
	response->size = size;
	response->read = read;
	response->drop = drop;
	response->arg = arg;
}

void http_reply_head(struct http_response *response, int status, const char *content_type, uint64_t size)
{
	answer(response, ANSWER_HEAD, status, content_type);
	response->size = size;
}

void http_hijack(struct http_response *response, const char *content_type,
		 void (*run)(void *arg, const struct http_stream *stream), void (*drop)(void *arg), void *arg)
{
	answer(response, ANSWER_HIJACK, http_wants_upgrade(response->request) ? 101 : 200, content_type);
	response->run = run;
	response->drop = drop;
	response->arg = arg;
}

int http_status_of(enum error_kind kind)
{
	static const int statuses[ERR_KIND_COUNT] = {
		[ERR_INTERNAL] = 500,	 [ERR_INVALID] = 400,	   [ERR_NOT_FOUND] = 404,   [ERR_CONFLICT] = 409,
		[ERR_FORBIDDEN] = 403,	 [ERR_UNAUTHORIZED] = 401, [ERR_UNAVAILABLE] = 503, [ERR_CANCELED] = 499,
		[ERR_UNSUPPORTED] = 501, [ERR_EXHAUSTED] = 507,
	};

	return kind > ERR_NONE && kind < ERR_KIND_COUNT ? statuses[kind] : 500;
}

void response_fail(struct http_response *response, const struct error *err)
{
	const struct http_server_options *options = &response->request->server->options;
	struct text body = { 0 };

	/* Headers are out: ending the chunks early is the only way left to say it. */
	if (response->kind == ANSWER_STREAM) {
		response->broken = true;
		return;
	}
	if (options->failed) {
		options->failed(options->context, response->request, response, err);
		return;
	}
	text_add(&body, "{\"message\":");
	quote_json(&body, text_or_empty(err->message), strlen(text_or_empty(err->message)));
	text_add(&body, "}\n");
	http_reply_take(response, http_status_of(err->kind), "application/json", text_take(&body));
}

/* ---- answers that libmicrohttpd does not write ---- */

int socket_send(int fd, const struct iovec *parts, size_t count, unsigned timeout_s)
{
	struct iovec left[4];
	struct msghdr message = { .msg_iov = left, .msg_iovlen = count };
	struct pollfd item = { .fd = fd, .events = POLLOUT };

	memcpy(left, parts, count * sizeof(*parts));
	while (message.msg_iovlen > 0) {
		ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r = 1;

		if (sent < 0 && errno == EAGAIN)
			r = poll(&item, 1, timeout_s ? (int)timeout_s * 1000 : -1);
		else if (sent < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		for (; message.msg_iovlen > 0 && sent >= (ssize_t)message.msg_iov->iov_len; message.msg_iovlen--)
			sent -= (ssize_t)message.msg_iov++->iov_len;
		if (message.msg_iovlen > 0 && sent > 0) {
			message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
			message.msg_iov->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

static const char *reason(int status)
{
	const char *phrase = MHD_get_reason_phrase_for((unsigned)status);

	return phrase ? phrase : "Unknown";
}

void response_head(struct text *out, struct http_response *response, const char *connection_header)
{
	char date[64];
	time_t now = time(NULL);
	struct tm parts;

	gmtime_r(&now, &parts);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
	text_addf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", response->status, reason(response->status), date);
	for (size_t i = 0; i < response->names.count; i++)
		text_addf(out, "%s: %s\r\n", response->names.items[i], response->values.items[i]);
	if (connection_header)
		text_addf(out, "Connection: %s\r\n", connection_header);
	text_add(out, "\r\n");
}

static int send_parts(struct http_response *response, const struct iovec *parts, size_t count, struct error *err)
{
	int r;

	if (response->broken)
		return error_set(err, ERR_CANCELED, "client is gone");
	r = socket_send(response->request->fd, parts, count, response->request->server->options.send_timeout_s);
	if (r == 0)
		return 0;
	response->broken = true;
	return error_set_errno(err, ERR_CANCELED, r, "write to client");
}

int http_start(struct http_response *response, int status, const char *content_type, struct error *err)
{
	struct text head = { 0 };
	struct iovec part;
	int r;

	answer(response, ANSWER_STREAM, status, content_type);
	response->chunked = !response->request->http_1_0;
	if (response->chunked)
		http_set_header(response, MHD_HTTP_HEADER_TRANSFER_ENCODING, "chunked");
	response_head(&head, response, "close");
	part = (struct iovec){ .iov_base = head.data, .iov_len = head.size };
	r = send_parts(response, &part, 1, err);
	text_fini(&head);
	return r;
}

bool http_started(const struct http_response *response)
{
	return response->kind == ANSWER_STREAM;
}

int http_write(struct http_response *response, const void *data, size_t size, struct error *err)
{
	char length[32];
	int length_size = snprintf(length, sizeof(length), "%zx\r\n", size);
	const struct iovec parts[] = {
		{ .iov_base = length, .iov_len = (size_t)length_size },
		{ .iov_base = (void *)(uintptr_t)data, .iov_len = size },
		{ .iov_base = (void *)(uintptr_t) "\r\n", .iov_len = 2 },
	};

	/* An empty chunk would end the stream. */
	if (size == 0)
		return 0;
	if (response->chunked)
		return send_parts(response, parts, 3, err);
	return send_parts(response, &parts[1], 1, err);
}

static void finish_stream(struct http_response *response)
{
	static const struct iovec last = { .iov_base = (void *)(uintptr_t) "0\r\n\r\n", .iov_len = 5 };
	AUTO(error_clear) struct error err = { 0 };

	if (response->chunked && !response->broken)
		send_parts(response, &last, 1, &err);
	/* Otherwise libmicrohttpd's close could throw away what the client has not read yet (TCP with unread input). */
	shutdown(response->request->fd, SHUT_WR);
}

static ssize_t no_body(void *cls, uint64_t position, char *buffer, size_t size)
{
	(void)cls;
	(void)position;
	(void)buffer;
	(void)size;
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t read_some(void *cls, uint64_t position, char *buffer, size_t size)
{
	struct http_response *response = cls;
	ssize_t got = response->read(response->arg, buffer, size);

	(void)position;
	return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Runs between libmicrohttpd's 101 and the end of the connection, in the connection's thread. */
static void run_hijacked(struct http_response *response, int fd, const void *early, size_t early_size)
{
	struct http_request *request = response->request;
	struct http_server *server = request->server;
	unsigned timeout_s = server->options.send_timeout_s;
	struct timeval timeout = { .tv_sec = timeout_s };
	struct http_stream stream = { .fd = fd, .early = early, .early_size = early_size };
	bool runs;

	if (timeout_s)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	/* From here on an ending server finds the real socket under this number. */
	mutex_lock(&server->mutex);
	runs = !server->stopping;
	mutex_unlock(&server->mutex);
	if (runs)
		response->run(response->arg, &stream);
	request->owner->over = true;
	/* libmicrohttpd closes it a little later; the client should know now. */
	shutdown(fd, SHUT_RDWR);
}

static void set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

static int send_head(struct http_response *response, int fd)
{
	struct text head = { 0 };
	struct iovec part;
	int r;

	response_head(&head, response, NULL);
	part = (struct iovec){ .iov_base = head.data, .iov_len = head.size };
	r = socket_send(fd, &part, 1, response->request->server->options.send_timeout_s);
	text_fini(&head);
	return r;
}

static void on_upgrade(void *cls, struct MHD_Connection *connection, void *request_cls, const char *early,
		       size_t early_size, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
	struct http_response *response = cls;
	struct http_request *request = response->request;
	int ready = 0;

	(void)connection;
	(void)request_cls;
	if (request->real_fd >= 0) {
		if (dup3(request->real_fd, fd, O_CLOEXEC) < 0)
			ready = -errno;
		else
			ready = send_head(response, fd);
	}
	set_blocking(fd);
	if (ready == 0)
		run_hijacked(response, fd, early, early_size);
	MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

/* libmicrohttpd watches the number in an epoll set of its own, and ends the program if it cannot take it out. */
static int swap_socket(struct http_request *request, int other_fd)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(request->owner->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = request->connection };

	if (!info || epoll_ctl(info->epoll_fd, EPOLL_CTL_DEL, request->fd, NULL) < 0 ||
	    dup3(other_fd, request->fd, O_CLOEXEC) < 0)
		return -1;
	return epoll_ctl(info->epoll_fd, EPOLL_CTL_ADD, request->fd, &event);
}

/*
 * libmicrohttpd gives up the socket, with the bytes it has read too far, only after it said 101. A client that did
 * not ask for an upgrade gets its 200 from us: meanwhile the socket's number leads to a pair nobody reads.
 */
static int hide_socket(struct http_request *request)
{
	int pair[2];
	int r;

	request->real_fd = fcntl(request->fd, F_DUPFD_CLOEXEC, 0);
	if (request->real_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	request->nobody_fd = pair[1];
	r = swap_socket(request, pair[0]);
	close(pair[0]);
	return r;
}

static struct MHD_Response *make_hijack(struct http_response *response)
{
	const char *protocol = http_header(response->request, "Upgrade");
	struct MHD_Response *made = MHD_create_response_for_upgrade(on_upgrade, response);

	if (!made)
		return NULL;
	MHD_add_response_header(made, "Upgrade", protocol && response->status == 101 ? protocol : "tcp");
	if (response->status != 101 && hide_socket(response->request) < 0) {
		MHD_destroy_response(made);
		return NULL;
	}
	return made;
}

static struct MHD_Response *make_whole(struct http_response *response)
{
	if (response->kind == ANSWER_FILE)
		return MHD_create_response_from_fd_at_offset64(response->size, take_fd(&response->fd),
							       response->offset);
	if (response->kind == ANSWER_READER && response->size > 0)
		return MHD_create_response_from_callback(response->size, READER_BYTES, read_some, response, NULL);
	if (response->kind == ANSWER_HEAD)
		return MHD_create_response_from_callback(response->size, 1, no_body, NULL, NULL);
	if (response->kind == ANSWER_HIJACK)
		return make_hijack(response);
	return MHD_create_response_from_buffer(response->size, take_ptr(response->data), MHD_RESPMEM_MUST_FREE);
}

/* An HTTP/1.0 client knows no 101: it gets the socket as it is. */
static enum MHD_Result hijack_http_1_0(struct http_response *response)
{
	if (send_head(response, response->request->fd) == 0) {
		set_blocking(response->request->fd);
		run_hijacked(response, response->request->fd, NULL, 0);
	}
	return MHD_NO;
}

int response_send_last(struct http_response *response)
{
	struct text head = { 0 };
	char length[32];
	struct iovec parts[2];
	int r;

	snprintf(length, sizeof(length), "%llu", (unsigned long long)response->size);
	http_set_header(response, MHD_HTTP_HEADER_CONTENT_LENGTH, length);
	response_head(&head, response, "close");
	parts[0] = (struct iovec){ .iov_base = head.data, .iov_len = head.size };
	parts[1] = (struct iovec){ .iov_base = response->data, .iov_len = response->size };
	r = socket_send(response->request->fd, parts, 2, 1);
	text_fini(&head);
	return r;
}

enum MHD_Result response_send(struct http_response *response)
{
	struct MHD_Response *made;
	enum MHD_Result result;
	bool hijack = response->kind == ANSWER_HIJACK;

	if (response->kind == ANSWER_STREAM) {
		finish_stream(response);
		return MHD_NO;
	}
	if (response_is_direct(response)) {
		response_send_direct(response);
		return MHD_NO;
	}
	if (hijack && response->request->http_1_0)
		return hijack_http_1_0(response);
	if (response->kind == ANSWER_NONE)
		http_reply_empty(response, 500);
	made = make_whole(response);
	if (!made)
		return MHD_NO;
	for (size_t i = 0; i < response->names.count; i++)
		MHD_add_response_header(made, response->names.items[i], response->values.items[i]);
	if (!hijack && atomic_load(&response->request->server->draining))
		MHD_add_response_header(made, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(response->request->connection, hijack ? 101u : (unsigned)response->status, made);
	MHD_destroy_response(made);
	return result;
}
