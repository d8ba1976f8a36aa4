/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "http/server_private.h"
#include "http/server_tls.h"

#define BACKLOG 512
/* A client whose machine or way is gone says nothing, and a hijacked stream has no other end: half a minute later it is. */
#define KEEPALIVE_IDLE_S 15
#define KEEPALIVE_INTERVAL_S 5
#define SILENCE_MS 30000

/* 1: somebody answers there; 0: nobody does, and what a dead server left is gone. */
static int probe_unix(const struct sockaddr_un *address, struct error *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat info;

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "create unix socket");
	if (lstat(address->sun_path, &info) < 0)
		return 0;
	if (!S_ISSOCK(info.st_mode))
		return error_set(err, ERR_CONFLICT, "%s exists and is not a socket", address->sun_path);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return 1;
	if (errno != ECONNREFUSED)
		return error_set_errno(err, ERR_INTERNAL, errno, "probe %s", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return error_set_errno(err, ERR_INTERNAL, errno, "remove stale socket %s", address->sun_path);
	return 0;
}

static int open_unix(struct listener *listener, const char *path, gid_t group, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = -1;
	int used;

	if (path[0] != '/' || strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "unix socket path %s: must be absolute and at most %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	used = probe_unix(&address, err);
	if (used != 0)
		return used < 0 ? -1
				: error_set(err, ERR_CONFLICT, "%s is in use: another program listens there", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The mode of an unbound socket is the mode bind() gives the file: at no moment is it wider than this. */
	if (fd < 0 || fchmod(fd, 0660) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "create unix socket");
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "bind %s", path);
	listener->unix_path = xstrdup(path);
	if (group != (gid_t)-1 && lchown(path, (uid_t)-1, group) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "change group of %s", path);
	if (chmod(path, 0660) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "change mode of %s", path);
	if (listen(fd, BACKLOG) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "listen on %s", path);
	listener->fd = take_fd(&fd);
	return 0;
}

/* "host:port", "[::1]:port", ":port"; host "" is every address. */
static int split_host(char **out_host, char **out_port, const char *text, struct error *err)
{
	const char *colon = strrchr(text, ':');
	size_t size;

	if (!colon || !colon[1] || strchr(colon, ']'))
		return error_set(err, ERR_INVALID, "address tcp://%s: expected host:port", text);
	size = (size_t)(colon - text);
	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
	}
	*out_host = xstrndup(text, size);
	*out_port = xstrdup(colon + 1);
	return 0;
}

static int bind_first(const struct addrinfo *list, const char *name, struct error *err)
{
	int on = 1;
	int failed = 0;

	for (const struct addrinfo *item = list; item; item = item->ai_next) {
		AUTO_CLOSE int fd = socket(item->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd >= 0)
			setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (fd >= 0 && bind(fd, item->ai_addr, item->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
			return take_fd(&fd);
		failed = errno;
	}
	if (failed == EADDRINUSE)
		return error_set(err, ERR_CONFLICT, "tcp://%s is in use: another program listens there", name);
	return error_set_errno(err, ERR_INTERNAL, failed, "listen on tcp://%s", name);
}

static int open_tcp(struct listener *listener, const char *name, struct error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	AUTO_FREE char *host = NULL;
	AUTO_FREE char *port = NULL;
	struct addrinfo *list;
	int fd;
	int r;

	if (split_host(&host, &port, name, err) < 0)
		return -1;
	r = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (r != 0)
		return error_set(err, ERR_INVALID, "address tcp://%s: %s", name, gai_strerror(r));
	fd = bind_first(list, name, err);
	freeaddrinfo(list);
	if (fd < 0)
		return -1;
	return listener_adopt(listener, fd, err);
}

/* Connections have it from the socket that accepts them. Of other kinds than tcp it is refused, and not needed. */
static void watch_peers(int fd)
{
	const struct {
		int level;
		int name;
		int value;
	} options[] = { { SOL_SOCKET, SO_KEEPALIVE, 1 },
			{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
			{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
			{ IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_MS } };

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

int listener_adopt(struct listener *listener, int fd, struct error *err)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int listening = 0;
	socklen_t listening_size = sizeof(listening);

	listener->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_size) < 0 || !listening ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return error_set(err, ERR_INVALID, "descriptor %d is not a listening socket", fd);
	fd_set_cloexec(fd, true);
	if (address.ss_family != AF_UNIX)
		watch_peers(fd);
	if (address.ss_family == AF_INET)
		listener->port = ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
	else if (address.ss_family == AF_INET6)
		listener->port = ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
	return 0;
}

int listener_open(struct listener *listener, const char *address, gid_t group, struct error *err)
{
	const char *rest = text_after(address, "unix://");

	listener->name = xstrdup(address);
	if (rest)
		return open_unix(listener, rest, group, err);
	rest = text_after(address, "tcp://");
	if (rest)
		return open_tcp(listener, rest, err);
	return error_set(err, ERR_INVALID, "address %s: expected unix:// or tcp://", address);
}

void listener_close(struct listener *listener)
{
	/* The name first: once nobody listens, it may be another server's. */
	if (listener->unix_path)
		unlink(listener->unix_path);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
	free(listener->name);
	free(listener->unix_path);
	listener->name = NULL;
	listener->unix_path = NULL;
	tls_context_free(atomic_exchange(&listener->tls, NULL));
}
