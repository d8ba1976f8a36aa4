/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_cni.h - containers on a network of driver "cni": links, addresses and
 * rules are made by a list of CNI plugins; host ports are taken as on every
 * network, so that no two containers get the same. Plugins hear of ports at
 * ADD and never again. All with the container's busy token, unless said otherwise.
 */
#pragma once

#include "engine/engine_network.h"
#include "engine/engine_private.h"

bool network_is_cni(const struct engine_network *network);
/* At create, by nobody's token: the list is there, and its plugins are ready. */
int network_cni_check(struct engine *engine, const struct engine_network *network, struct error *err);
/* When the engine opens: takes back what the dead have. */
void network_cni_restore(struct engine *engine, char *const *alive, size_t alive_count);
/* ADD of the link `name` in the container; the endpoint has what the plugins gave it. */
int network_cni_connect(struct container *container, struct endpoint_settings *endpoint,
			const struct engine_network *network, int netlink_fd, const char *name, struct error *err);
/* DEL; nothing if the endpoint is no such one. Failures are logged. */
void network_cni_disconnect(struct container *container, const struct endpoint_settings *endpoint);
/* CHECK, by nobody's token: NULL, or what is broken in words, yours. */
char *network_cni_problem(const struct container *container, const struct endpoint_settings *endpoint, int netlink_fd);
/* Keeps the namespace for a DEL after the container's end. */
void network_cni_hold(struct container *container, int netlink_fd);
/* Lets go of it, once the container is on no such network any more. */
void network_cni_release(struct container *container);
