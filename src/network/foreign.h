/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreign.h - others' firewalls on the same host. A FORWARD chain whose policy is
 * DROP (dockerd makes one, and many administrators) would swallow what our own
 * rules let pass: our bridges are let through it, as docker does for its own.
 * iptables(8) is used for that, so that it is the table that the others use;
 * without it there is no such chain to speak of. firewalld rejects what comes
 * from a link that no zone has: it is asked, by firewall-cmd(1), to take our
 * bridges into its zone `trusted`. Inside of network.h.
 */
#pragma once

#include "network/state.h"

/* Whether a chain of this name, made anew, may need to be asked again: foreign_admit_all(). */
bool foreign_is_chain(const char *name);
/* Nothing if no such chain drops. */
void foreign_admit(const char *bridge);
void foreign_admit_all(struct network *network);
/* Whether one drops and does not let this bridge through. */
bool foreign_drops(const char *bridge);
/*
 * firewalld rejects what other zones send to an address on this bridge: it lets in what is translated (published ports
 * of NAT), and for the rest wants a policy towards the bridge's zone, which only its administrator can make.
 */
bool foreign_shuts_out(const char *bridge);
/* The kernel has tables of the old iptables, and no iptables-legacy is here to look into them. */
bool foreign_is_unknown(void);
void foreign_withdraw(const char *bridge);
