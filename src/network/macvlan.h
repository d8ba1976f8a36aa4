/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macvlan.h - containers with a place of their own on the host's wire: links on
 * top of a parent link. No bridge, no rules, no published ports. Inside of
 * network.h.
 */
#pragma once

#include "network/state.h"

/* "bridge" (NULL too), "private", "vepa", "passthru". */
int macvlan_parse_mode(uint32_t *out_mode, const char *text, struct error *err);
/* Finds the parent link, or makes it: a dummy link if none is named, a tagged one for "eth0.10". */
int macvlan_find_parent(struct bridge *bridge, int socket_fd, struct error *err);
/* The container's link, born in its namespace with its final name. */
int macvlan_make_link(const struct endpoint_record *record, const struct bridge *bridge, const uint8_t *mac,
		      int socket_fd, int namespace_fd, const char *name, struct error *err);
