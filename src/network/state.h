/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what network.h hides: bridges and endpoints in memory. Everything
 * in struct network is guarded by its mutex; programs are run and netlink is
 * spoken without it.
 */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "base/text.h"
#include "base/thread.h"
#include "network/endpoint.h"
#include "network/network.h"
#include "network/pool.h"
#include "network/port.h"
#include "sys/netlink.h"

#define RESERVED_MAX 64

/* The two families of a bridge, and of an endpoint. */
enum family { FAMILY_4, FAMILY_6, FAMILY_COUNT };

struct subnet {
	struct net_address network; /* family AF_UNSPEC: the bridge has none */
	struct net_address gateway;
	struct net_address range;
	enum network_gateway mode;
	uint64_t last; /* offset in range of the address given last */
};

/* Plain value: copied to be worked with while the mutex is free. */
struct bridge {
	char name[16];
	enum network_driver driver;
	char parent[16];       /* macvlan, ipvlan */
	uint32_t macvlan_mode; /* MACVLAN_MODE_ */
	uint16_t ipvlan_mode;  /* IPVLAN_MODE_ */
	uint16_t ipvlan_flag;  /* IPVLAN_F_ */
	uint32_t overlay;      /* its number; 0: none */
	struct subnet subnets[FAMILY_COUNT];
	struct net_address reserved[RESERVED_MAX];
	size_t reserved_count;
	char host_ip[64];
	uint32_t mtu;
	bool mtu_given;
	bool internal;
	bool no_masquerade;
	bool no_inter_container;
	bool fresh; /* the link was made by the call that is under way */
	bool made;  /* by us: an administrator's link is used and left */
	bool known; /* it was there before the call that is under way */
	int index;  /* of the link */
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
	struct map addresses; /* "172.17.0.2", "fd00::2" -> borrowed struct endpoint */
	struct port_table ports;
	bool no_proxy;
	struct pool_space *spaces; /* where subnets come from */
	size_t space_count;
	uint64_t generation; /* counts changes that the firewall must know */
	bool table_made;
	size_t leaving; /* endpoints that are detached and whose links are still being removed */
	struct condition left;
	void (*restored)(void *arg, const char *problem);
	void *restored_arg;
	struct overlays *overlays; /* overlay.c: who is on the same wires */
	struct mutex nft_mutex;	   /* guards nft_fd; after `mutex` */
	int nft_fd;		   /* -1: not open yet */
	atomic_uint nft_port;	   /* its address: whose deletions are ours */
	int watch_fd;		   /* -1: not watched */
	int stop_fd;
	pthread_t watcher;
	bool watching;
};

/* It has a link of its own on the host, addresses and rules. */
static inline bool bridge_is_bridge(const struct bridge *bridge)
{
	return bridge->driver == NETWORK_BRIDGE;
}

static inline bool bridge_is_on_parent(const struct bridge *bridge)
{
	return bridge->driver == NETWORK_MACVLAN || bridge->driver == NETWORK_IPVLAN;
}

void endpoint_free(struct endpoint *endpoint);
DEFINE_AUTO(struct endpoint, endpoint_free)

/* Addresses and masks of a family. */
int family_of(enum family family);

/* Removes the bridge's link and forgets it. */
int bridge_unmake(struct network *network, const char *name, struct error *err);
/* bridge_pool.c: which subnets it gets: asked for, written down, there already, or free, in this order. */
int bridge_settle(struct network *network, struct bridge *bridge, const struct network_bridge *asked, int socket_fd,
		  struct error *err);
/* The bridge whose subnet shares addresses with one of this one's; NULL: none. */
const struct bridge *bridge_overlapping_locked(const struct network *network, const struct bridge *bridge);
/* Writes a kernel setting unless it is so already. */
int set_kernel(const char *path, const char *value, struct error *err);

/* reserve.c */
int take_ports_locked(struct network *network, struct endpoint *endpoint, const struct bridge *bridge,
		      const struct network_port *ports, size_t port_count, struct error *err);
void give_back_ports_locked(struct network *network, struct endpoint *endpoint);
void describe_locked(const struct network *network, struct network_endpoint *out, const struct endpoint_record *record);
void forget_addresses_locked(struct network *network, const struct endpoint *endpoint);
/* publish.c: datagram flows through the endpoint's ports begin anew. */
void forget_flows(const struct endpoint_record *record);

#define LINK_PREFIX "veth"
#define LINK_TAIL_BYTES 5 /* behind it in hex: other engines here take names of the same kind */
/* connect.c: removes the host's end of a container's pair, and so the other; nothing if it is no such link. */
void remove_link(const char *name);
