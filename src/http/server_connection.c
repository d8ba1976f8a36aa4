/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one thread and one libmicrohttpd daemon without threads of its
 * own for each connection. What libmicrohttpd cannot read it answers with a
 * page of HTML, and it has no hook for another one; but it logs the status
 * first, in this thread. There the connection gets the API's own answer and is
 * shut for writing, so that the page finds nobody.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/server_private.h"

/* Holds the request line and all headers: credentials of several registries fit. */
#define CONNECTION_MEMORY_BYTES ((size_t)32 << 10)
/* How long, and how much, a client that was refused may go on to send before it reads why. */
#define LINGER_NS CLOCK_SECOND
#define LINGER_BYTES ((size_t)1 << 20)
#define POLL_MS 60000
#define FIRST_LOOK_BYTES 4096

static const char *refusal_words(unsigned status)
{
	switch (status) {
	case MHD_HTTP_URI_TOO_LONG:
		return "request target is too long";
	case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
		return "request header is too large";
	case MHD_HTTP_CONTENT_TOO_LARGE:
		return "request body is too large";
	case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED:
		return "unsupported HTTP version: 1.0 and 1.1 are spoken here";
	case MHD_HTTP_BAD_REQUEST:
		return "malformed HTTP request";
	default:
		return "HTTP request that cannot be served";
	}
}

/* Closing a socket with unread input could take the answer back before the client has it. */
static void linger(int fd)
{
	int64_t deadline = clock_monotonic_ns() + LINGER_NS;
	char dropped[4096];
	size_t total = 0;

	shutdown(fd, SHUT_WR);
	while (total < LINGER_BYTES && clock_monotonic_ns() < deadline) {
		struct pollfd item = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&item, 1, (int)(LINGER_NS / CLOCK_MS)) <= 0)
			return;
		got = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
		if (got <= 0)
			return;
		total += (size_t)got;
	}
}

static void answer_refusal(struct http_connection *owner, unsigned status)
{
	struct http_request *request = request_new(owner, NULL, NULL);
	AUTO(error_clear) struct error err = { 0 };

	request->method = "";
	error_set(&err, ERR_INVALID, "%s", refusal_words(status));
	response_fail(&request->response, &err);
	request->response.status = (int)status;
	response_send_last(&request->response);
	request_free(request);
}

static void refuse(struct http_connection *owner, unsigned status)
{
	struct http_request *request = owner->request;
	bool answered = false;

	if (owner->over)
		return;
	owner->over = true;
	/* A body that breaks off in the middle: its handler may have begun to answer. */
	if (request) {
		request_body_end(request, false);
		answered = request->response.kind == ANSWER_STREAM;
	}
	if (!answered)
		answer_refusal(owner, status);
	linger(owner->fd);
}

/* "GET /x HTTP/1.1", as far as its blanks go: libmicrohttpd hangs up silently where one is missing or too many. */
static bool is_request_line(const char *line, size_t size)
{
	const char *target = memchr(line, ' ', size);
	const char *version = target ? memchr(target + 1, ' ', size - (size_t)(target + 1 - line)) : NULL;

	return version && target > line && version > target + 1 && text_has_prefix(version + 1, "HTTP/") &&
	       !memchr(version + 1, ' ', size - (size_t)(version + 1 - line));
}

/* Looks at the first line of the first request, if it came in one piece. */
static bool is_readable(int fd)
{
	char head[FIRST_LOOK_BYTES + 1];
	ssize_t got = recv(fd, head, FIRST_LOOK_BYTES, MSG_PEEK | MSG_DONTWAIT);
	const char *line = head;
	const char *end;

	if (got <= 0)
		return true;
	head[got] = '\0';
	line += strspn(line, "\r\n");
	end = memchr(line, '\n', (size_t)(head + got - line));
	return !end || is_request_line(line, (size_t)(end - line));
}

static bool first_look(struct http_connection *owner)
{
	unsigned timeout_s = owner->server->options.idle_timeout_s;
	struct pollfd item = { .fd = owner->fd, .events = POLLIN };

	if (poll(&item, 1, timeout_s ? (int)timeout_s * 1000 : -1) == 0)
		return false;
	if (!is_readable(owner->fd))
		refuse(owner, MHD_HTTP_BAD_REQUEST);
	return !owner->over;
}

