/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/connection.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#define TIMEOUT_MS 10000

static const char *scheme_of(const struct connection *connection)
{
	return connection->address.scheme;
}

bool connection_is_datagram(const struct connection *connection)
{
	return text_equal(scheme_of(connection), "udp") || text_equal(scheme_of(connection), "unixgram");
}

static bool is_unix(const struct connection *connection)
{
	return text_has_prefix(scheme_of(connection), "unix");
}

static void set_timeout(int fd, int option, int64_t ms)
{
	struct timeval time = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time));
}

static int connect_unix(int *out_fd, const struct connection *connection, int type, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = connection->address.path;
	AUTO_CLOSE int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "unix socket %s: the path is too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "dial unix %s: connect", path);
	*out_fd = take_fd(&fd);
	return 0;
}

/* 0, or -errno. */
static int connect_one(int *out_fd, const struct addrinfo *info)
{
	AUTO_CLOSE int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd item = { .fd = fd, .events = POLLOUT };
	int problem = 0;
	socklen_t size = sizeof(problem);

	if (fd < 0)
		return -errno;
	if (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		if (poll(&item, 1, TIMEOUT_MS) <= 0)
			return -ETIMEDOUT;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 || problem)
			return problem ? -problem : -errno;
	}
	fd_set_nonblocking(fd, false);
	*out_fd = take_fd(&fd);
	return 0;
}

static int connect_host(int *out_fd, const struct connection *connection, struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = connection_is_datagram(connection) ? SOCK_DGRAM : SOCK_STREAM };
	const char *host = text_empty(connection->address.host) ? "localhost" : connection->address.host;
	const char *port = connection->address.port ? connection->address.port : connection->default_port;
	const char *network = connection_is_datagram(connection) ? "udp" : "tcp";
	struct addrinfo *found;
	int r = getaddrinfo(host, port, &hints, &found);

	if (r != 0)
		return error_set(err, ERR_INTERNAL, "dial %s: lookup %s: %s", network, host, gai_strerror(r));
	r = -ENOENT;
	for (const struct addrinfo *info = found; info && r < 0; info = info->ai_next)
		r = connect_one(out_fd, info);
	freeaddrinfo(found);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "dial %s %s:%s: connect", network, host, port) : 0;
}

static int open_socket(struct connection *connection, struct error *err)
{
	bool datagram = connection_is_datagram(connection);

	if (!is_unix(connection))
		return connect_host(&connection->fd, connection, err);
	return connect_unix(&connection->fd, connection, datagram ? SOCK_DGRAM : SOCK_STREAM, err);
}

int connection_open(struct connection *connection, struct error *err)
{
	if (open_socket(connection, err) < 0)
		return -1;
	set_timeout(connection->fd, SO_SNDTIMEO,
		    connection->write_timeout_ms ? connection->write_timeout_ms : TIMEOUT_MS);
	set_timeout(connection->fd, SO_RCVTIMEO,
		    connection->read_timeout_ms ? connection->read_timeout_ms : TIMEOUT_MS);
	if (connection_uses_tls(connection) && tls_session_open(&connection->tls, connection, err) < 0) {
		connection_close(connection);
		return -1;
	}
	return 0;
}

void connection_close(struct connection *connection)
{
	tls_session_close(take_ptr(connection->tls));
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
}

void connection_fini(struct connection *connection)
{
	connection_close(connection);
	log_address_fini(&connection->address);
}

static int write_tls(struct connection *connection, const char *data, size_t size, struct error *err)
{
	while (size > 0) {
		long wrote = tls_session_write(connection->tls, data, size);

		if (wrote <= 0)
			return error_set(err, ERR_INTERNAL, "write: %s", tls_session_problem(wrote));
		data += wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

static int write_stream(struct connection *connection, const char *data, size_t size, struct error *err)
{
	while (size > 0) {
		ssize_t wrote = send(connection->fd, data, size, MSG_NOSIGNAL);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "write");
		data += wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

int connection_write(struct connection *connection, const void *data, size_t size, struct error *err)
{
	int r = 0;

	if (connection->tls)
		r = write_tls(connection, data, size, err);
	else if (!connection_is_datagram(connection))
		r = write_stream(connection, data, size, err);
	/* An earlier datagram's refusal is told with this one: nobody listens now, which UDP never promised. */
	else if (send(connection->fd, data, size, MSG_NOSIGNAL) < 0 &&
		 (errno != ECONNREFUSED || send(connection->fd, data, size, MSG_NOSIGNAL) < 0) && errno != ECONNREFUSED)
		r = error_set_errno(err, ERR_INTERNAL, errno, "write");
	if (r < 0)
		connection_close(connection);
	return r;
}

long connection_read(struct connection *connection, void *data, size_t size, struct error *err)
{
	ssize_t got;

	if (connection->tls) {
		got = tls_session_read(connection->tls, data, size);
		return got < 0 ? error_set(err, ERR_INTERNAL, "read: %s", tls_session_problem(got)) : got;
	}
	do {
		got = recv(connection->fd, data, size, 0);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "read") : got;
}

int connection_send(struct connection *connection, connection_sender send, void *context, struct error *err)
{
	for (int64_t tries = 0;; tries++) {
		if ((connection->fd >= 0 || connection_open(connection, err) == 0) && send(context, err) == 0)
			return 0;
		connection_close(connection);
		if (tries >= connection->retries)
			return -1;
		error_clear(err);
		/* At once the first time: a collector that was restarted is there again. */
		if (tries > 0)
			clock_sleep_ms(connection->retry_wait_ms);
	}
}
