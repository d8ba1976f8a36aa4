/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-proxy PROTOCOL LINK HOST-PORT ADDRESS PORT: takes connections, or datagrams, on descriptor 3 and carries bytes
 * to and from [ADDRESS]:PORT, as user nobody, until LINK is gone or root says so (proxy_name.h). Exits with 0 once it
 * listens; a child goes on. One thread, one poll(); a connection has a buffer each way, and is only read while that is
 * empty.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "network/proxy_datagrams.h"
#include "network/proxy_name.h"

#define LISTENER 3
#define NOBODY 65534
#define BACKLOG 128
#define PAIRS_MAX 512
#define BUFFER_SIZE 16384
#define FIXED 3	      /* descriptors beside those: listener, name, links */
#define LOOK_MS 10000 /* for clients of UDP that have been silent */

_Static_assert(FLOWS_MAX <= 2 * PAIRS_MAX, "one array is for either");

/* One way: what was read from one side and not written to the other yet. */
struct way {
	uint8_t data[BUFFER_SIZE];
	size_t start;
	size_t end;
	bool closed; /* no more comes */
	bool shut;   /* and the other side knows */
};

struct pair {
	int fds[2];	    /* client, container */
	struct way ways[2]; /* from the client, from the container */
	bool connecting;
};

struct proxy {
	struct sockaddr_in6 target;
	const char *protocol;
	const char *link;
	int name_fd;
	int links_fd;
	struct datagrams *datagrams; /* NULL: connections are carried */
	struct pair *pairs[PAIRS_MAX];
	size_t count;
};

/* ---- one connection ---- */

static void end_pair(struct proxy *proxy, size_t index)
{
	struct pair *pair = proxy->pairs[index];

	close(pair->fds[0]);
	close(pair->fds[1]);
	free(pair);
	proxy->pairs[index] = proxy->pairs[--proxy->count];
}

static void accept_one(struct proxy *proxy)
{
	int client = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct pair *pair;
	int fd;

	if (client < 0)
		return;
	fd = proxy->count < PAIRS_MAX ? socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (fd < 0 ||
	    (connect(fd, (struct sockaddr *)&proxy->target, sizeof(proxy->target)) < 0 && errno != EINPROGRESS)) {
		close(client);
		if (fd >= 0)
			close(fd);
		return;
	}
	pair = xcalloc(1, sizeof(*pair));
	pair->fds[0] = client;
	pair->fds[1] = fd;
	pair->connecting = true;
	proxy->pairs[proxy->count++] = pair;
}

/* false: the connection broke. */
static bool read_way(struct way *way, int fd)
{
	ssize_t size = read(fd, way->data, sizeof(way->data));

	if (size < 0)
		return errno == EAGAIN || errno == EINTR;
	way->start = 0;
	way->end = (size_t)size;
	way->closed = size == 0;
	return true;
}

static bool write_way(struct way *way, int fd)
{
	while (way->start < way->end) {
		ssize_t size = send(fd, way->data + way->start, way->end - way->start, MSG_NOSIGNAL);

		if (size < 0)
			return errno == EAGAIN || errno == EINTR;
		way->start += (size_t)size;
	}
	if (way->closed && !way->shut) {
		way->shut = true;
		shutdown(fd, SHUT_WR);
	}
	return true;
}

static short wanted_events(const struct pair *pair, int side)
{
	const struct way *from = &pair->ways[side], *to = &pair->ways[!side];
	bool full = from->start < from->end;

	if (pair->connecting)
		return side ? POLLOUT : 0;
	return (short)((!full && !from->closed ? POLLIN : 0) | (to->start < to->end ? POLLOUT : 0));
}

/* Whether it goes on. */
static bool serve_pair(struct pair *pair, const short events[2])
{
	if (pair->connecting && !(events[1] & (POLLOUT | POLLERR | POLLHUP)))
		return true;
	if (pair->connecting && events[1] & (POLLERR | POLLHUP))
		return false;
	pair->connecting = false;
	for (int side = 0; side < 2; side++) {
		struct way *way = &pair->ways[side];

		if (events[side] & (POLLIN | POLLHUP | POLLERR) && way->start == way->end && !way->closed &&
		    !read_way(way, pair->fds[side]))
			return false;
		if (!write_way(way, pair->fds[!side]))
			return false;
	}
	return !(pair->ways[0].shut && pair->ways[1].shut);
}

/* ---- the end ---- */

