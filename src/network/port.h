/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - host ports that containers have. A table of who has which, and a
 * bound socket for each (it never listens: the firewall takes the packets
 * before), so that no process of the host gets the port meanwhile. Inside of
 * network.h; the caller locks.
 */
#pragma once

#include "base/error.h"
#include "base/map.h"
#include "network/network.h"

struct port_table {
	struct map uses; /* "tcp/8080" -> struct port_use */
	uint16_t next_dynamic;
};

/* A port that is taken; -1 sockets are fine. */
struct port_hold {
	enum network_protocol protocol;
	char host_ip[64];
	uint16_t port;
	int fd;
};

void port_table_init(struct port_table *table);
void port_table_fini(struct port_table *table);
/* Takes a free host port for a request: the one named, one of its range, or any. */
int port_take(struct port_table *table, struct port_hold *out_hold, const struct network_port *port, struct error *err);
/* The same number on 0.0.0.0 and on [::], or neither; the host_ip of the request is not looked at. */
int port_take_both(struct port_table *table, struct port_hold out_holds[2], const struct network_port *port,
		   struct error *err);
/* Whether sockets of IPv6 can be had here at all. */
bool port_has_ipv6(void);
/* Whether the text is an IPv6 address, brackets or not. */
bool port_is_ipv6(const char *host_ip);
/* Takes exactly this one again after a restart; a foreign socket there is no failure: the rules stand. */
void port_retake(struct port_table *table, struct port_hold *out_hold, enum network_protocol protocol,
		 const char *host_ip, uint16_t host_port);
/* "process 123, nginx" that listens there (yours), or NULL: port_holder.c. */
char *port_holder(enum network_protocol protocol, uint16_t port);
void port_give_back(struct port_table *table, struct port_hold *hold);
