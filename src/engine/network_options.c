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
#define VNI_LAST 0xffffff
#define TIMEOUT_LAST_S 3600

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

static int read_ipvlan_mode(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)err;
	bridge->ipvlan_mode = option->value;
	return 0;
}

static int read_ipvlan_flag(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)err;
	bridge->ipvlan_flag = option->value;
	return 0;
}

static int read_number(uint64_t *out_value, const struct text_pair *option, uint64_t last, struct error *err)
{
	if (text_parse_u64(out_value, option->value, last) < 0 || *out_value == 0)
		return error_set(err, ERR_INVALID, "invalid value for option %s: \"%s\" is not 1 to %llu", option->key,
				 option->value, (unsigned long long)last);
	return 0;
}

static int read_vni(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	uint64_t value;

	if (read_number(&value, option, VNI_LAST, err) < 0)
		return -1;
	bridge->overlay.number = (uint32_t)value;
	return 0;
}

static int read_port(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	uint64_t value;

	if (read_number(&value, option, UINT16_MAX, err) < 0)
		return -1;
	bridge->overlay.port = (uint16_t)value;
	return 0;
}

static int read_peers(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)err;
	bridge->overlay.peers = option->value;
	return 0;
}

static int read_local(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)err;
	bridge->overlay.local = option->value;
	return 0;
}

static int read_list(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	(void)bridge;
	return text_empty(option->value) ? error_set(err, ERR_INVALID, "option %s is empty", option->key) : 0;
}

static int read_timeout(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	uint64_t value;

	(void)bridge;
	return read_number(&value, option, TIMEOUT_LAST_S, err);
}

static int read_collect(struct network_bridge *bridge, const struct text_pair *option, struct error *err)
{
	bool value;

	(void)bridge;
	return read_bool(&value, option, err);
}

/* Drivers as their users call them, each a bit. */
enum { DRIVER_BRIDGE = 1, DRIVER_MACVLAN = 2, DRIVER_IPVLAN = 4, DRIVER_OVERLAY = 8, DRIVER_CNI = 16 };

static const struct {
	const char *name;
	unsigned bit;
	enum network_driver driver;
} drivers[] = {
	{ "bridge", DRIVER_BRIDGE, NETWORK_BRIDGE }, { "macvlan", DRIVER_MACVLAN, NETWORK_MACVLAN },
	{ "ipvlan", DRIVER_IPVLAN, NETWORK_IPVLAN }, { "overlay", DRIVER_OVERLAY, NETWORK_BRIDGE },
	{ "vxlan", DRIVER_OVERLAY, NETWORK_BRIDGE }, { "cni", DRIVER_CNI, NETWORK_EXTERNAL },
	{ NULL, DRIVER_BRIDGE, NETWORK_BRIDGE },
};

#define BRIDGES (DRIVER_BRIDGE | DRIVER_OVERLAY)
#define WITH_LINKS (BRIDGES | DRIVER_MACVLAN | DRIVER_IPVLAN)

static const struct known_option {
	const char *key;
	unsigned drivers;
	int (*read)(struct network_bridge *bridge, const struct text_pair *option, struct error *err);
} known_options[] = {
	{ BRIDGE "name", BRIDGES, read_name },
	{ BRIDGE "enable_icc", BRIDGES, read_icc },
	{ BRIDGE "enable_ip_masquerade", BRIDGES, read_masquerade },
	{ BRIDGE "host_binding_ipv4", BRIDGES, read_host_ip },
	{ BRIDGE "gateway_mode_ipv4", BRIDGES, read_mode4 },
	{ BRIDGE "gateway_mode_ipv6", BRIDGES, read_mode6 },
	{ "com.docker.network.driver.mtu", WITH_LINKS, read_mtu },
	{ "com.docker.network.container_iface_prefix", WITH_LINKS, read_prefix },
	{ "parent", DRIVER_MACVLAN | DRIVER_IPVLAN, read_parent },
	{ "macvlan_mode", DRIVER_MACVLAN, read_macvlan_mode },
	{ "ipvlan_mode", DRIVER_IPVLAN, read_ipvlan_mode },
	{ "ipvlan_flag", DRIVER_IPVLAN, read_ipvlan_flag },
	{ "vni", DRIVER_OVERLAY, read_vni },
	{ "com.docker.network.driver.overlay.vxlanid_list", DRIVER_OVERLAY, read_vni },
	{ "peers", DRIVER_OVERLAY, read_peers },
	{ "local", DRIVER_OVERLAY, read_local },
	{ "port", DRIVER_OVERLAY, read_port },
	{ "conflist", DRIVER_CNI, read_list },
	{ "timeout", DRIVER_CNI, read_timeout },
	{ "gc", DRIVER_CNI, read_collect },
	{ NULL, 0, NULL },
};

