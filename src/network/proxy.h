/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - published ports where the kernel cannot turn packets: at [::1], as
 * it never lets a packet from there out of the loopback link, and at all IPv6
 * addresses of the host if the container has IPv4 only. A small program,
 * `kist-proxy`, takes connections or datagrams on the socket that holds the port
 * and carries them to the container. One a port of TCP or UDP. It lives as long as the container's link, without us;
 * nothing is written down. Inside of network.h.
 */
#pragma once

#include "network/state.h"

/* One for each port of the endpoint that needs it; those that run already go on. Failures are no failure of the port. */
void proxy_start_all(struct network *network, const char *id);
/* Whether some of what comes to the port must be carried; if it has no IPv6 address, all of it. */
bool proxy_is_needed(const struct endpoint_record *record, const struct binding_record *binding);
/* Whether it is carried. */
bool proxy_is_there(const struct endpoint_record *record, const struct binding_record *binding);
void proxy_stop_all(const struct endpoint_record *record);
