/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_name.h - how a kist-proxy is called: an abstract socket of its network namespace. A connection of root's ends it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static inline socklen_t proxy_name(struct sockaddr_un *out_address, const char *protocol, const char *link,
				   uint32_t port)
{
	*out_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) +
	       (socklen_t)snprintf(out_address->sun_path + 1, sizeof(out_address->sun_path) - 1,
				   "kist-proxy/%.15s/%u/%.4s", link, port, protocol);
}
