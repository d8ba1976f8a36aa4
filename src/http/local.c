/* SPDX-License-Identifier: Apache-2.0 */
#include "http/local.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "http/local_parse.h"

#define READ_SIZE (32 * 1024)
#define FULL_PAUSE_MS 20

struct local_client {
	char *path;		  /* of a unix socket, or NULL */
	char *node;		  /* tcp */
	char *port;		  /* tcp */
	char *header;		  /* Host: */
	char *host;		  /* as given, for messages */
	struct text_list program; /* its arguments; none: not by a program */
	int idle_fd;		  /* -1: none */
	int64_t deadline_ns;	  /* 0: none, and descriptors block */
	int cancel_fds[2];
};

struct local_response {
	struct local_client *client; /* borrowed */
	struct local_head head;
	struct local_body body;
	struct buffer in; /* read, but not given out */
	size_t in_at;
	int fd;
	bool upgraded;
	bool eof;
};

/* ---- addresses and connections ---- */

static int parse_tcp(struct local_client *client, const char *rest, struct error *err)
{
	AUTO_FREE char *address = xstrdup(rest);
	char *slash = strchr(address, '/');
	char *colon;

	if (slash)
		*slash = '\0';
	colon = strrchr(address, ':');
	if (address[0] == '[') {
		char *end = strchr(address, ']');

		if (!end)
			return error_set(err, ERR_INVALID, "invalid host address \"tcp://%s\"", rest);
		*end = '\0';
		client->node = xstrdup(address + 1);
		colon = end[1] == ':' ? end + 1 : NULL;
	} else {
		client->node = colon ? xstrndup(address, (size_t)(colon - address)) : xstrdup(address);
	}
	client->port = xstrdup(colon && colon[1] ? colon + 1 : "2375");
	client->header = xstrdup(rest);
	client->header[strcspn(client->header, "/")] = '\0';
	return 0;
}

int local_client_new(struct local_client **out_client, const char *host, struct error *err)
{
	AUTO(local_client_freep) struct local_client *client = xcalloc(1, sizeof(*client));
	const char *path = text_after(host, "unix://");
	const char *tcp = text_after(host, "tcp://");

	client->idle_fd = -1;
	client->host = xstrdup(host);
	if (path && *path) {
		if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			return error_set(err, ERR_INVALID, "socket path is too long: %s", path);
		client->path = xstrdup(path);
		client->header = xstrdup("api.moby.localhost");
	} else if (tcp && *tcp) {
		if (parse_tcp(client, tcp, err) < 0)
			return -1;
	} else {
		return error_set(err, ERR_INVALID, "host \"%s\" is neither unix:///path nor tcp://host:port", host);
	}
	*out_client = take_ptr(client);
	return 0;
}

int local_client_new_program(struct local_client **out_client, const char *host, const struct text_list *argv,
			     struct error *err)
{
	struct local_client *client;

	if (argv->count == 0)
		return error_set(err, ERR_INVALID, "host \"%s\": no program to reach it by", host);
	client = xcalloc(1, sizeof(*client));
	client->idle_fd = -1;
	client->host = xstrdup(host);
	client->header = xstrdup("api.moby.localhost");
	text_list_add_all(&client->program, argv);
	*out_client = client;
	return 0;
}

void local_client_free(struct local_client *client)
{
	if (!client)
		return;
	if (client->idle_fd >= 0)
		close(client->idle_fd);
	free(client->path);
	free(client->node);
	free(client->port);
	free(client->header);
	free(client->host);
	text_list_fini(&client->program);
	free(client);
}

void local_client_limit(struct local_client *client, int64_t deadline_ns, int cancel_fd, int other_fd)
{
	client->deadline_ns = deadline_ns;
	client->cancel_fds[0] = cancel_fd;
	client->cancel_fds[1] = other_fd;
}

/* Until fd (-1: none) is ready, or at most pause_ms (-1: no less than the limit): 0, or -1 with err. */
static int await(const struct local_client *client, int fd, short events, int pause_ms, struct error *err)
{
	struct pollfd items[3] = { { .fd = fd, .events = events },
				   { .fd = client->cancel_fds[0], .events = POLLIN },
				   { .fd = client->cancel_fds[1], .events = POLLIN } };
	int r;

	if (!client->deadline_ns)
		return 0;
	do {
		int64_t left_ms = (client->deadline_ns - clock_monotonic_ns() + CLOCK_MS - 1) / CLOCK_MS;

		if (left_ms <= 0)
			return error_set_errno(err, ERR_UNAVAILABLE, ETIMEDOUT, "%s", client->host);
		r = poll(items, 3, (int)(pause_ms >= 0 && pause_ms < left_ms ? pause_ms : left_ms));
	} while ((r < 0 && errno == EINTR) || (r == 0 && pause_ms < 0));
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	if (items[1].revents || items[2].revents)
		return error_set(err, ERR_CANCELED, "%s: canceled", client->host);
	return 0;
}

