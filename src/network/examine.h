/* SPDX-License-Identifier: Apache-2.0 */
/*
 * examine.h - the way of a packet, step by step, in words: what is there, and
 * what is broken and why that matters. Looks only, changes nothing.
 */
#pragma once

#include "network/network.h"

struct examination {
	struct text_list lines; /* "ok      bridge br-x is up", "BROKEN  ...": yours */
	unsigned broken;
};

/* The host's side: link, addresses, forwarding, rules, others' firewalls. */
void network_examine(struct network *network, const char *bridge, struct examination *out);
/* A container's place: its link on both sides, addresses, the default route where it leads out, published ports. */
void network_examine_endpoint(struct network *network, const char *id, int netlink_fd, struct examination *out);
/* One finding of the caller's own. */
void examination_add(struct examination *examination, bool good, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void examination_fini(struct examination *examination);