static void on_log(void *cls, const char *format, va_list args)
{
	if (strstr(format, "HTTP response code is %u"))
		refuse(cls, va_arg(args, unsigned));
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct http_connection *owner = cls;

	owner->request = request_new(owner, target, connection);
	atomic_store(&owner->busy, true);
	return owner->request;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct http_connection *owner = cls;

	(void)connection;
	(void)code;
	owner->request = NULL;
	if (*request_cls)
		request_free(*request_cls);
	*request_cls = NULL;
	atomic_store(&owner->served, true);
	atomic_store(&owner->busy, false);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_cls,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_connection *owner = cls;

	(void)connection;
	(void)socket_cls;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED)
		owner->over = true;
}

static struct MHD_Daemon *daemon_new(struct http_connection *owner)
{
	const unsigned flags = MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;

	return MHD_start_daemon(
		flags, 0, NULL, NULL, connection_request, owner, MHD_OPTION_EXTERNAL_LOGGER, on_log, owner,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, owner, MHD_OPTION_NOTIFY_COMPLETED, on_completed, owner,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, owner, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		owner->server->options.read_bytes ? owner->server->options.read_bytes : CONNECTION_MEMORY_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, owner->server->options.idle_timeout_s, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
		1, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static void leave(struct http_connection *owner)
{
	struct http_server *server = owner->server;

	mutex_lock(&server->mutex);
	list_remove(&owner->node);
	mutex_unlock(&server->mutex);
}

/* The last that touches the server: http_server_free() waits for it. */
static void count_down(struct http_server *server)
{
	mutex_lock(&server->mutex);
	server->connection_count--;
	condition_broadcast(&server->idle);
	mutex_unlock(&server->mutex);
}

/* The server takes its leave, and this client has had its answer. */
static bool is_drained(const struct http_connection *owner)
{
	return atomic_load(&owner->server->draining) && !atomic_load(&owner->busy) && atomic_load(&owner->served);
}

/*
 * libmicrohttpd reads until it gets less than it has room for, then waits for an event. A client that hung up behind
 * its last bytes made one event of both: its end would be seen by the idle timeout alone.
 */
static bool has_hung_up(const struct http_connection *owner)
{
	char next;

	return !owner->over && !(owner->request && owner->request->complete) &&
	       recv(owner->fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void *connection_thread(void *arg)
{
	struct http_connection *owner = arg;
	struct http_server *server = owner->server;
	struct MHD_Daemon *daemon = owner->daemon = first_look(owner) ? daemon_new(owner) : NULL;
	bool added = daemon && MHD_add_connection(daemon, owner->fd, (struct sockaddr *)(void *)&owner->address,
						  owner->address_size) == MHD_YES;

	while (added && !owner->over && !is_drained(owner))
		if (MHD_run_wait(daemon, POLL_MS) != MHD_YES || has_hung_up(owner))
			break;
	/* Before the number is free for somebody else's descriptor. */
	leave(owner);
	if (daemon)
		MHD_stop_daemon(daemon);
	/* A socket libmicrohttpd was given is closed by it in any case. */
	if (!daemon)
		close(owner->fd);
	free(owner->user);
	free(owner);
	count_down(server);
	return NULL;
}

/* 1: it may be served; 0: there are too many; -1: the server ends. */
static int enter(struct http_connection *owner)
{
	struct http_server *server = owner->server;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&server->mutex);

	if (server->stopping)
		return -1;
	if (server->connection_count >= server->options.max_connections)
		return 0;
	server->connection_count++;
	list_add_last(&server->connections, &owner->node);
	return 1;
}

static void refuse_start(struct http_connection *owner, const char *why)
{
	struct http_request *request = request_new(owner, NULL, NULL);
	AUTO(error_clear) struct error err = { 0 };

	request->method = "";
	error_set(&err, ERR_UNAVAILABLE, "%s", why);
	response_fail(&request->response, &err);
	response_send_last(&request->response);
	request_free(request);
	close(owner->fd);
	free(owner->user);
	free(owner);
}

void connection_start_take_fd(struct http_server *server, int fd, const struct connection_origin *origin)
{
	struct http_connection *owner = xcalloc(1, sizeof(*owner));
	AUTO(error_clear) struct error err = { 0 };
	int entered;

	owner->server = server;
	owner->fd = fd;
	owner->address = *origin->address;
	owner->address_size = origin->address_size;
	owner->listener = origin->listener;
	owner->user = origin->user;
	owner->begun_ns = clock_monotonic_ns();
	entered = enter(owner);
	if (entered <= 0) {
		refuse_start(owner, entered == 0 ? "too many connections" : "the server is stopping");
		return;
	}
	if (thread_start(NULL, "http", connection_thread, owner, &err) == 0)
		return;
	leave(owner);
	refuse_start(owner, err.message);
	count_down(server);
}
