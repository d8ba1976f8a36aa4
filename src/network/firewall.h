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
/* Whether all our rules and elements are there. */
bool firewall_is_whole(struct network *network);
/* Whether the element of a published port is there. */
bool firewall_has_port(const struct network *network, const struct endpoint_record *record,
		       const struct binding_record *binding);
/* The table as it should be now, for nft: yours. And the change it is of. */
char *firewall_text(struct network *network, uint64_t *out_generation);
/* The line of a published port. */
void firewall_port_line(struct text *batch, const struct network *network, const struct endpoint_record *record,
			const struct binding_record *binding, const char *verb);
/* All our sets and maps; ends with NULL. */
extern const char *const firewall_sets[];
int firewall_delete(struct network *network, struct error *err);
