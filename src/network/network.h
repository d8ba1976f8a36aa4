/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - bridges, and the containers on them.
 *
 * A container's place on a bridge is an endpoint. network_reserve() gives it an
 * address and its host ports, before any process exists; network_connect() makes
 * the veth pair and the firewall entries once the container's network namespace
 * exists (known by a netlink socket born in it; nobody enters it);
 * network_detach() undoes both and may be called any time, any number of times.
 *
 * On disk: <state_dir>/endpoints/<id> and <state_dir>/bridges/<name>. Links and rules outlive
 * the daemon; network_restore() compares them with who still runs.
 * Threads: every function may be called from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

struct network;

/* Address space that is cut into subnets of one size: base "10.10.0.0/16", size 24. */
struct network_pool {
	const char *base;
	uint8_t size;
};

struct network_options {
	const char *state_dir;		  /* made if missing; on tmpfs: it need not outlive a reboot */
	const char *table;		  /* nft table (family inet), "kist" if NULL */
	const char *nft;		  /* program, "nft" if NULL */
	const char *host_seed;		  /* a text no other host has, for IPv6 subnets of our own; NULL: none */
	bool no_proxy;			  /* ports that the kernel cannot turn are not carried by a program */
	const struct network_pool *pools; /* where subnets come from; none: docker's, and fd00::/8 by host_seed */
	size_t pool_count;
};

enum network_protocol { NETWORK_TCP, NETWORK_UDP, NETWORK_SCTP };

/* A port to publish. */
struct network_port {
	enum network_protocol protocol;
	const char *host_ip;	/* NULL or "": the bridge's default, else all addresses of both families */
	uint16_t host_port;	/* 0: any free one */
	uint16_t host_port_end; /* last of a range to choose from; 0: only host_port */
	uint16_t container_port;
};

/* A port that is published. */
struct network_binding {
	enum network_protocol protocol;
	char host_ip[64];   /* as asked: "0.0.0.0" and "::" for all */
	uint16_t host_port; /* 0: reached by the container's own address (NETWORK_ROUTED) */
	uint16_t container_port;
};

/* What a container gets. Plain values but for bindings. */
struct network_endpoint {
	char bridge[16];
	char address[64];  /* "172.17.0.2"; "" without IPv4 */
	int prefix;	   /* 16 */
	char gateway[64];  /* "172.17.0.1", "" on an internal bridge */
	char address6[64]; /* "fd00::2"; "" without IPv6 */
	int prefix6;
	char gateway6[64];
	char mac[18];			  /* "02:42:ac:11:00:02" */
	char interface[16];		  /* in the container, once it is connected */
	struct network_binding *bindings; /* owned */
	size_t binding_count;
};

/* How fast a container may speak, towards it and from it: bits a second, and bits at once. 0: no limit. */
struct network_rates {
	uint64_t ingress_bits;
	uint64_t ingress_burst_bits;
	uint64_t egress_bits;
	uint64_t egress_burst_bits;
};

struct network_request {
	const char *id;	     /* the endpoint's name: container id, or "<container>.<network>"; [a-zA-Z0-9_.-] */
	const char *bridge;  /* of a bridge that was added */
	const char *address; /* NULL: the next free one */
	const char *address6;
	const char *mac; /* NULL: made from the address */
	const struct network_port *ports;
	size_t port_count;
	struct network_rates rates; /* on bridges only */
};

enum network_driver {
	NETWORK_BRIDGE,
	NETWORK_MACVLAN,
	NETWORK_IPVLAN,
	NETWORK_EXTERNAL, /* links, addresses and rules are somebody else's (CNI); only host ports are taken here */
};

/* How packets from outside get to a bridge's containers, and theirs out. */
enum network_gateway {
	NETWORK_NAT,	     /* by published ports; out with the host's address */
	NETWORK_UNPROTECTED, /* the same, and whoever has a route reaches every port */
	NETWORK_ROUTED,	     /* by the container's own address, published ports only; nothing is translated */
	NETWORK_ISOLATED,    /* internal, and the host has no address on the bridge */
};

/* One family's part of a bridge. Zero: as before, or the first pool that is free here. */
struct network_subnet {
	const char *subnet;   /* "172.17.0.0/16" */
	const char *gateway;  /* NULL: the first address */
	const char *ip_range; /* addresses are taken from here; NULL: the subnet */
	enum network_gateway mode;
	bool names_gateway; /* the subnet does: "172.17.0.5/16" */
};

/*
 * A bridge that is one wire with the bridges of the same number on other hosts (vxlan). Each host gives out addresses
 * of its own range.
 */
struct network_overlay {
	uint32_t number;   /* 1 to 2^24-1; 0: no overlay */
	uint16_t port;	   /* UDP; 0: 4789 */
	const char *local; /* our address that the others know; NULL: the route's */
	const char *
		peers; /* "10.0.0.2,10.0.0.3,hosts.example": names are asked for again and again; ours among them is fine */
};

