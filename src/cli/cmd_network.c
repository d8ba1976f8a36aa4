/* SPDX-License-Identifier: Apache-2.0 */
/* network create, rm, connect, disconnect, doctor. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/members.h"
#include "cli/spec.h"

/* ---- create ---- */

struct create_options {
	bool attachable;
	bool config_only;
	bool ingress;
	bool internal;
	const char *config_from;
	const char *driver;
	const char *ipam_driver;
	const char *scope;
	struct optional_bool ipv4;
	struct optional_bool ipv6;
	struct text_list auxiliary;
	struct text_list gateways;
	struct text_list ipam_options;
	struct text_list ranges;
	struct text_list labels;
	struct text_list options;
	struct text_list subnets;
};

#define T struct create_options
static const struct option_spec create_options[] = {
	OPTION_FLAG("attachable", 0, T, attachable, "Enable manual container attachment"),
	OPTION_LIST("aux-address", 0, T, auxiliary, "map", "Auxiliary addresses that no container gets (name=ip)"),
	OPTION_TEXT("config-from", 0, T, config_from, "string", "The network from which to copy the configuration"),
	OPTION_FLAG("config-only", 0, T, config_only, "Create a configuration only network"),
	OPTION_TEXT("driver", 'd', T, driver, "string", "Driver to manage the network (default \"bridge\")"),
	OPTION_STRINGS("gateway", 0, T, gateways, "IPv4 or IPv6 gateway for the subnet of its family"),
	OPTION_FLAG("ingress", 0, T, ingress, "Create swarm routing-mesh network"),
	OPTION_FLAG("internal", 0, T, internal, "Restrict external access to the network"),
	OPTION_STRINGS("ip-range", 0, T, ranges, "Allocate container addresses from a sub-range"),
	OPTION_TEXT("ipam-driver", 0, T, ipam_driver, "string", "IP address management driver (default \"default\")"),
	OPTION_LIST("ipam-opt", 0, T, ipam_options, "map", "Set IPAM driver specific options"),
	OPTION_OPT_BOOL("ipv4", 0, T, ipv4, "Enable or disable IPv4 address assignment"),
	OPTION_OPT_BOOL("ipv6", 0, T, ipv6, "Enable or disable IPv6 address assignment"),
	OPTION_LIST("label", 0, T, labels, "list", "Set metadata on the network"),
	OPTION_LIST("opt", 'o', T, options, "map", "Set driver specific options"),
	OPTION_TEXT("scope", 0, T, scope, "string", "Control the network's scope"),
	OPTION_STRINGS("subnet", 0, T, subnets, "Subnet in CIDR format"),
	OPTION_END,
};
#undef T

static void add_pairs(struct text *body, const char *key, const struct text_list *pairs)
{
	AUTO(text_map_fini) struct text_map map = { 0 };

	for (size_t i = 0; i < pairs->count; i++) {
		const char *value;
		AUTO_FREE char *name = spec_cut(pairs->items[i], &value);

		text_map_set(&map, name, text_or_empty(value));
	}
	members_map(body, key, &map);
}

/* "10.1.0.0/16" or an address: its bytes, how many bits of them count; false if it is neither. */
static bool read_address(uint8_t out_bytes[16], unsigned *out_size, uint64_t *out_prefix, const char *text)
{
	const char *slash = strchr(text, '/');
	AUTO_FREE char *host = slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup(text);

	*out_size = inet_pton(AF_INET, host, out_bytes) == 1 ? 32 : inet_pton(AF_INET6, host, out_bytes) == 1 ? 128 : 0;
	*out_prefix = *out_size;
	return *out_size && (!slash || text_parse_u64(out_prefix, slash + 1, *out_size) == 0);
}

static bool is_network(const char *text)
{
	uint8_t bytes[16];
	unsigned size;
	uint64_t prefix;

	return strchr(text, '/') && read_address(bytes, &size, &prefix, text);
}

