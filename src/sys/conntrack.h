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

/* Forgets IPv4 flows of this protocol to this port of the host, or that an address answers (AF_UNSPEC: none). */
int conntrack_forget(uint8_t protocol, uint16_t host_port, const struct net_address *answered_by);
