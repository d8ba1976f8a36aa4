/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/namespace.h"

/* Interface requests work on a socket of any family: so one netlink socket does both. */
static int open_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

int host_net_up(int socket_fd)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	return ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int host_net_loopback(void)
{
	AUTO_CLOSE int fd = open_socket();
	int r = fd < 0 ? fd : host_net_up(fd);

	return r < 0 ? r : take_fd(&fd);
}

int host_net_make(struct host_net *out_net, struct error *err)
{
	AUTO_CLOSE int own = namespace_open(0, namespace_kind_of_flag(CLONE_NEWNET));
	AUTO_CLOSE int made = -1;
	AUTO_CLOSE int socket_fd = -1;

	if (own < 0 || namespace_join(own, CLONE_NEWNET) < 0)
		return 0;
	if (unshare(CLONE_NEWNET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make network namespace%s",
				       errno == ENOSPC ? " (a limit in /proc/sys/user is reached)" : "");
	made = namespace_open(0, namespace_kind_of_flag(CLONE_NEWNET));
	socket_fd = open_socket();
	/* It went a moment ago; a caller that is left in a container's network is nobody's friend. */
	if (namespace_join(own, CLONE_NEWNET) < 0)
		abort();
	if (made < 0)
		return error_set_errno(err, ERR_INTERNAL, made, "open the new network namespace");
	if (socket_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, socket_fd, "open a socket in the new network namespace");
	*out_net = (struct host_net){ take_fd(&made), take_fd(&socket_fd) };
	return 1;
}

void host_net_open_others(int out_fds[RUNTIME_NET_COUNT])
{
	out_fds[RUNTIME_NET_FILTER] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	out_fds[RUNTIME_NET_UDP] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	out_fds[RUNTIME_NET_TCP] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* There and back; *out_fds (may be NULL) get the sockets. */
static int visit(int namespace_fd, int *out_fds, struct error *err)
{
	AUTO_CLOSE int own = namespace_open(0, namespace_kind_of_flag(CLONE_NEWNET));
	AUTO_CLOSE int route_fd = -1;

	if (own < 0 || namespace_join(own, CLONE_NEWNET) < 0 || namespace_join(namespace_fd, CLONE_NEWNET) < 0)
		return error_set(err, ERR_INTERNAL, "enter the container's network namespace");
	route_fd = host_net_loopback();
	if (route_fd >= 0 && out_fds)
		host_net_open_others(out_fds);
	if (namespace_join(own, CLONE_NEWNET) < 0)
		abort();
	if (route_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, route_fd, "bring up lo");
	if (out_fds)
		out_fds[RUNTIME_NET_ROUTE] = take_fd(&route_fd);
	return 0;
}

int host_net_open_sockets(int namespace_fd, int out_fds[RUNTIME_NET_COUNT], struct error *err)
{
	return visit(namespace_fd, out_fds, err);
}

int host_net_loopback_of(pid_t pid, struct error *err)
{
	AUTO_CLOSE int fd = namespace_open(pid, namespace_kind_of_flag(CLONE_NEWNET));

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, fd, "open the network namespace of process %d", pid)
		      : visit(fd, NULL, err);
}
