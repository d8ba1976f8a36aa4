/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall.h - one nft table with fixed rules over sets and maps.
 *
 * A bridge is a few elements, a published port is one: the n-th container costs
 * what the first did, and no packet passes a list of rules that grows. Each
 * change is one batch, which the kernel takes whole or not at all. Inside of
 * network.h.
 */
#pragma once

#include "network/state.h"

/* Throws the table away and writes it anew from memory, in one step. */
int firewall_rebuild(struct network *network, struct error *err);
/* Writes the table unless that was done. */
int firewall_ensure(struct network *network, struct error *err);
/* Adds what a bridge needs. The table is rebuilt if somebody took it away; before it was first written, nothing is. */
int firewall_add_bridge(struct network *network, const struct bridge *bridge, struct error *err);
int firewall_remove_bridge(struct network *network, const struct bridge *bridge, struct error *err);
/* Adds and removes the published ports of an endpoint; nothing is run if it has none. */
int firewall_publish(struct network *network, const struct endpoint_record *record, struct error *err);
int firewall_withdraw(struct network *network, const struct endpoint_record *record, struct error *err);
/* Whether all our rules are there (elements are not looked at). */
bool firewall_is_whole(const struct network *network);
/* Whether the element of a published port is there. */
bool firewall_has_port(const struct network *network, const struct endpoint_record *record,
		       const struct binding_record *binding);
int firewall_delete(struct network *network, struct error *err);
