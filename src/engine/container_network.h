/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_network.h - a container's place on its network, around one run:
 * reserve (address and ports, before any process), connect (once its namespace
 * exists), detach. All with the container's busy token.
 */
#pragma once

#include "engine/engine_private.h"

int container_network_reserve(struct container *container, struct error *err);
/* Writes hosts, hostname and resolv.conf in the container's folder. After reserve. */
int container_network_files(struct container *container, struct error *err);
int container_network_connect(struct container *container, struct error *err);
void container_network_detach(struct container *container, bool was_connected);
