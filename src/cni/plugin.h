/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin.h - `kist-cni`: the plugins bridge, portmap, firewall, host-local and
 * loopback.
 *
 * A plugin is a row of functions, one per command, that get the configuration
 * (standard input) and the call (environment) and fill the result. main() reads,
 * checks and prints; nothing else does.
 */
#pragma once

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"
#include "cni/result.h"
#include "json/json.h"

struct ipam_range {
	char *subnet;
	char *first; /* rangeStart */
	char *last;  /* rangeEnd */
	char *gateway;
};

/* One address is given out of each set. */
struct ipam_range_set {
	JSON_ARRAY_OF(struct ipam_range) ranges;
};

struct ipam_config {
	char *type;
	struct ipam_range range; /* "subnet" and the rest at the top: one set of one range */
	JSON_ARRAY_OF(struct ipam_range_set) sets;
	JSON_ARRAY_OF(struct cni_route) routes;
	char *folder;	   /* dataDir */
	char *resolv_conf; /* resolvConf */
};

struct port_mapping {
	uint32_t host_port;
	uint32_t container_port;
	char *protocol;
	char *host_ip;
};

struct runtime_config {
	JSON_ARRAY_OF(struct port_mapping) ports;
	struct text_list ips;
	char *mac;
	JSON_ARRAY_OF(struct ipam_range_set) sets; /* ipRanges */
};

struct plugin_attachment {
	char *container;
	char *interface;
};

struct plugin_config {
	char *text; /* as it came; not of the table */
	char *version;
	char *name;
	char *type;
	char *bridge;
	bool is_gateway;
	bool is_default_gateway;
	bool force_address;
	bool masquerade;
	bool hairpin;
	bool isolated; /* portIsolation */
	bool promiscuous;
	int64_t mtu;
	int64_t vlan;
	bool check_mac;		   /* macspoofchk */
	char *ingress_policy;	   /* firewall */
	struct optional_bool snat; /* portmap */
	struct ipam_config ipam;
	struct cni_dns dns;
	struct runtime_config runtime;
	struct cni_result *previous; /* prevResult; NULL: none */
	JSON_ARRAY_OF(struct plugin_attachment) valid;
};
extern const struct json_field plugin_config_fields[];

/* From the environment; texts are borrowed from it, "" where nothing is said. */
struct plugin_call {
	const char *command;
	const char *container;
	const char *netns;
	const char *interface;
	const char *arguments;
	const char *path;
};

/* out_result is empty, and printed only for ADD. */
typedef int plugin_command(const struct plugin_call *call, const struct plugin_config *config,
			   struct cni_result *out_result, struct error *err);

struct plugin {
	const char *name;
	plugin_command *add;
	plugin_command *delete;
	plugin_command *check;
	plugin_command *collect; /* GC */
	plugin_command *status;
};
/* STATUS of those that need nothing beforehand. */
plugin_command plugin_always_ready;
extern const struct plugin plugin_bridge, plugin_portmap, plugin_firewall, plugin_host_local, plugin_loopback;

/* plugin_ipam.c: the plugin that gives addresses, run as a program. out_result NULL: its answer is not wanted. */
int ipam_run(const struct plugin_call *call, const struct plugin_config *config, const char *command,
	     struct cni_result *out_result, struct error *err);

/* Whether an attachment is among those that a GC names. */
bool attachment_is_valid(const struct plugin_config *config, const char *container, const char *interface);
/* "KEY" of CNI_ARGS ("A=1;IP=10.1.0.5"): yours, NULL if it is not there. */
char *call_argument(const struct plugin_call *call, const char *key);
/* ERR_INVALID unless the chain's earlier plugins left a result. */
int need_previous(const struct plugin_config *config, struct error *err);

/*
 * plugin_inside.c: a netlink socket of the namespace at `path`; -errno. A socket keeps the namespace it was made in, so
 * this is the only time that we are there.
 */
int netlink_open_inside(const char *path);
