/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/network_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "sys/netlink.h"

#define BRIDGE "com.docker.network.bridge."
#define MTU_MIN 68
#define MTU_MAX 65535
#define PREFIX_MAX 8

/* ---- one function a value ---- */

static int read_bool(bool *out_value, const struct text_pair *option, struct error *err)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True", NULL };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False", NULL };

	for (size_t i = 0; yes[i]; i++) {
		if (!text_equal(option->value, yes[i]) && !text_equal(option->value, no[i]))
			continue;
		*out_value = text_equal(option->value, yes[i]);
		return 0;
	}
	return error_set(err, ERR_INVALID, "invalid value for option %s: \"%s\" is not a boolean", option->key,
			 option->value);
}

static int read_not(bool *out_value, const struct text_pair *option, struct error *err)
{
	bool value;

	if (read_bool(&value, option, err) < 0)
		return -1;
	*out_value = !value;
	return 0;
}

static int read_icc(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	return read_not(&bridge->no_inter_container, option, err);
}

static int read_masquerade(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	return read_not(&bridge->no_masquerade, option, err);
}

static int read_mtu(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	uint64_t mtu;

	if (text_parse_u64(&mtu, option->value, MTU_MAX) < 0 || (mtu && mtu < MTU_MIN))
		return error_set(err, ERR_INVALID, "invalid MTU \"%s\": it must be %d to %d", option->value, MTU_MIN,
				 MTU_MAX);
	bridge->mtu = (uint32_t)mtu;
	return 0;
}

static int read_host_ip(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	struct net_address address;

	if (net_address_parse(&address, option->value) < 0 || strchr(option->value, '/') || address.family != AF_INET)
		return error_set(err, ERR_INVALID, "invalid value for option %s: \"%s\" is not an IPv4 address",
				 option->key, option->value);
	bridge->host_ip = text_equal(option->value, "0.0.0.0") ? NULL : option->value;
	return 0;
}

static int read_mode(enum network_gateway *out_mode, const struct text_pair *option, struct error *err)
{
	static const char *const names[] = { "nat", "nat-unprotected", "routed", "isolated" };

	for (int i = 0; i < 4; i++) {
		if (!text_equal(text_empty(option->value) ? "nat" : option->value, names[i]))
			continue;
		*out_mode = (enum network_gateway)i;
		return 0;
	}
	return error_set(err, ERR_INVALID, "unknown gateway mode %s", option->value);
}

static int read_mode4(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	return read_mode(&bridge->v4.mode, option, err);
}

static int read_mode6(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	return read_mode(&bridge->v6.mode, option, err);
}

static int read_name(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)bridge;
	if (strlen(option->value) > 15)
		return error_set(err, ERR_INVALID,
				 "bridge name \"%s\" is longer than 15 bytes, the most of a link's name",
				 option->value);
	return 0;
}

static int read_prefix(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)bridge;
	if (text_empty(option->value) || strlen(option->value) > PREFIX_MAX || strpbrk(option->value, "/ \t\n:"))
		return error_set(err, ERR_INVALID, "invalid interface prefix \"%s\"", option->value);
	return 0;
}

static int read_parent(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	if (strlen(option->value) > 15)
		return error_set(err, ERR_INVALID, "parent interface name \"%s\" is longer than 15 bytes",
				 option->value);
	bridge->parent = text_empty(option->value) ? NULL : option->value;
	return 0;
}

static int read_macvlan_mode(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)err;
	bridge->macvlan_mode = option->value;
	return 0;
}

static const struct known_option {
	const char *key;
	enum network_driver driver;
	int (*read)(struct network_bridge *bridge, const struct text_pair *option, struct error *err);
} known_options[] = {
	{ BRIDGE "name", NETWORK_BRIDGE, read_name },
	{ BRIDGE "enable_icc", NETWORK_BRIDGE, read_icc },
	{ BRIDGE "enable_ip_masquerade", NETWORK_BRIDGE, read_masquerade },
	{ BRIDGE "host_binding_ipv4", NETWORK_BRIDGE, read_host_ip },
	{ BRIDGE "gateway_mode_ipv4", NETWORK_BRIDGE, read_mode4 },
	{ BRIDGE "gateway_mode_ipv6", NETWORK_BRIDGE, read_mode6 },
	{ "com.docker.network.driver.mtu", NETWORK_BRIDGE, read_mtu },
	{ "com.docker.network.container_iface_prefix", NETWORK_BRIDGE, read_prefix },
	{ "com.docker.network.driver.mtu", NETWORK_MACVLAN, read_mtu },
	{ "com.docker.network.container_iface_prefix", NETWORK_MACVLAN, read_prefix },
	{ "parent", NETWORK_MACVLAN, read_parent },
	{ "macvlan_mode", NETWORK_MACVLAN, read_macvlan_mode },
	{ NULL, NETWORK_BRIDGE, NULL },
};

