/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_network.h - networks by name: the three that are always there (bridge,
 * host, none), and the user's, one row each in meta.db. A container's place on
 * them is container_network.h; links and rules are the room network/.
 *
 * Creating and removing happen one at a time; looking is free for everybody.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/container_config.h"
#include "engine/filter.h"
#include "network/network.h"
#include "json/json.h"

struct engine;

struct ipam_config {
	char *subnet;
	char *ip_range;
	char *gateway;
	struct text_map auxiliary; /* name -> address that no container gets */
};

struct ipam {
	char *driver;
	struct text_map options;
	JSON_ARRAY_OF(struct ipam_config) config;
};

struct config_from {
	char *network;
};

struct network_member {
	char *id; /* of the container */
	char *name;
	char *endpoint_id;
	char *mac_address;
	char *ipv4_address;
	char *ipv6_address;
};

/* A network as GET /networks/{id} shows it, and as it is stored. */
struct engine_network {
	char *name;
	char *id;
	char *created;
	char *scope;
	char *driver; /* "bridge", "macvlan", "ipvlan", "overlay", "vxlan", "cni", "host", "null" */
	bool enable_ipv4;
	bool enable_ipv6;
	struct ipam ipam; /* with the subnets it has */
	bool internal;
	bool attachable;
	bool ingress;
	struct config_from config_from;
	bool config_only;
	JSON_ARRAY_OF(struct network_member) containers; /* that run; not stored */
	struct text_map options;
	struct text_map labels;
	bool chosen4; /* the engine chose the subnet: containers cannot ask for an address. Stored, not shown */
	bool chosen6;
};
extern const struct json_field engine_network_fields[];

struct engine_networks {
	struct engine_network *items;
	size_t count;
};

/* The body of POST /networks/create. */
struct network_create_request {
	char *name;
	char *driver;
	char *scope;
	bool internal;
	bool attachable;
	bool ingress;
	bool config_only;
	struct config_from *config_from;
	struct optional_bool enable_ipv4;
	struct optional_bool enable_ipv6;
	struct ipam *ipam;
	struct text_map options;
	struct text_map labels;
};
extern const struct json_field network_create_request_fields[];

/* The bodies of POST /networks/{id}/connect and disconnect. */
struct network_connect_request {
	char *container;
	struct endpoint_settings *endpoint;
};
extern const struct json_field network_connect_request_fields[];

struct network_disconnect_request {
	char *container;
	bool force;
};
extern const struct json_field network_disconnect_request_fields[];

struct network_prune_report {
	struct text_list deleted;
};
extern const struct json_field network_prune_report_fields[];

extern const char *const network_filter_keys[];
extern const char *const network_prune_filter_keys[];

void engine_network_fini(struct engine_network *network);
void engine_networks_fini(struct engine_networks *networks);

/* By name, id, or a prefix of an id that only one has; without containers. ERR_NOT_FOUND "network x not found". */
int engine_network_find(struct engine_network *out_network, struct engine *engine, const char *name, struct error *err);
/* The same with the containers that run on it. */
int engine_network_inspect(struct engine_network *out_network, struct engine *engine, const char *name,
			   struct error *err);
int engine_network_list(struct engine_networks *out_networks, struct engine *engine, const struct filter_set *filters,
			struct error *err);
/* *out_id is yours. ERR_CONFLICT "network with name x already exists". */
int engine_network_create(char **out_id, struct engine *engine, const struct network_create_request *request,
			  struct error *err);
/* ERR_FORBIDDEN for a built-in one, and while containers that run are on it. */
int engine_network_remove(struct engine *engine, const char *name, struct error *err);
int engine_network_prune(struct network_prune_report *out_report, struct engine *engine,
			 const struct filter_set *filters, struct error *err);

/* POST /networks/{id}/connect and disconnect: of a container that runs its link comes and goes at once. */
int engine_network_connect(struct engine *engine, const char *network, const struct network_connect_request *request,
			   int cancel_fd, struct error *err);
int engine_network_disconnect(struct engine *engine, const char *network,
			      const struct network_disconnect_request *request, int cancel_fd, struct error *err);

struct doctor_report {
	struct text_list lines; /* "ok      ...", "BROKEN  ..." */
	int64_t broken;
};
extern const struct json_field doctor_report_fields[];

/* Walks the way of a packet of a network and all containers on it, or of one container. ERR_NOT_FOUND: neither. */
int engine_network_doctor(struct doctor_report *out_report, struct engine *engine, const char *name, struct error *err);

/* Not one of bridge, host, none. */
bool engine_network_is_user_defined(const struct engine_network *network);
/* It has links: all but host and none. */
bool engine_network_has_links(const struct engine_network *network);
/* The name of its bridge in the room network/. */
void engine_network_bridge(char out_name[16], const struct engine *engine, const struct engine_network *network);
/* Makes sure that its bridge is there. */
int engine_network_raise(struct engine *engine, const struct engine_network *network, struct error *err);
/* When the engine opens: the bridge of the network `bridge`; its subnet is none of a stored network's. */
int engine_network_raise_default(struct engine *engine, struct error *err);
/* When the engine opens: the bridges of all stored networks. One that cannot be is logged. */
int engine_networks_raise_all(struct engine *engine, struct error *err);
/* Type network, with name, type and (not NULL) container as attributes. */
void engine_network_event(struct engine *engine, const struct engine_network *network, const char *action,
			  const char *container_id);
