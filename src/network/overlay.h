/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay.h - a bridge that goes on on other hosts: a vxlan link is one of its
 * ports, and frames whose receiver is not known yet go to every peer. Peers that
 * are names are resolved by a thread, now and every few seconds. Inside of
 * network.h.
 */
#pragma once

#include "network/state.h"

/* Checks what is asked for, without a look at the network. */
int overlay_fill(struct bridge *bridge, const struct network_overlay *asked, struct error *err);
/* Makes the link, a port of the bridge, and tells it the peers; nothing if the bridge is no overlay. */
int overlay_raise(struct network *network, const struct bridge *bridge, const struct network_overlay *asked,
		  int socket_fd, struct error *err);
/* Its peers are not looked after any more. */
void overlay_forget(struct network *network, const char *bridge);
void overlay_remove_link(const char *bridge, int socket_fd);
void overlays_free(struct overlays *overlays);
/* "kx" and the end of the bridge's name. */
void overlay_link_name(char out_name[16], const char *bridge);
