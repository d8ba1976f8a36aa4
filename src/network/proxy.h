/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - published ports at [::1]: the kernel never lets a packet from there
 * out of the loopback link, so a small program, `kist-proxy`, takes connections
 * or datagrams on the socket that holds the port and carries them to the
 * container. One a port of TCP or UDP. It lives as long as the container's link, without us;
 * nothing is written down. Inside of network.h.
 */
#pragma once

#include "network/state.h"

/* One for each port of the endpoint that needs it; those that run already go on. Failures are no failure of the port. */
void proxy_start_all(struct network *network, const char *id);
void proxy_stop_all(const struct endpoint_record *record);