/* Whether somebody who may has said so. It hears that it is over by the end of the connection. */
static bool is_told_to_end(const struct proxy *proxy)
{
	struct ucred peer = { .uid = NOBODY };
	socklen_t size = sizeof(peer);
	int fd = accept4(proxy->name_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0) {
		close(LISTENER);
		return true;
	}
	close(fd);
	return false;
}

static bool link_is_gone(const struct proxy *proxy)
{
	char message[8192];

	while (recv(proxy->links_fd, message, sizeof(message), MSG_DONTWAIT) > 0)
		;
	return if_nametoindex(proxy->link) == 0;
}

/* ---- all together ---- */

static size_t fill_pairs(const struct proxy *proxy, struct pollfd *fds)
{
	for (size_t i = 0; i < 2 * proxy->count; i++)
		fds[i] = (struct pollfd){ proxy->pairs[i / 2]->fds[i % 2],
					  wanted_events(proxy->pairs[i / 2], (int)(i % 2)), 0 };
	return 2 * proxy->count;
}

static void serve_pairs(struct proxy *proxy, const struct pollfd *fds, size_t count, bool heard)
{
	/* From the last: who ends leaves his place to one that was served. */
	for (size_t i = count / 2; i-- > 0;)
		if (!serve_pair(proxy->pairs[i], (short[]){ fds[2 * i].revents, fds[2 * i + 1].revents }))
			end_pair(proxy, i);
	if (heard)
		accept_one(proxy);
}

static void serve(struct proxy *proxy)
{
	for (;;) {
		struct pollfd fds[FIXED + 2 * PAIRS_MAX] = { { LISTENER, POLLIN, 0 },
							     { proxy->name_fd, POLLIN, 0 },
							     { proxy->links_fd, POLLIN, 0 } };
		struct datagrams *datagrams = proxy->datagrams;
		size_t count = datagrams ? datagrams_fill(datagrams, fds + FIXED) : fill_pairs(proxy, fds + FIXED);

		if (poll(fds, FIXED + count, datagrams && count ? LOOK_MS : -1) < 0)
			continue;
		if ((fds[1].revents && is_told_to_end(proxy)) || (fds[2].revents && link_is_gone(proxy)))
			return;
		if (datagrams)
			datagrams_serve(datagrams, fds + FIXED, count, fds[0].revents);
		else
			serve_pairs(proxy, fds + FIXED, count, fds[0].revents);
	}
}

static int watch_links(void)
{
	struct sockaddr_nl local = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ? -1 : take_fd(&fd);
}

static int take_name(const char *protocol, const char *link, uint32_t port)
{
	struct sockaddr_un address;
	socklen_t size = proxy_name(&address, protocol, link, port);
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4) < 0 ? -1 : take_fd(&fd);
}

static bool become_nobody(void)
{
	return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	       setresuid(NOBODY, NOBODY, NOBODY) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static bool open_all(struct proxy *proxy, uint32_t host_port)
{
	int on = 1;

	/* Connections inherit it: when they are over they do not keep the port from its next holder. */
	if (!proxy->datagrams)
		setsockopt(LISTENER, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	proxy->links_fd = watch_links();
	proxy->name_fd = take_name(proxy->protocol, proxy->link, host_port);
	return proxy->links_fd >= 0 && proxy->name_fd >= 0 && if_nametoindex(proxy->link) &&
	       (proxy->datagrams || listen(LISTENER, BACKLOG) == 0) && fcntl(LISTENER, F_SETFL, O_NONBLOCK) == 0 &&
	       become_nobody();
}

int main(int argc, char **argv)
{
	struct proxy proxy = { .target.sin6_family = AF_INET6, .name_fd = -1, .links_fd = -1 };
	uint64_t host_port, port;
	pid_t child;

	if (argc != 6 || text_parse_u64(&host_port, argv[3], UINT16_MAX) < 0 ||
	    text_parse_u64(&port, argv[5], UINT16_MAX) < 0 ||
	    inet_pton(AF_INET6, argv[4], &proxy.target.sin6_addr) != 1)
		return 2;
	proxy.protocol = argv[1];
	proxy.link = argv[2];
	proxy.target.sin6_port = htons((uint16_t)port);
	if (text_equal(proxy.protocol, "udp")) {
		proxy.datagrams = xcalloc(1, sizeof(*proxy.datagrams));
		proxy.datagrams->target = proxy.target;
		proxy.datagrams->listener = LISTENER;
	}
	signal(SIGPIPE, SIG_IGN);
	if (!open_all(&proxy, (uint32_t)host_port))
		return 1;
	child = fork();
	if (child != 0)
		_exit(child < 0);
	serve(&proxy);
	/* A container's restart on the same port waits for this: without a look at what is still open. */
	_exit(0);
}