static int read_option(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	for (const struct known_option *known = known_options; known->key; known++)
		if (known->driver == bridge->driver && text_equal(known->key, option->key))
			return known->read(bridge, option, err);
	return error_set(err, ERR_UNSUPPORTED, "network option \"%s\" is not supported by driver %s", option->key,
			 bridge->driver == NETWORK_BRIDGE ? "bridge" : "macvlan");
}

/* ---- IPAM ---- */

static int read_config(struct network_bridge *bridge, const char **reserved, const struct ipam_config *config,
		       struct error *err)
{
	bool ipv6 = strchr(text_or_empty(config->subnet), ':') != NULL;
	struct network_subnet *subnet = ipv6 ? &bridge->v6 : &bridge->v4;

	if (text_empty(config->subnet) &&
	    (!text_empty(config->gateway) || !text_empty(config->ip_range) || config->auxiliary.count))
		return error_set(err, ERR_INVALID,
				 "invalid network config: a gateway, range or auxiliary address "
				 "needs its subnet");
	if (text_empty(config->subnet))
		return 0;
	if (subnet->subnet)
		return error_set(err, ERR_FORBIDDEN, "bridge driver doesn't support multiple subnets");
	if (ipv6 && !bridge->ipv6)
		return error_set(err, ERR_INVALID, "invalid network config: IPv6 subnet %s, but IPv6 is not enabled",
				 config->subnet);
	subnet->subnet = config->subnet;
	subnet->gateway = text_empty(config->gateway) ? NULL : config->gateway;
	subnet->ip_range = text_empty(config->ip_range) ? NULL : config->ip_range;
	for (size_t i = 0; i < config->auxiliary.count; i++) {
		if (bridge->reserved_count >= NETWORK_RESERVED_MAX)
			return error_set(err, ERR_INVALID, "more than %d auxiliary addresses", NETWORK_RESERVED_MAX);
		reserved[bridge->reserved_count++] = config->auxiliary.items[i].value;
	}
	return 0;
}

int network_options_read(struct network_bridge *out_bridge, const char *reserved[NETWORK_RESERVED_MAX],
			 const struct engine_network *network, struct error *err)
{
	const struct ipam *ipam = &network->ipam;
	struct network_bridge bridge = {
		.driver = text_equal(network->driver, "macvlan") ? NETWORK_MACVLAN : NETWORK_BRIDGE,
		.no_ipv4 = !network->enable_ipv4,
		.ipv6 = network->enable_ipv6,
		.internal = network->internal,
		.reserved = reserved,
	};

	if (!text_empty(ipam->driver) && !text_equal(ipam->driver, "default"))
		return error_set(err, ERR_NOT_FOUND, "ipam driver \"%s\" not found", ipam->driver);
	if (ipam->options.count)
		return error_set(err, ERR_UNSUPPORTED, "ipam option \"%s\" is not supported",
				 ipam->options.items[0].key);
	for (size_t i = 0; i < ipam->config.count; i++)
		if (read_config(&bridge, reserved, &ipam->config.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < network->options.count; i++)
		if (read_option(&bridge, &network->options.items[i], err) < 0)
			return -1;
	if ((bridge.v4.mode == NETWORK_ISOLATED || bridge.v6.mode == NETWORK_ISOLATED) && !network->internal)
		return error_set(err, ERR_INVALID, "gateway mode 'isolated' can only be used for an internal network");
	*out_bridge = bridge;
	return 0;
}

const char *network_options_prefix(const struct engine_network *network)
{
	const char *prefix = text_map_get(&network->options, "com.docker.network.container_iface_prefix");

	return text_empty(prefix) ? "eth" : prefix;
}
