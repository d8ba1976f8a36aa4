/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_network.h - a container's places on its networks, around one run:
 * reserve (addresses and ports, before any process), connect (once its
 * namespace exists), detach; and joining and leaving a network while it runs.
 * All with the container's busy token, unless said otherwise.
 *
 * The container's published ports, and its default route, belong to one of its
 * places: of those that lead out, the one with the highest priority, then with
 * the first name.
 */
#pragma once

#include "engine/engine_network.h"
#include "engine/engine_private.h"

/* At create: the networks' names and ids, and whether what is asked of them can be. */
int container_network_check(struct container *container, struct error *err);
int container_network_reserve(struct container *container, struct error *err);
/* Writes hosts, hostname and resolv.conf in the container's folder. After reserve. */
int container_network_files(struct container *container, struct error *err);
int container_network_connect(struct container *container, struct error *err);
/* Before its shim is ended: what a detach needs of it later. */
void container_network_hold(struct container *container);
void container_network_detach(struct container *container, bool was_connected);

/* container_link.c, --link on the default bridge: the variables dockerd gives, ALIAS_NAME, ALIAS_PORT, ALIAS_ENV_X. */
void container_link_environment(struct text_list *out_env, struct container *container);
/* "parent/alias": the link goes, both containers stay. */
int container_remove_link(struct engine *engine, const char *name, struct error *err);

/* Its networks call it by its new name. */
void container_network_renamed(struct container *container, const char *old_name);

/* container_endpoint.c: one place. */

/* "<container>" on the default bridge, else "<container>.<network>": yours. */
char *endpoint_key(const struct container *container, const struct endpoint_settings *endpoint);
/* The place on a network, or NULL. Borrowed. */
struct endpoint_settings *endpoint_find(struct container_document *document, const struct engine_network *network);
/* The MAC address asked for there, or NULL. Borrowed. */
const char *endpoint_wanted_mac(const struct container_document *document, const struct endpoint_settings *endpoint);
/* ERR_INVALID in docker's words if the network cannot give what is asked for. */
int endpoint_check(const struct endpoint_settings *endpoint, const struct engine_network *network, struct error *err);
/* The container's names on the network: what the resolver answers to. */
void endpoint_name(struct endpoint_settings *endpoint, const struct container_document *document,
		   const struct engine_network *network);
/* What it got, as inspect shows it; NULL: nothing any more. With the container's mutex. */
void endpoint_record(struct endpoint_settings *endpoint, const struct network_endpoint *given,
		     const struct engine_network *network);
/* Of those that lead out, the one that the default route goes by; NULL: none does. */
struct endpoint_settings *endpoint_gateway(struct container_document *document, bool ipv6);
/* Whether `a` is asked before `b` who leads out; `b` may be NULL. */
bool endpoint_goes_before(const struct endpoint_settings *a, const struct endpoint_settings *b);
/* In the order of their links: the mode's own network, then by name. Room for all; returns how many. */
size_t endpoint_order(struct endpoint_settings **out_order, struct container_document *document);
