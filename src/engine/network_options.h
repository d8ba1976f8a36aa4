/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_options.h - a network's driver options and IPAM, as the room network/
 * wants them. What is not known is refused: an option that does nothing would
 * be a lie.
 */
#pragma once

#include "engine/engine_network.h"

#define NETWORK_RESERVED_MAX 64

/* Everything but the name. Borrows from the network; auxiliary addresses go to `reserved`. */
int network_options_read(struct network_bridge *out_bridge, const char *reserved[NETWORK_RESERVED_MAX],
			 const struct engine_network *network, struct error *err);
/* How the container's links are called: "eth" unless the network says otherwise. Borrowed. */
const char *network_options_prefix(const struct engine_network *network);