static int refuse(const struct local_client *client, int errnum, struct error *err)
{
	return error_set_errno(err, ERR_UNAVAILABLE, errnum, "connect to %s", client->host);
}

/* A listener whose queue is full is EAGAIN, and is tried again. */
static int connect_limited(const struct local_client *client, int fd, const struct sockaddr *address, socklen_t size,
			   struct error *err)
{
	int flags = fcntl(fd, F_GETFL);
	socklen_t problem_size = sizeof(int);
	int problem = 0;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return refuse(client, errno, err);
	while (connect(fd, address, size) < 0) {
		if (errno == EAGAIN) {
			if (await(client, -1, 0, FULL_PAUSE_MS, err) < 0)
				return -1;
			continue;
		}
		if (errno != EINPROGRESS)
			return refuse(client, errno, err);
		if (await(client, fd, POLLOUT, -1, err) < 0)
			return -1;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &problem_size) < 0 || problem != 0)
			return refuse(client, problem ? problem : errno, err);
		break;
	}
	return 0;
}

static int connect_unix(const struct local_client *client, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, client->path, strlen(client->path) + 1);
	if (fd >= 0 && client->deadline_ns)
		return connect_limited(client, fd, (struct sockaddr *)&address, sizeof(address), err) < 0
			       ? -1
			       : take_fd(&fd);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return refuse(client, errno, err);
	return take_fd(&fd);
}

static int connect_tcp(const struct local_client *client, struct error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	int errnum = EHOSTUNREACH;
	int r = getaddrinfo(client->node, client->port, &hints, &found);
	int fd = -1;

	if (r != 0)
		return error_set(err, ERR_UNAVAILABLE, "connect to %s: %s", client->host, gai_strerror(r));
	for (const struct addrinfo *each = found; each && fd < 0; each = each->ai_next) {
		AUTO(error_clear) struct error problem = { 0 };

		fd = socket(each->ai_family, each->ai_socktype | SOCK_CLOEXEC, each->ai_protocol);
		if (fd >= 0 && client->deadline_ns) {
			if (connect_limited(client, fd, each->ai_addr, each->ai_addrlen, &problem) == 0)
				break;
			errnum = problem.errnum ? problem.errnum : ECANCELED;
			close(take_fd(&fd));
		} else if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) < 0) {
			errnum = errno;
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd < 0 ? refuse(client, errnum, err) : fd;
}

/* It ends when we hang up, and is then nobody's but init's. */
static int connect_program(const struct local_client *client, struct error *err)
{
	struct process process = { .pidfd = -1 };
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return refuse(client, errno, err);
	r = process_spawn(&process,
			  &(struct process_options){ .path = client->program.items[0],
						     .argv = text_list_argv(&client->program),
						     .stdin_fd = pair[1],
						     .stdout_fd = pair[1] },
			  err);
	close(pair[1]);
	if (process.pidfd >= 0)
		close(process.pidfd);
	if (r == 0)
		return pair[0];
	close(pair[0]);
	return error_prefix(err, "connect to %s", client->host);
}

static int open_connection(const struct local_client *client, struct error *err)
{
	if (client->program.count)
		return connect_program(client, err);
	return client->path ? connect_unix(client, err) : connect_tcp(client, err);
}

int local_client_connect(struct local_client *client, struct error *err)
{
	if (client->idle_fd < 0)
		client->idle_fd = open_connection(client, err);
	return client->idle_fd < 0 ? -1 : 0;
}

/* ---- sending ---- */

static int send_all(const struct local_client *client, int fd, const void *data, size_t size)
{
	AUTO(error_clear) struct error late = { 0 };
	const char *at = data;

	while (size > 0) {
		ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN && client->deadline_ns) {
			if (await(client, fd, POLLOUT, -1, &late) < 0)
				return late.errnum ? -late.errnum : -ECANCELED;
			continue;
		}
		if (sent < 0)
			return -errno;
		at += sent;
		size -= (size_t)sent;
	}
	return 0;
}