static int read_option(struct network_bridge *bridge, const char *driver, unsigned bit, const struct text_pair *option,
		       struct error *err)
{
	for (const struct known_option *known = known_options; known->key; known++)
		if (known->drivers & bit && text_equal(known->key, option->key))
			return known->read(bridge, option, err);
	return error_set(err, ERR_UNSUPPORTED, "network option \"%s\" is not supported by driver %s", option->key,
			 driver);
}

/* Two hosts that gave out the same address would not notice. */
static int check_overlay(const struct network_bridge *bridge, struct error *err)
{
	if (!bridge->overlay.number || !bridge->overlay.peers)
		return error_set(err, ERR_INVALID,
				 "an overlay network needs options vni=NUMBER, the same on all hosts, and "
				 "peers=HOST[,HOST...]");
	if ((!bridge->no_ipv4 && !bridge->v4.ip_range) || (bridge->ipv6 && !bridge->v6.ip_range))
		return error_set(err, ERR_INVALID,
				 "an overlay network needs --subnet, the same on all hosts, and an --ip-range of this "
				 "host's own");
	return 0;
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

static size_t driver_index(const char *name)
{
	size_t i = 0;

	while (drivers[i].name && !text_equal(drivers[i].name, name))
		i++;
	return i;
}

static int check_ipam(const struct ipam *ipam, unsigned bit, struct error *err)
{
	if (!text_empty(ipam->driver) && !text_equal(ipam->driver, "default"))
		return error_set(err, ERR_NOT_FOUND, "ipam driver \"%s\" not found", ipam->driver);
	if (ipam->options.count)
		return error_set(err, ERR_UNSUPPORTED, "ipam option \"%s\" is not supported",
				 ipam->options.items[0].key);
	if (bit == DRIVER_CNI && ipam->config.count)
		return error_set(err, ERR_INVALID,
				 "subnets of a network of driver cni are its plugins': set them in the list");
	return 0;
}

int network_options_read(struct network_bridge *out_bridge, const char *reserved[NETWORK_RESERVED_MAX],
			 const struct engine_network *network, struct error *err)
{
	const struct ipam *ipam = &network->ipam;
	size_t driver = driver_index(network->driver);
	const unsigned bit = drivers[driver].bit;
	struct network_bridge bridge = {
		.driver = drivers[driver].driver,
		.no_ipv4 = !network->enable_ipv4 || bit == DRIVER_CNI,
		.ipv6 = network->enable_ipv6 && bit != DRIVER_CNI,
		.internal = network->internal,
		.reserved = reserved,
	};

	if (check_ipam(ipam, bit, err) < 0)
		return -1;
	for (size_t i = 0; i < ipam->config.count; i++)
		if (read_config(&bridge, reserved, &ipam->config.items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < network->options.count; i++)
		if (read_option(&bridge, network->driver, bit, &network->options.items[i], err) < 0)
			return -1;
	if (bit == DRIVER_OVERLAY && check_overlay(&bridge, err) < 0)
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
