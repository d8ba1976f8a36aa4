/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what network.h hides: bridges and endpoints in memory. Everything
 * in struct network is guarded by its mutex; programs are run and netlink is
 * spoken without it.
 */
#pragma once

#include "base/map.h"
#include "base/text.h"
#include "base/thread.h"
#include "network/endpoint.h"
#include "network/network.h"
#include "network/port.h"
#include "sys/netlink.h"

struct bridge {
	char name[16];
	struct net_address subnet;
	struct net_address gateway;
	struct net_address range;
	uint32_t mtu;
	bool internal;
	bool no_masquerade;
	bool no_inter_container;
	bool fresh;    /* the link was made by the call that is under way */
	bool made;     /* by us: an administrator's bridge is used and left */
	int index;     /* of the link */
	uint32_t last; /* offset in range of the address given last */
};

struct endpoint {
	struct endpoint_record record;
	struct port_hold *holds; /* one per binding */
	size_t hold_count;
	bool leaving; /* detached: only its address is still taken, until the link is gone */
};

struct network {
	struct mutex mutex;
	char *table;
	char *nft;
	char *endpoints_dir;
	char *bridges_dir;
	struct map bridges;   /* name -> struct bridge */
	struct map endpoints; /* id -> struct endpoint */
	struct map addresses; /* "172.17.0.2" -> borrowed struct endpoint */
	struct port_table ports;
	uint64_t generation; /* counts changes that the firewall must know */
	bool table_made;
	size_t leaving; /* endpoints that are detached and whose links are still being removed */
	struct condition left;
};

void endpoint_free(struct endpoint *endpoint);
DEFINE_AUTO(struct endpoint, endpoint_free)

/* Removes the bridge's link and forgets it. */
int bridge_unmake(struct network *network, const char *name, struct error *err);
