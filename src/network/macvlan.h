/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macvlan.h - containers with a place of their own on the host's wire: links on
 * top of a parent link, with a MAC address each (macvlan) or without (ipvlan). No bridge, no rules, no published ports. Inside of
 * network.h.
 */
#pragma once

#include "network/state.h"

/* "bridge" (NULL too), "private", "vepa", "passthru". */
int macvlan_parse_mode(uint32_t *out_mode, const char *text, struct error *err);
/* "l2" (NULL too), "l3", "l3s"; "bridge" (NULL too), "private", "vepa". ERR_UNSUPPORTED: not in this kernel. */
int ipvlan_parse(struct bridge *bridge, const char *mode, const char *flag, struct error *err);
/* Whether packets are routed by the host's link, without a neighbour to send them to. */
bool ipvlan_is_routed(const struct bridge *bridge);
/* Finds the parent link, or makes it: a dummy link if none is named, a tagged one for "eth0.10". */
int macvlan_find_parent(struct bridge *bridge, int socket_fd, struct error *err);
/* The container's link, born in its namespace with its final name. */
int macvlan_make_link(const struct endpoint_record *record, const struct bridge *bridge, const uint8_t *mac,
		      int socket_fd, int namespace_fd, const char *name, struct error *err);
