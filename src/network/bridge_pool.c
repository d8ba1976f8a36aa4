/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "network/pool.h"
#include "network/state.h"

int family_of(enum family family)
{
	return family == FAMILY_4 ? AF_INET : AF_INET6;
}

static const char *family_name(enum family family)
{
	return family == FAMILY_4 ? "IPv4" : "IPv6";
}

/* ---- what was asked for ---- */

static int parse_subnet(struct net_address *out_subnet, enum family family, const char *text, struct error *err)
{
	uint8_t longest = family == FAMILY_4 ? 31 : 126;

	if (net_address_parse(out_subnet, text) < 0 || !strchr(text, '/'))
		return error_set(err, ERR_INVALID, "invalid subnet \"%s\"", text);
	if (out_subnet->family != family_of(family))
		return error_set(err, ERR_INVALID, "subnet %s is not an %s subnet", text, family_name(family));
	if (out_subnet->prefix < 8 || out_subnet->prefix > longest)
		return error_set(err, ERR_INVALID, "subnet %s: the prefix must be 8 to %u", text, longest);
	*out_subnet = pool_network(out_subnet);
	return 0;
}

static int parse_inside(struct net_address *out_address, const struct net_address *subnet, const char *text,
			const char *what, struct error *err)
{
	char subnet_text[NET_ADDRESS_TEXT_MAX];

	if (net_address_parse(out_address, text) < 0)
		return error_set(err, ERR_INVALID, "invalid %s \"%s\"", what, text);
	if (!pool_contains(subnet, out_address) || out_address->prefix < subnet->prefix)
		return error_set(err, ERR_INVALID, "%s %s is not in subnet %s", what, text,
				 net_address_format_prefix(subnet_text, subnet));
	return 0;
}

static int parse_reserved(struct bridge *bridge, const struct network_bridge *asked, struct error *err)
{
	if (asked->reserved_count > RESERVED_MAX)
		return error_set(err, ERR_INVALID, "%zu auxiliary addresses, the most is %d", asked->reserved_count,
				 RESERVED_MAX);
	for (size_t i = 0; i < asked->reserved_count; i++) {
		struct net_address *address = &bridge->reserved[i];
		bool inside = false;

		if (net_address_parse(address, asked->reserved[i]) < 0 || strchr(asked->reserved[i], '/'))
			return error_set(err, ERR_INVALID, "invalid auxiliary address \"%s\"", asked->reserved[i]);
		for (int family = 0; family < FAMILY_COUNT; family++)
			inside |= bridge->subnets[family].network.family == address->family &&
				  pool_contains(&bridge->subnets[family].network, address);
		if (!inside)
			return error_set(err, ERR_INVALID, "no matching subnet for aux-address %s", asked->reserved[i]);
	}
	bridge->reserved_count = asked->reserved_count;
	return 0;
}

/* ---- which is free ---- */

struct occupied {
	struct link_route *routes;
	size_t route_count;
	struct link_address *addresses;
	size_t address_count;
};

static void occupied_fini(struct occupied *occupied)
{
	free(occupied->routes);
	free(occupied->addresses);
}

static int read_occupied(struct occupied *occupied, int socket_fd, struct error *err)
{
	int failed = route_dump(socket_fd, &occupied->routes, &occupied->route_count);

	if (failed == 0)
		failed = address_dump(socket_fd, &occupied->addresses, &occupied->address_count);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "read the host's routes") : 0;
}

static bool host_uses(const struct occupied *occupied, const struct net_address *subnet, int own_index)
{
	for (size_t i = 0; i < occupied->route_count; i++) {
		const struct link_route *route = &occupied->routes[i];

		if (route->destination.prefix && route->index != own_index &&
		    net_address_overlaps(&route->destination, subnet))
			return true;
	}
	for (size_t i = 0; i < occupied->address_count; i++)
		if (occupied->addresses[i].index != own_index &&
		    net_address_overlaps(&occupied->addresses[i].address, subnet))
			return true;
	return false;
}

static bool share_addresses(const struct bridge *a, const struct bridge *b)
{
	for (int family = 0; family < FAMILY_COUNT; family++)
		if (a->subnets[family].network.family && b->subnets[family].network.family &&
		    net_address_overlaps(&a->subnets[family].network, &b->subnets[family].network))
			return true;
	return false;
}

const struct bridge *bridge_overlapping_locked(const struct network *network, const struct bridge *bridge)
{
	const struct bridge *other;
	size_t at = 0;

	mutex_assert_held(&network->mutex);
	while ((other = map_next(&network->bridges, &at, NULL)))
		if (!text_equal(other->name, bridge->name) && share_addresses(other, bridge))
			return other;
	return NULL;
}

static bool is_taken(const struct network_bridge *asked, const struct net_address *subnet)
{
	struct net_address taken;

	for (size_t i = 0; i < asked->taken_count; i++)
		if (net_address_parse(&taken, asked->taken[i]) == 0 && net_address_overlaps(&taken, subnet))
			return true;
	return false;
}