static void format_head(struct text *out, const struct local_client *client, const struct local_request *request,
			size_t body_size)
{
	text_addf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kist/%s (linux)\r\n", request->method, request->path,
		  client->header, KIST_VERSION);
	for (size_t i = 0; request->headers && i < request->headers->count; i++)
		text_addf(out, "%s\r\n", request->headers->items[i]);
	if (request->body || request->has_body_fd)
		text_addf(out, "Content-Type: %s\r\n",
			  request->content_type ? request->content_type : "application/json");
	if (request->has_body_fd)
		text_add(out, "Transfer-Encoding: chunked\r\n");
	else if (request->body || !text_equal(request->method, "GET"))
		text_addf(out, "Content-Length: %zu\r\n", body_size);
	if (request->upgrade)
		text_add(out, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
	text_add(out, "\r\n");
}

/* The file as chunks. A peer that stops listening has answered: its response tells why. */
static int send_fd(const struct local_client *client, int fd, const struct local_request *request, struct error *err)
{
	AUTO_FREE char *data = xmalloc(READ_SIZE);

	for (;;) {
		ssize_t size = read(request->body_fd, data, READ_SIZE);
		AUTO(text_fini) struct text chunk = { 0 };

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "read the body to send");
		text_addf(&chunk, "%zx\r\n", (size_t)size);
		text_add_bytes(&chunk, data, (size_t)size);
		text_add(&chunk, "\r\n");
		if (send_all(client, fd, chunk.data, chunk.size) < 0 || size == 0)
			return 0;
		if (request->sent)
			request->sent(request->sent_arg, (uint64_t)size);
	}
}

static int send_request(struct local_response *response, const struct local_request *request, bool *out_sent,
			struct error *err)
{
	AUTO(text_fini) struct text out = { 0 };
	size_t body_size = request->body && !request->body_size ? strlen(request->body) : request->body_size;
	int r;

	format_head(&out, response->client, request, body_size);
	if (request->body)
		text_add_bytes(&out, request->body, body_size);
	r = send_all(response->client, response->fd, out.data, out.size);
	*out_sent = r == 0;
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return error_set_errno(err, r == -ECANCELED ? ERR_CANCELED : ERR_UNAVAILABLE, r, "send to %s",
				       response->client->host);
	return request->has_body_fd ? send_fd(response->client, response->fd, request, err) : 0;
}

/* ---- receiving ---- */

/* More bytes into response->in: 1, 0 at end of stream, -1. */
static int fill(struct local_response *response, struct error *err)
{
	ssize_t size;

	if (response->in_at > 0) {
		buffer_consume(&response->in, response->in_at);
		response->in_at = 0;
	}
	do {
		if (await(response->client, response->fd, POLLIN, -1, err) < 0)
			return -1;
		size = buffer_read_some(&response->in, response->fd, READ_SIZE);
	} while (size == -EINTR || (size == -EAGAIN && response->client->deadline_ns));
	/* A reset behind the last byte is how some servers end a hijacked stream. */
	if (size == 0 || (size == -ECONNRESET && response->upgraded)) {
		response->eof = true;
		return 0;
	}
	if (size < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, (int)size, "read from %s", response->client->host);
	return 1;
}

