/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_datagrams.h - what kist-proxy carries of a UDP port: each client has a socket of its own towards the container,
 * so that answers find their way back; forgotten after 90 s of silence, as docker-proxy does, or for a newer client.
 */
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOWS_MAX 512
#define FLOW_IDLE_MS 90000

struct flow {
	struct sockaddr_in6 client;
	int fd;
	int64_t used_ns;
};

/* Starts zeroed, with the target and the socket clients speak to (non-blocking). */
struct datagrams {
	struct sockaddr_in6 target;
	int listener;
	struct flow flows[FLOWS_MAX];
	size_t count;
};

/* Fills fds, of FLOWS_MAX, with what is to be waited for; returns how many. */
size_t datagrams_fill(const struct datagrams *datagrams, struct pollfd *fds);
/* After poll() of the first `count` of these: carries what came. `heard`: something came for the listener. */
void datagrams_serve(struct datagrams *datagrams, const struct pollfd *fds, size_t count, bool heard);