struct network_bridge {
	const char *name; /* the link's name, "kist0"; at most 15 bytes. Macvlan: only a name */
	enum network_driver driver;
	const char *parent; /* macvlan, ipvlan: the host's link, "eth0", or "eth0.10", which is made; NULL: none */
	const char *macvlan_mode; /* "bridge", "private", "vepa", "passthru"; NULL: bridge */
	const char *ipvlan_mode;  /* "l2", "l3", "l3s"; NULL: l2 */
	const char *ipvlan_flag;  /* "bridge", "private", "vepa"; NULL: bridge */
	struct network_overlay overlay;
	bool no_ipv4;
	bool ipv6;
	struct network_subnet v4;
	struct network_subnet v6;
	const char *const *reserved; /* addresses that no container gets (auxiliary addresses) */
	size_t reserved_count;
	const char *const *taken; /* subnets that are not chosen: of networks that may come later */
	size_t taken_count;
	const char *host_ip;	 /* where ports are published that name no address; NULL: everywhere */
	uint32_t mtu;		 /* 0: 1500 */
	bool internal;		 /* no way out, no published ports */
	bool no_masquerade;	 /* containers go out with their own address */
	bool no_inter_container; /* containers do not see each other */
};

/* Whether a subnet is left to be chosen. */
static inline bool network_bridge_chooses(const struct network_bridge *bridge)
{
	return (!bridge->no_ipv4 && !bridge->v4.subnet) || (bridge->ipv6 && !bridge->v6.subnet);
}

struct network_bridge_info {
	char name[16];
	char subnet[64];  /* "172.17.0.0/16"; "" without IPv4 */
	char gateway[64]; /* "172.17.0.1" */
	char subnet6[64]; /* "" without IPv6 */
	char gateway6[64];
};

int network_open(struct network **out_network, const struct network_options *options, struct error *err);
/* Leaves links and rules as they are: containers keep their network. */
void network_close(struct network *network);
DEFINE_AUTO(struct network, network_close)

/*
 * Makes the bridge with its address and rules, or takes over the one that is
 * there. ERR_CONFLICT "Pool overlaps with other one on this address space" if
 * the subnet is another bridge's.
 */
int network_bridge_add(struct network *network, const struct network_bridge *bridge,
		       struct network_bridge_info *out_info, struct error *err);
/* Removes the bridge and its rules; ERR_CONFLICT while it has endpoints; 0 if it was gone. */
int network_bridge_remove(struct network *network, const char *name, struct error *err);

/*
 * Once, after the bridges were added and before anything is reserved: forgets
 * endpoints whose id (or the part before its first dot) is not in `alive`, removes their links and rules, and the
 * bridges that were made before and not added now; rebuilds the firewall table
 * in one step and takes the host ports of the living again.
 */
int network_restore(struct network *network, char *const *alive, size_t alive_count, struct error *err);

/*
 * From now on the rules are written again when somebody flushed them; restored() is called then, from a thread of the
 * network's, with what went wrong or NULL. At most once.
 */
int network_watch(struct network *network, void (*restored)(void *arg, const char *problem), void *arg,
		  struct error *err);

/*
 * Address, MAC and host ports for a container. ERR_CONFLICT "Bind for
 * 0.0.0.0:8080 failed: port is already allocated"; ERR_CONFLICT "Address already in use";
 * ERR_EXHAUSTED if the pool is empty. ERR_CONFLICT if the id has an endpoint.
 */
int network_reserve(struct network *network, const struct network_request *request,
		    struct network_endpoint *out_endpoint, struct error *err);
/*
 * Makes the link `name` ("eth0"; NULL: eth0) in the namespace of netlink_fd (borrowed): lo up, addresses; no route.
 * Before it goes up its kernel settings are made (NULL: none): "net/ipv4/conf/IFNAME/log_martians" to "1". Not of an
 * external one. ERR_CONFLICT if it has a link of this name.
 */
int network_connect(struct network *network, const char *id, int netlink_fd, const char *name,
		    const struct text_map *sysctls, struct error *err);
/*
 * Where an external endpoint leads out: what its plugins said once it was connected. NULL or "": not in this family.
 * ERR_CANCELED if it was detached meanwhile.
 */
int network_set_way_out(struct network *network, const char *id, const char *gateway, const char *gateway6,
			struct error *err);
/* The namespace's default routes go by these endpoints' gateways from now on, one of each family; NULL: none does. */
int network_set_gateway(struct network *network, const char *id, const char *id6, int netlink_fd, struct error *err);
/*
 * Publishes ports of an endpoint that has none yet, as network_reserve() would have; of one that is connected they
 * are open from now on. The endpoint as it is then.
 */
int network_publish(struct network *network, const char *id, const struct network_port *ports, size_t port_count,
		    struct network_endpoint *out_endpoint, struct error *err);
/* Takes them away again. 0 if there are none. */
int network_unpublish(struct network *network, const char *id, struct error *err);
/* Removes the link inside, where the namespace lives on: before network_detach(). */
void network_unlink(struct network *network, const char *id, int netlink_fd);
/*
 * Takes away rules and ports, and in the background the link and with it the address: who asks for that very address
 * waits for it. 0 if there is nothing.
 */
int network_detach(struct network *network, const char *id, struct error *err);
/* Waits until the links of all that were detached are gone. */
void network_settle(struct network *network);
/* The endpoint of an id: 1, or 0 if it has none. */
int network_find(struct network *network, const char *id, struct network_endpoint *out_endpoint);
void network_endpoint_fini(struct network_endpoint *endpoint);

/* When no endpoint is left: network_teardown(). Else nothing. What an engine that ends without containers calls. */
int network_retire(struct network *network, struct error *err);
/* Removes every bridge, link, rule and file of ours: for uninstalling and for tests. */
int network_teardown(struct network *network, struct error *err);

/* "tcp", "udp", "sctp". parse: 0 or -EINVAL. */
const char *network_protocol_name(enum network_protocol protocol);
int network_protocol_parse(enum network_protocol *out_protocol, const char *name);

/* lo up in a fresh namespace (--network none). */
int network_loopback_up(int netlink_fd, struct error *err);
