/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - subnets of both families and the addresses in them. Pure arithmetic:
 * who has which address is asked through a function. Of an IPv6 subnet wider
 * than a /64 only the first 2^64 addresses are given out. Inside of network.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/netlink.h"

/* A piece of address space that is cut into subnets of one size: 192.168.0.0/16 into /20. */
struct pool_space {
	struct net_address base;
	uint8_t size; /* prefix of the subnets */
};

/* The n-th subnet of a list of spaces of a family; false behind the last. */
bool pool_nth(struct net_address *out_subnet, const struct pool_space *spaces, size_t count, int family,
	      unsigned index);
/* The same with docker's default pools (172.17..31/16, then 192.168.0.0/20 and on). */
bool pool_default(struct net_address *out_subnet, unsigned index);
/* fdxx:xxxx:xxxx::/48, cut into /64: this host's own, from a text that no other host has (RFC 4193). */
struct pool_space pool_private6(const char *seed);
/* Host bits cleared. */
struct net_address pool_network(const struct net_address *address);
/* The address `offset` behind the first of the network, with the network's prefix. */
struct net_address pool_address(const struct net_address *subnet, uint64_t offset);
/* How many addresses a network spans, its own and the broadcast's included; at most 2^63. */
uint64_t pool_size(const struct net_address *subnet);
bool pool_contains(const struct net_address *subnet, const struct net_address *address);
/* Not the network's own (IPv6: the routers' anycast address), not its broadcast address. */
bool pool_is_usable(const struct net_address *subnet, const struct net_address *address);

/*
 * The next free usable address of `range` behind `*last` (an offset, updated),
 * going round once; false if all are taken. Addresses just given back are not
 * given out again at once: others may still remember them.
 */
bool pool_take(struct net_address *out_address, const struct net_address *subnet, const struct net_address *range,
	       uint64_t *last, bool (*taken)(const struct net_address *address, void *arg), void *arg);
/* 02:42 and the last four bytes of the address, as docker's. */
void pool_mac(uint8_t out_mac[6], const struct net_address *address);