static bool is_in_network(const char *text, const char *network)
{
	uint8_t inner[16], outer[16];
	unsigned inner_size, outer_size;
	uint64_t inner_prefix, prefix;

	if (!read_address(inner, &inner_size, &inner_prefix, text) ||
	    !read_address(outer, &outer_size, &prefix, network) || inner_size != outer_size)
		return false;
	for (uint64_t bit = 0; bit < prefix && bit < inner_prefix; bit++)
		if ((inner[bit / 8] ^ outer[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

/* One IPAM entry for each subnet, with what else lies in it. */
struct pool {
	const char *subnet;
	const char *range;
	const char *gateway;
	struct text_map auxiliary;
};

static struct pool *pool_of(struct pool *pools, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (is_in_network(text, pools[i].subnet))
			return &pools[i];
	return NULL;
}

static int give_one(struct pool *pools, size_t count, const char *text, bool range, struct error *err)
{
	struct pool *pool = pool_of(pools, count, text);
	const char **place = pool && range ? &pool->range : pool ? &pool->gateway : NULL;

	if (!pool)
		return error_set(err, ERR_INVALID, "no matching subnet for %s %s", range ? "range" : "gateway", text);
	if (*place)
		return error_set(err, ERR_INVALID,
				 range ? "cannot configure multiple ranges (%s, %s) on the same subnet (%s)"
				       : "cannot configure multiple gateways (%s, %s) for the same subnet (%s)",
				 text, *place, pool->subnet);
	*place = text;
	return 0;
}

static int give_auxiliary(struct pool *pools, size_t count, const char *pair, struct error *err)
{
	const char *address;
	AUTO_FREE char *name = spec_cut(pair, &address);
	struct pool *pool = pool_of(pools, count, text_or_empty(address));

	if (!pool)
		return error_set(err, ERR_INVALID, "no matching subnet for aux-address %s", text_or_empty(address));
	text_map_set(&pool->auxiliary, name, address);
	return 0;
}

static int fill_pools(struct pool *pools, const struct create_options *options, struct error *err)
{
	size_t count = options->subnets.count;

	for (size_t i = 0; i < count; i++) {
		const char *subnet = options->subnets.items[i];

		if (!is_network(subnet))
			return error_set(err, ERR_INVALID, "invalid CIDR address: %s", subnet);
		if (pool_of(pools, i, subnet))
			return error_set(err, ERR_INVALID,
					 "multiple overlapping subnet configuration is not supported");
		pools[i].subnet = subnet;
	}
	for (size_t i = 0; i < options->ranges.count; i++)
		if (give_one(pools, count, options->ranges.items[i], true, err) < 0)
			return -1;
	for (size_t i = 0; i < options->gateways.count; i++)
		if (give_one(pools, count, options->gateways.items[i], false, err) < 0)
			return -1;
	for (size_t i = 0; i < options->auxiliary.count; i++)
		if (give_auxiliary(pools, count, options->auxiliary.items[i], err) < 0)
			return -1;
	return 0;
}

static void add_pool(struct text *body, const struct pool *pool)
{
	members_open_item(body);
	members_text(body, "Subnet", pool->subnet);
	if (pool->range)
		members_text(body, "IPRange", pool->range);
	if (pool->gateway)
		members_text(body, "Gateway", pool->gateway);
	if (pool->auxiliary.count)
		members_map(body, "AuxiliaryAddresses", &pool->auxiliary);
	text_add_char(body, '}');
}

static int add_ipam(struct text *body, const struct create_options *options, struct error *err)
{
	AUTO_FREE struct pool *pools = xcalloc(options->subnets.count + 1, sizeof(*pools));
	int r = fill_pools(pools, options, err);

	members_key(body, "IPAM");
	text_add_char(body, '{');
	members_text(body, "Driver", text_empty(options->ipam_driver) ? "default" : options->ipam_driver);
	add_pairs(body, "Options", &options->ipam_options);
	members_key(body, "Config");
	text_add_char(body, '[');
	for (size_t i = 0; i < options->subnets.count; i++) {
		if (r == 0)
			add_pool(body, &pools[i]);
		text_map_fini(&pools[i].auxiliary);
	}
	text_add(body, "]}");
	return r;
}

static int run_create(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct create_options *options = target;
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(text_fini) struct text body = { 0 };
	struct client *client;

	text_add_char(&body, '{');
	members_text(&body, "Name", operands->items[0]);
	members_text(&body, "Driver", text_empty(options->driver) ? "bridge" : options->driver);
	members_text(&body, "Scope", text_or_empty(options->scope));
	members_bool(&body, "Internal", options->internal);
	members_bool(&body, "Attachable", options->attachable);
	members_bool(&body, "Ingress", options->ingress);
	members_bool(&body, "ConfigOnly", options->config_only);
	if (options->ipv4.set)
		members_bool(&body, "EnableIPv4", options->ipv4.value);
	if (options->ipv6.set)
		members_bool(&body, "EnableIPv6", options->ipv6.value);
	if (!text_empty(options->config_from)) {
		members_key(&body, "ConfigFrom");
		text_add_char(&body, '{');
		members_text(&body, "Network", options->config_from);
		text_add_char(&body, '}');
	}
	add_pairs(&body, "Options", &options->options);
	add_pairs(&body, "Labels", &options->labels);
	if (add_ipam(&body, options, err) < 0)
		return -1;
	text_add_char(&body, '}');
	client = cli_client(cli, err);
	if (!client || client_call(&answer, client, "POST", "/networks/create", body.data, err) < 0)
		return -1;
	puts(text_of(answer, "Id"));
	return 0;
}

const struct command command_network_create = {
	.usage = "[OPTIONS] NETWORK",
	.summary = "Create a network",
	.options = create_options,
	.options_size = sizeof(struct create_options),
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_create,
};

/* ---- rm ---- */

struct rm_options {
	bool force;
};

static const struct option_spec rm_options[] = {
	OPTION_FLAG("force", 'f', struct rm_options, force, "Do not error if the network does not exist"),
	OPTION_END,
};

static int remove_network(struct client *client, void *target, const char *name, struct error *err)
{
	const struct rm_options *options = target;
	AUTO_FREE char *path = xasprintf("/networks/%s", name);

	if (client_call(NULL, client, "DELETE", path, NULL, err) < 0)
		return options->force && err->kind == ERR_NOT_FOUND ? OPERAND_FORGIVEN : -1;
	return OPERAND_DONE;
}

static int run_rm(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	return for_each_operand(cli, operands, options, remove_network, err);
}

const struct command command_network_rm = {
	.usage = "NETWORK [NETWORK...]",
	.summary = "Remove one or more networks",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_rm,
};

/* ---- connect, disconnect ---- */

struct connect_options {
	const char *ip;
	const char *ip6;
	int64_t gateway_priority;
	struct text_list aliases;
	struct text_list driver_options;
	struct text_list links;
	struct text_list link_local_ips;
};

#define T struct connect_options
static const struct option_spec connect_options[] = {
	OPTION_STRINGS("alias", 0, T, aliases, "Add network-scoped alias for the container"),
	OPTION_STRINGS("driver-opt", 0, T, driver_options, "Driver options for the network"),
	OPTION_I64("gw-priority", 0, T, gateway_priority, "Highest gw-priority provides the default gateway"),
	OPTION_TEXT("ip", 0, T, ip, "ip", "IPv4 address (e.g., 172.30.100.104)"),
	OPTION_TEXT("ip6", 0, T, ip6, "ip", "IPv6 address (e.g., 2001:db8::33)"),
	OPTION_LIST("link", 0, T, links, "list", "Add link to another container"),
	OPTION_STRINGS("link-local-ip", 0, T, link_local_ips, "Add a link-local address for the container"),
	OPTION_END,
};
#undef T

static void add_addresses(struct text *body, const struct connect_options *options)
{
	if (text_empty(options->ip) && text_empty(options->ip6) && !options->link_local_ips.count)
		return;
	members_key(body, "IPAMConfig");
	text_add_char(body, '{');
	if (!text_empty(options->ip))
		members_text(body, "IPv4Address", options->ip);
	if (!text_empty(options->ip6))
		members_text(body, "IPv6Address", options->ip6);
	if (options->link_local_ips.count)
		members_list(body, "LinkLocalIPs", &options->link_local_ips);
	text_add_char(body, '}');
}

static int change_members(struct cli *cli, const char *network, const char *verb, const struct text *body,
			  struct error *err)
{
	AUTO_FREE char *path = xasprintf("/networks/%s/%s", network, verb);
	struct client *client = cli_client(cli, err);

	return client ? client_call(NULL, client, "POST", path, body->data, err) : -1;
}

static int run_connect(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct connect_options *options = target;
	AUTO(text_fini) struct text body = { 0 };

	text_add_char(&body, '{');
	members_text(&body, "Container", operands->items[1]);
	members_key(&body, "EndpointConfig");
	text_add_char(&body, '{');
	add_addresses(&body, options);
	if (options->aliases.count)
		members_list(&body, "Aliases", &options->aliases);
	if (options->links.count)
		members_list(&body, "Links", &options->links);
	if (options->driver_options.count)
		add_pairs(&body, "DriverOpts", &options->driver_options);
	if (options->gateway_priority)
		members_integer(&body, "GwPriority", options->gateway_priority);
	text_add(&body, "}}");
	return change_members(cli, operands->items[0], "connect", &body, err);
}

const struct command command_network_connect = {
	.usage = "[OPTIONS] NETWORK CONTAINER",
	.summary = "Connect a container to a network",
	.options = connect_options,
	.options_size = sizeof(struct connect_options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run_connect,
};

struct disconnect_options {
	bool force;
};

static const struct option_spec disconnect_options[] = {
	OPTION_FLAG("force", 'f', struct disconnect_options, force, "Force the container to disconnect from a network"),
	OPTION_END,
};

static int run_disconnect(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct disconnect_options *options = target;
	AUTO(text_fini) struct text body = { 0 };

	text_add_char(&body, '{');
	members_text(&body, "Container", operands->items[1]);
	members_bool(&body, "Force", options->force);
	text_add_char(&body, '}');
	return change_members(cli, operands->items[0], "disconnect", &body, err);
}

const struct command command_network_disconnect = {
	.usage = "[OPTIONS] NETWORK CONTAINER",
	.summary = "Disconnect a container from a network",
	.options = disconnect_options,
	.options_size = sizeof(struct disconnect_options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run_disconnect,
};

/* ---- doctor ---- */

static int run_doctor(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO_FREE char *path = xasprintf("/networks/%s/doctor", operands->items[0]);
	AUTO(json_value_freep) struct json_value *report = NULL;
	struct client *client = cli_client(cli, err);
	const struct json_value *lines;

	(void)target;
	if (!client || client_call(&report, client, "GET", path, NULL, err) < 0)
		return -1;
	lines = json_value_get(report, "Lines");
	for (size_t i = 0; i < json_value_count(lines); i++)
		puts(text_or_empty(json_value_text(json_value_at(lines, i))));
	return json_value_integer(json_value_get(report, "Broken")) > 0;
}

static const struct option_spec doctor_options[] = { OPTION_END };

const struct command command_network_doctor = {
	.usage = "NETWORK|CONTAINER",
	.summary = "Walk the way of a packet and say what is broken",
	.options = doctor_options,
	.options_size = 1,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_doctor,
};
