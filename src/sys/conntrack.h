/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conntrack.h - make the kernel forget flows.
 *
 * A flow keeps the translation it began with. UDP has no end, so a client that
 * goes on sending would reach a port's former container, or none, for minutes
 * after the port changed hands. -errno; -EPROTONOSUPPORT or -EOPNOTSUPP if the kernel does not track.
 */
#pragma once

#include <stdint.h>

#include "sys/netlink.h"

/* A port of the host, and where it leads. */
struct conntrack_port {
	uint8_t protocol;
	struct net_address host; /* all bytes 0: every address of this machine's */
	uint16_t host_port;
	struct net_address container;
	uint16_t container_port;
};

/* Forgets the flows to this port of the host, wherever they go, and those that the container's port answers. */
int conntrack_forget(const struct conntrack_port *port);
