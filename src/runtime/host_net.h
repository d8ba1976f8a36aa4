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

/* Returns 1 with lo up and a descriptor, 0 if this process could not come back (then init must make it), or fails. */
int host_net_make(int *out_namespace_fd, struct error *err);
/* Brings up lo of the caller's network namespace; returns the netlink socket that did it, or -errno. */
int host_net_loopback(void);
/* The same in the namespace of a process. */
int host_net_loopback_of(pid_t pid, struct error *err);
