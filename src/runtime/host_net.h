/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_net.h - a new network namespace, made beside its container.
 *
 * It is the most expensive part of a container by far (0.4 ms and more), and
 * nothing needs it before /sys is mounted. So the host side makes it while init
 * makes mounts, and sends it a descriptor. We are in it ourselves for a moment;
 * that the way back is open is tried before.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "runtime/runtime.h"

/* Both descriptors are yours. */
struct host_net {
	int namespace_fd;
	int socket_fd; /* born in it: host_net_up() */
};

/* Returns 1, 0 if this process could not come back (then init must make it), or fails. lo is not up yet. */
int host_net_make(struct host_net *out_net, struct error *err);
/* Brings up lo of the socket's network namespace; 0 or -errno. */
int host_net_up(int socket_fd);
/* The same for the caller's own; returns the netlink socket that did it, or -errno. */
int host_net_loopback(void);
/* The same in the namespace of a process. */
int host_net_loopback_of(pid_t pid, struct error *err);
/* The sockets of struct runtime_process, born in this namespace. */
int host_net_open_sockets(int namespace_fd, int out_fds[RUNTIME_NET_COUNT], struct error *err);
/* The same in the caller's, but for RUNTIME_NET_ROUTE. A kernel without one of them can do without: what needs it says so. */
void host_net_open_others(int out_fds[RUNTIME_NET_COUNT]);