static int receive_head(struct local_response *response, const struct local_request *request, struct error *err)
{
	for (;;) {
		size_t used;
		int r = local_head_parse(&response->head, buffer_text(&response->in), response->in.size, &used, err);

		if (r < 0)
			return -1;
		if (r == 1) {
			buffer_consume(&response->in, used);
			if (response->head.status >= 200 || response->head.status == 101)
				break;
			local_head_fini(&response->head);
			continue;
		}
		r = fill(response, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return error_set_errno(err, ERR_UNAVAILABLE, response->in.size ? EPROTO : EPIPE,
					       "%s closed the connection without an answer", response->client->host);
	}
	response->upgraded = request->upgrade && (response->head.status == 101 || response->head.status == 200);
	if (response->upgraded) {
		response->body.framing = LOCAL_BODY_UNTIL_CLOSE;
		return 0;
	}
	return local_body_init(&response->body, &response->head, request->method, err);
}

static int exchange(struct local_response **out_response, struct local_client *client, int fd,
		    const struct local_request *request, bool *out_sent, struct error *err)
{
	AUTO(local_response_freep) struct local_response *response = xcalloc(1, sizeof(*response));

	response->client = client;
	response->fd = fd;
	buffer_init(&response->in, LOCAL_HEAD_MAX + 2 * READ_SIZE);
	*out_sent = true;
	if (send_request(response, request, out_sent, err) < 0 || receive_head(response, request, err) < 0) {
		response->eof = true;
		return -1;
	}
	*out_response = take_ptr(response);
	return 0;
}

/* Nothing is due to be read between two requests: what is readable is the end. */
static bool is_over(int fd)
{
	struct pollfd item = { .fd = fd, .events = POLLIN };

	return poll(&item, 1, 0) != 0;
}

/*
 * The server may close an idle connection at any moment. What it did not get, or what changes nothing, may be sent
 * again; anything else may have been done before the connection was lost.
 */
static bool may_repeat(const struct local_request *request, bool sent, const struct error *err)
{
	bool lost = err->errnum == EPIPE || err->errnum == ECONNRESET;

	return lost && !request->has_body_fd &&
	       (!sent || text_equal(request->method, "GET") || text_equal(request->method, "HEAD"));
}

int local_send(struct local_response **out_response, struct local_client *client, const struct local_request *request,
	       struct error *err)
{
	int fd = take_fd(&client->idle_fd);
	bool sent;

	if (fd >= 0 && is_over(fd))
		close(take_fd(&fd));
	if (fd >= 0) {
		AUTO(error_clear) struct error stale = { 0 };

		if (exchange(out_response, client, fd, request, &sent, &stale) == 0)
			return 0;
		if (!may_repeat(request, sent, &stale))
			return error_move(err, &stale);
	}
	fd = open_connection(client, err);
	return fd < 0 ? -1 : exchange(out_response, client, fd, request, &sent, err);
}

int local_response_status(const struct local_response *response)
{
	return response->head.status;
}

const char *local_response_header(const struct local_response *response, const char *name)
{
	for (size_t i = 0; i < response->head.headers.count; i++)
		if (text_equal_ignoring_case(response->head.headers.items[i].key, name))
			return response->head.headers.items[i].value;
	return NULL;
}

/* One step of decoding what is in the buffer; *out_done true at the end of the body. */
static ssize_t take_some(struct local_response *response, void *data, size_t size, struct error *err)
{
	const uint8_t *in = response->in.data + response->in_at;
	size_t have = response->in.size - response->in_at;
	const uint8_t *found;
	size_t found_size;
	size_t used;
	bool whole_only = response->body.framing == LOCAL_BODY_CHUNKED && response->body.chunk != LOCAL_CHUNK_DATA;

	if (!whole_only && have > size)
		have = size;
	if (local_body_take(&response->body, in, have, &used, &found, &found_size, err) < 0)
		return -1;
	if (found_size)
		memcpy(data, found, found_size);
	response->in_at += used;
	if (found_size)
		return (ssize_t)found_size;
	return used || response->body.done ? 0 : -2;
}

ssize_t local_response_read(struct local_response *response, void *data, size_t size, struct error *err)
{
	while (!response->body.done) {
		ssize_t taken = take_some(response, data, size, err);

		if (taken > 0 || taken == -1)
			return taken;
		if (taken == 0)
			continue;
		if (!response->eof && fill(response, err) < 0)
			return -1;
		if (!response->eof)
			continue;
		if (response->body.framing != LOCAL_BODY_UNTIL_CLOSE)
			return error_set(err, ERR_UNAVAILABLE, "%s closed the connection in the middle of its answer",
					 response->client->host);
		response->body.done = response->in.size == response->in_at;
	}
	return 0;
}

int local_response_read_all(struct local_response *response, struct buffer *out, struct error *err)
{
	AUTO_FREE char *data = xmalloc(READ_SIZE);
	ssize_t size;

	while ((size = local_response_read(response, data, READ_SIZE, err)) > 0) {
		buffer_append(out, data, (size_t)size);
		if (buffer_failed(out))
			return error_set(err, ERR_EXHAUSTED, "answer of %s is longer than %zu bytes",
					 response->client->host, out->limit);
	}
	return size < 0 ? -1 : 0;
}

int local_response_fd(const struct local_response *response)
{
	return response->fd;
}

bool local_response_pending(struct local_response *response)
{
	struct local_body *body = &response->body;

	while (!body->done && body->framing == LOCAL_BODY_CHUNKED && body->chunk != LOCAL_CHUNK_DATA) {
		AUTO(error_clear) struct error err = { 0 };
		struct local_body before = *body;
		const uint8_t *found;
		size_t found_size;
		size_t used;

		if (local_body_take(body, response->in.data + response->in_at, response->in.size - response->in_at,
				    &used, &found, &found_size, &err) < 0) {
			*body = before;
			return true;
		}
		if (used == 0)
			return response->eof;
		response->in_at += used;
	}
	return body->done || response->eof || response->in_at < response->in.size;
}

void local_response_free(struct local_response *response)
{
	struct local_client *client;

	if (!response)
		return;
	client = response->client;
	/* Small rests of an unread body are not worth draining; close instead. */
	if (response->body.done && !response->upgraded && !response->eof && response->head.keep_alive &&
	    response->in_at == response->in.size && client->idle_fd < 0)
		client->idle_fd = response->fd;
	else
		close(response->fd);
	local_head_fini(&response->head);
	buffer_fini(&response->in);
	free(response);
}