static int choose_pool(struct network *network, struct bridge *bridge, enum family family,
		       const struct network_bridge *asked, int socket_fd, struct error *err)
{
	AUTO(occupied_fini) struct occupied occupied = { 0 };
	struct net_address *chosen = &bridge->subnets[family].network;

	if (read_occupied(&occupied, socket_fd, err) < 0)
		return -1;
	for (unsigned i = 0; pool_nth(chosen, network->spaces, network->space_count, family_of(family), i); i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);

		if (!is_taken(asked, chosen) && !bridge_overlapping_locked(network, bridge) &&
		    !host_uses(&occupied, chosen, bridge->index))
			return 0;
	}
	return error_set(err, ERR_EXHAUSTED, "all predefined address pools have been fully subnetted");
}

static bool adopt_address(struct bridge *bridge, enum family family, int socket_fd)
{
	AUTO_FREE struct link_address *addresses = NULL;
	size_t count = 0;

	if (address_dump(socket_fd, &addresses, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (addresses[i].index != bridge->index || addresses[i].address.family != family_of(family) ||
		    (family == FAMILY_6 && addresses[i].scope != 0))
			continue;
		bridge->subnets[family].gateway = addresses[i].address;
		bridge->subnets[family].network = pool_network(&addresses[i].address);
		return true;
	}
	return false;
}

/* "172.17.0.5/16" */
static void take_named_gateway(struct subnet *subnet, const char *text)
{
	struct net_address address;

	if (net_address_parse(&address, text) == 0 && pool_is_usable(&subnet->network, &address))
		subnet->gateway = address;
}

/* A range has its gateway in front, as docker gives it. */
static struct net_address first_of_range(const struct subnet *subnet, enum family family)
{
	bool wide = subnet->range.prefix < (family == FAMILY_4 ? 31 : 127);

	return pool_address(&subnet->range, wide && pool_is_usable(&subnet->network, &subnet->range) ? 0 : 1);
}

/* What was asked for, what the administrator's bridge has, or what is free. */
static int settle_subnet(struct network *network, struct bridge *bridge, enum family family,
			 const struct network_bridge *asked, const char *subnet, int socket_fd, struct error *err)
{
	if (subnet)
		return parse_subnet(&bridge->subnets[family].network, family, subnet, err);
	if (!bridge->fresh && adopt_address(bridge, family, socket_fd))
		return 0;
	return choose_pool(network, bridge, family, asked, socket_fd, err);
}

static int settle_family(struct network *network, struct bridge *bridge, enum family family,
			 const struct network_bridge *asked, const char *subnet, const char *gateway, int socket_fd,
			 struct error *err)
{
	const struct network_subnet *wish = family == FAMILY_4 ? &asked->v4 : &asked->v6;
	struct subnet *out = &bridge->subnets[family];

	out->mode = wish->mode;
	if (settle_subnet(network, bridge, family, asked, subnet, socket_fd, err) < 0)
		return -1;
	if (subnet && wish->names_gateway && !gateway)
		take_named_gateway(out, subnet);
	if (gateway && parse_inside(&out->gateway, &out->network, gateway, "gateway", err) < 0)
		return -1;
	out->range = out->network;
	if (wish->ip_range && parse_inside(&out->range, &out->network, wish->ip_range, "ip range", err) < 0)
		return -1;
	out->range = pool_network(&out->range);
	out->last = pool_size(&out->range) - 1; /* the first comes next */
	if (out->gateway.family == AF_UNSPEC)
		out->gateway = first_of_range(out, family);
	out->gateway.prefix = out->network.prefix;
	return 0;
}

int bridge_settle(struct network *network, struct bridge *bridge, const struct network_bridge *asked, int socket_fd,
		  struct error *err)
{
	AUTO(bridge_record_fini) struct bridge_record record = { 0 };
	int found = record_load(&record, bridge_record_fields, network->bridges_dir, bridge->name, err);
	const struct network_subnet *wishes[] = { &asked->v4, &asked->v6 };
	const char *kept[] = { record.subnet, record.subnet6 };
	const char *kept_gateways[] = { record.gateway, record.gateway6 };
	const bool wanted[] = { !asked->no_ipv4, asked->ipv6 };

	if (found < 0)
		return -1;
	bridge->made |= record.made;
	for (int family = 0; family < FAMILY_COUNT; family++) {
		const char *subnet = wishes[family]->subnet;
		const char *gateway = wishes[family]->gateway;

		if (!wanted[family])
			continue;
		if (!subnet && !text_empty(kept[family])) {
			subnet = kept[family];
			gateway = gateway ? gateway : kept_gateways[family];
		}
		if (settle_family(network, bridge, (enum family)family, asked, subnet, gateway, socket_fd, err) < 0)
			return -1;
	}
	return parse_reserved(bridge, asked, err);
}
