/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - IPv4 subnets and the addresses in them. Pure arithmetic: who has
 * which address is asked through a function. Inside of network.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sys/netlink.h"

/* The n-th of docker's default pools (172.17..31/16, then 192.168.0.0/20 and on); false behind the last. */
bool pool_default(struct net_address *out_subnet, unsigned index);
/* Host bits cleared. */
struct net_address pool_network(const struct net_address *address);
/* The address `offset` behind the first of the network, with the network's prefix. */
struct net_address pool_address(const struct net_address *subnet, uint32_t offset);
/* How many addresses a network spans, its own and the broadcast's included. */
uint64_t pool_size(const struct net_address *subnet);
bool pool_contains(const struct net_address *subnet, const struct net_address *address);
/* Not the network's own, not its broadcast address. */
bool pool_is_usable(const struct net_address *subnet, const struct net_address *address);

/*
 * The next free usable address of `range` behind `*last` (an offset, updated),
 * going round once; false if all are taken. Addresses just given back are not
 * given out again at once: others may still remember them.
 */
bool pool_take(struct net_address *out_address, const struct net_address *subnet, const struct net_address *range,
	       uint32_t *last, bool (*taken)(const struct net_address *address, void *arg), void *arg);
/* 02:42 and the address, as docker's. */
void pool_mac(uint8_t out_mac[6], const struct net_address *address);
