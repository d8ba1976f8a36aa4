/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a big body goes between the socket and the handler, in the
 * connection's own thread. libmicrohttpd would copy a request's through a pipe to
 * another thread, and send a file's in pieces of 128 KiB with a look at its epoll
 * set between any two. It does not know of these bytes, so the connection ends
 * with them, and the answer says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/alloc.h"
#include "http/server_private.h"

/* Less is not worth a new connection. */
#define DIRECT_BODY_MIN ((int64_t)1 << 20)
#define DIRECT_FILE_MIN ((uint64_t)4 << 20)
#define SEND_BYTES_MAX ((size_t)1 << 30)
#define DROP_BYTES (64 * 1024)
#define COPY_BYTES ((size_t)128 * 1024)

/* ---- request bodies ---- */

bool request_is_direct(const struct http_request *request)
{
	return request->server->options.direct && request->route && request->route->flags & HTTP_BODY_STREAM &&
	       !request->thread_runs && request->response.kind == ANSWER_NONE &&
	       http_body_length(request) >= DIRECT_BODY_MIN;
}

static int await(const struct http_request *request, short events, unsigned timeout_s)
{
	struct pollfd item = { .fd = request->fd, .events = events };

	return poll(&item, 1, timeout_s ? (int)timeout_s * 1000 : -1);
}

ssize_t request_read_direct(struct http_request *request, void *data, size_t size, struct error *err)
{
	size_t part = request->early_size < size ? request->early_size : size;
	ssize_t got;

	if (part > 0) {
		memcpy(data, request->early, part);
		request->early += part;
		request->early_size -= part;
		return (ssize_t)part;
	}
	if (request->left == 0)
		return 0;
	if (size > request->left)
		size = (size_t)request->left;
	for (;;) {
		got = recv(request->fd, data, size, MSG_DONTWAIT);
		if (got > 0)
			break;
		if (got == 0 || (errno != EAGAIN && errno != EINTR) ||
		    await(request, POLLIN, request->server->options.idle_timeout_s) == 0)
			return error_set(err, ERR_CANCELED, "client hung up in the middle of the request body");
	}
	request->left -= (uint64_t)got;
	return got;
}

/* A client that sends on must be able to read why it need not. */
static void drop_rest(struct http_request *request)
{
	AUTO(error_clear) struct error ignored = { 0 };
	char dropped[DROP_BYTES];

	while (request_read_direct(request, dropped, sizeof(dropped), &ignored) > 0)
		;
}

void request_run_direct(struct http_request *request, const char *data, size_t size)
{
	request->direct = true;
	request->early = data;
	request->early_size = size;
	request->left = (uint64_t)http_body_length(request) - size;
	request_call_handler(request);
	drop_rest(request);
}

/* ---- files ---- */

bool response_is_direct(const struct http_response *response)
{
	const struct http_request *request = response->request;

	return request->server->options.direct && response->kind == ANSWER_FILE && response->size >= DIRECT_FILE_MIN &&
	       !request->http_1_0;
}

/* Not over a network: whoever reads there copies each byte on this machine. */
static bool is_local(const struct http_request *request)
{
	const struct sockaddr_storage *address = &request->owner->address;

	if (address->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
	if (address->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
	return true;
}

/* sendfile(2) saves our copy, but a local reader's copy out of single cold pages takes longer than two warm ones. */
static int copy_file(struct http_response *response)
{
	const struct http_request *request = response->request;
	AUTO_FREE char *chunk = xmalloc(COPY_BYTES);
	off_t offset = (off_t)response->offset;
	uint64_t left = response->size;

	while (left > 0) {
		ssize_t got = pread(response->fd, chunk, left < COPY_BYTES ? (size_t)left : COPY_BYTES, offset);
		struct iovec part = { .iov_base = chunk, .iov_len = got > 0 ? (size_t)got : 0 };
		int r = got > 0 ? socket_send(request->fd, &part, 1, request->server->options.send_timeout_s) : -EIO;

		if (r < 0)
			return r;
		offset += got;
		left -= (uint64_t)got;
	}
	return 0;
}

static int send_file(struct http_response *response)
{
	const struct http_request *request = response->request;
	off_t offset = (off_t)response->offset;
	uint64_t left = response->size;

	while (left > 0) {
		ssize_t sent = sendfile(request->fd, response->fd, &offset,
					left < SEND_BYTES_MAX ? (size_t)left : SEND_BYTES_MAX);

		/* A file that became shorter: the client sees the end of the connection before that of the body. */
		if (sent == 0)
			return -EIO;
		if (sent > 0)
			left -= (uint64_t)sent;
		else if (errno != EINTR &&
			 (errno != EAGAIN || await(request, POLLOUT, request->server->options.send_timeout_s) == 0))
			return -errno;
	}
	return 0;
}

void response_send_direct(struct http_response *response)
{
	int fd = response->request->fd;
	struct text head = { 0 };
	char length[32];
	struct iovec part;

	snprintf(length, sizeof(length), "%llu", (unsigned long long)response->size);
	http_set_header(response, MHD_HTTP_HEADER_CONTENT_LENGTH, length);
	response_head(&head, response, "close");
	part = (struct iovec){ .iov_base = head.data, .iov_len = head.size };
	if (socket_send(fd, &part, 1, response->request->server->options.send_timeout_s) == 0)
		(void)(is_local(response->request) ? copy_file(response) : send_file(response));
	text_fini(&head);
	/* Not an end that takes back what the client has not read yet. */
	shutdown(fd, SHUT_WR);
}
