/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netlink.h - links, addresses and routes over a NETLINK_ROUTE socket.
 *
 * Each call is one request and its answer on a socket the caller gives: one of
 * ours for the host, one born inside a container's network namespace for the
 * container (a socket keeps the namespace it was made in, so nobody has to
 * enter it). One caller per socket at a time. -errno as the kernel answered.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link_info {
	int index;
	int master;	/* index of the bridge, 0: none */
	unsigned flags; /* IFF_ */
	uint32_t mtu;
	uint8_t mac[6];
	char name[16];
	char kind[16]; /* "bridge", "veth", "" */
	bool ready;    /* operational: frames pass */
	int peer;      /* IFLA_LINK: index of the other end, in its namespace */
};

/* An IPv4 or IPv6 address or network. */
struct net_address {
	int family; /* AF_INET, AF_INET6; AF_UNSPEC: none */
	uint8_t bytes[16];
	uint8_t prefix;
};

struct link_address {
	int index;
	struct net_address address;
	uint8_t scope;
	uint32_t flags;
};

struct link_route {
	struct net_address destination; /* prefix 0 with family: default */
	struct net_address gateway;
	int index;
	uint8_t table;
	uint8_t type; /* RTN_ */
};

struct link_change {
	const char *name; /* NULL: keep */
	int up;		  /* 1 up, -1 down, 0 keep */
	uint32_t mtu;	  /* 0 keep */
	int master;	  /* >0 index, -1 none, 0 keep */
	const uint8_t *mac;
	int netns_fd; /* >0: move there */
};

struct link_veth {
	const char *name;
	const char *peer_name;
	const uint8_t *mac;	 /* NULL: kernel's choice */
	const uint8_t *peer_mac; /* NULL: kernel's choice */
	uint32_t mtu;		 /* 0: default */
	int master;		 /* bridge of this end, 0: none */
	int peer_netns_fd;	 /* >0: the peer is born there */
	bool up;		 /* this end; the peer cannot be before it has one itself */
};

struct link_macvlan {
	const char *name;
	int parent;	    /* index of the link below, in this namespace */
	uint32_t mode;	    /* MACVLAN_MODE_ */
	const uint8_t *mac; /* NULL: kernel's choice */
	uint32_t mtu;	    /* 0: the parent's */
	int netns_fd;	    /* >0: it is born there */
};

struct link_ipvlan {
	const char *name;
	int parent;
	uint16_t mode;	/* IPVLAN_MODE_ */
	uint16_t flags; /* IPVLAN_F_ */
	uint32_t mtu;	/* 0: the parent's */
	int netns_fd;	/* >0: it is born there */
};

/* A NETLINK_ROUTE socket in this process's network namespace. */
int netlink_open(void);
/* Descriptor of the network namespace a socket lives in (SIOCGSKNS); usable as netns_fd. */
int netlink_namespace(int fd);

int link_create_bridge(int fd, const char *name, uint32_t mtu);
int link_create_veth(int fd, const struct link_veth *veth);
int link_create_dummy(int fd, const char *name);
int link_create_ifb(int fd, const char *name);
int link_create_macvlan(int fd, const struct link_macvlan *macvlan);
int link_create_ipvlan(int fd, const struct link_ipvlan *ipvlan);
/* Ethernet in UDP; learns who is where by what comes in. local: our address, AF_UNSPEC: the route's. */
int link_create_vxlan(int fd, const char *name, uint32_t vni, uint16_t port, uint32_t mtu,
		      const struct net_address *local);
/* A host that gets all frames whose receiver is not known yet. -EEXIST, -ENOENT. */
int vxlan_add_peer(int fd, int index, const struct net_address *peer);
int vxlan_delete_peer(int fd, int index, const struct net_address *peer);
/* A link that speaks with an 802.1q tag over its parent. */
int link_create_vlan(int fd, const char *name, int parent, uint16_t tag);
int link_change(int fd, int index, const struct link_change *change);
/* The link gets no IPv6 address by itself, and so says nothing of its own there. 0 too where there is no IPv6. */
int link_set_no_ipv6(int fd, int index);
int link_delete(int fd, int index);
/* -ENODEV if there is none. */
int link_find(int fd, const char *name, struct link_info *out_link);
/* Bridge port: frames may go back where they came from (hairpin), isolated from other isolated ports. */
int link_set_bridge_port(int fd, int index, bool hairpin, bool isolated);
/* *out_links is yours. */
int link_dump(int fd, struct link_info **out_links, size_t *out_count);

/* 0 also if it was there. */
int address_add(int fd, int index, const struct net_address *address);
int address_delete(int fd, int index, const struct net_address *address);
int address_dump(int fd, struct link_address **out_addresses, size_t *out_count);

int route_add(int fd, const struct link_route *route);
int route_delete(int fd, const struct link_route *route);
int route_dump(int fd, struct link_route **out_routes, size_t *out_count);

#define NET_ADDRESS_TEXT_MAX 64
/* "172.17.0.2", "fe80::1/64"; prefix is the full length if none is given. 0 or -EINVAL. */
int net_address_parse(struct net_address *out_address, const char *text);
/* Without and with "/prefix". Return out. */
const char *net_address_format(char out[NET_ADDRESS_TEXT_MAX], const struct net_address *address);
const char *net_address_format_prefix(char out[NET_ADDRESS_TEXT_MAX], const struct net_address *address);
/* Whether two networks share addresses. */
bool net_address_overlaps(const struct net_address *a, const struct net_address *b);
