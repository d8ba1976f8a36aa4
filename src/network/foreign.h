/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreign.h - others' firewalls on the same host. A FORWARD chain whose policy is
 * DROP (dockerd makes one, and many administrators) would swallow what our own
 * rules let pass: our bridges are let through it, as docker does for its own.
 * iptables(8) is used for that, so that it is the table that the others use;
 * without it there is no such chain to speak of. Inside of network.h.
 */
#pragma once

#include "network/state.h"

/* Nothing if no such chain drops. */
void foreign_admit(const char *bridge);
void foreign_admit_all(struct network *network);
/* Whether one drops and does not let this bridge through. */
bool foreign_drops(const char *bridge);
/* The kernel has tables of the old iptables, and no iptables-legacy is here to look into them. */
bool foreign_is_unknown(void);
void foreign_withdraw(const char *bridge);
