/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "network/firewall.h"
#include "network/pool.h"
#include "network/state.h"

#define DEFAULT_MTU 1500

static int parse_subnet(struct net_address *out_subnet, const char *text, struct error *err)
{
	if (net_address_parse(out_subnet, text) < 0 || !strchr(text, '/'))
		return error_set(err, ERR_INVALID, "invalid subnet \"%s\"", text);
	if (out_subnet->family != AF_INET)
		return error_set(err, ERR_UNSUPPORTED, "subnet %s: only IPv4 bridges are supported", text);
	if (out_subnet->prefix < 8 || out_subnet->prefix > 30)
		return error_set(err, ERR_INVALID, "subnet %s: the prefix must be 8 to 30", text);
	*out_subnet = pool_network(out_subnet);
	return 0;
}

static int parse_inside(struct net_address *out_address, const struct net_address *subnet, const char *text,
			const char *what, struct error *err)
{
	char subnet_text[NET_ADDRESS_TEXT_MAX];

	if (net_address_parse(out_address, text) < 0)
		return error_set(err, ERR_INVALID, "invalid %s \"%s\"", what, text);
	if (!pool_contains(subnet, out_address))
		return error_set(err, ERR_INVALID, "%s %s is not in subnet %s", what, text,
				 net_address_format_prefix(subnet_text, subnet));
	return 0;
}

/* ---- which subnet ---- */

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

static const struct bridge *overlapping_locked(const struct network *network, const struct net_address *subnet,
					       const char *own_name)
{
	const struct bridge *bridge;
	size_t at = 0;

	while ((bridge = map_next(&network->bridges, &at, NULL)))
		if (!text_equal(bridge->name, own_name) && net_address_overlaps(&bridge->subnet, subnet))
			return bridge;
	return NULL;
}

static int choose_pool(struct network *network, struct bridge *bridge, int socket_fd, struct error *err)
{
	AUTO(occupied_fini) struct occupied occupied = { 0 };
	struct net_address subnet;

	if (read_occupied(&occupied, socket_fd, err) < 0)
		return -1;
	for (unsigned i = 0; pool_default(&subnet, i); i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);

		if (overlapping_locked(network, &subnet, bridge->name) || host_uses(&occupied, &subnet, bridge->index))
			continue;
		bridge->subnet = subnet;
		return 0;
	}
	return error_set(err, ERR_EXHAUSTED, "all predefined address pools have been fully subnetted");
}

/* The address a bridge of the administrator's has already. */
static bool adopt_address(struct bridge *bridge, int socket_fd)
{
	AUTO_FREE struct link_address *addresses = NULL;
	size_t count = 0;

	if (address_dump(socket_fd, &addresses, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (addresses[i].index != bridge->index || addresses[i].address.family != AF_INET)
			continue;
		bridge->gateway = addresses[i].address;
		bridge->subnet = pool_network(&bridge->gateway);
		return true;
	}
	return false;
}

/* Asked for, written down, there already, or the first pool that is free: in this order. */
static int settle_subnet(struct network *network, struct bridge *bridge, const struct network_bridge *asked,
			 int socket_fd, struct error *err)
{
	AUTO(bridge_record_fini) struct bridge_record record = { 0 };
	int found = record_load(&record, bridge_record_fields, network->bridges_dir, bridge->name, err);
	const char *subnet = asked->subnet;
	const char *gateway = asked->gateway;

	if (found < 0)
		return -1;
	bridge->made |= record.made;
	if (!subnet && found) {
		subnet = record.subnet;
		gateway = gateway ? gateway : record.gateway;
	}
	if (subnet && parse_subnet(&bridge->subnet, subnet, err) < 0)
		return -1;
	if (!subnet && !adopt_address(bridge, socket_fd) && choose_pool(network, bridge, socket_fd, err) < 0)
		return -1;
	if (gateway && parse_inside(&bridge->gateway, &bridge->subnet, gateway, "gateway", err) < 0)
		return -1;
	if (bridge->gateway.family == AF_UNSPEC)
		bridge->gateway = pool_address(&bridge->subnet, 1);
	bridge->gateway.prefix = bridge->subnet.prefix;
	bridge->range = bridge->subnet;
	if (asked->ip_range && parse_inside(&bridge->range, &bridge->subnet, asked->ip_range, "ip range", err) < 0)
		return -1;
	bridge->range = pool_network(&bridge->range);
	return 0;
}

/* ---- the link ---- */

static int set_kernel(const char *path, const char *value, struct error *err)
{
	AUTO_FREE char *now = NULL;
	int failed;

	/* Often set already, and then on a read-only /proc/sys too. */
	if (file_read(&now, NULL, AT_FDCWD, path, 64) == 0 && text_equal(text_trim(now), value))
		return 0;
	failed = file_write_once(AT_FDCWD, path, value);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set %s to %s", path, value) : 0;
}

static int find_or_create_link(struct bridge *bridge, int socket_fd, struct error *err)
{
	struct link_info link;
	int failed = link_find(socket_fd, bridge->name, &link);

	if (failed == -ENODEV) {
		failed = link_create_bridge(socket_fd, bridge->name, bridge->mtu);
		if (failed < 0 && failed != -EEXIST)
			return error_set_errno(err, failed == -EPERM ? ERR_FORBIDDEN : ERR_INTERNAL, failed,
					       "make bridge %s", bridge->name);
		bridge->made = bridge->fresh = failed == 0;
		failed = link_find(socket_fd, bridge->name, &link);
	}
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "find bridge %s", bridge->name);
	if (!text_equal(link.kind, "bridge"))
		return error_set(err, ERR_CONFLICT, "link %s exists and is not a bridge", bridge->name);
	bridge->index = link.index;
	return 0;
}

static void drop_other_addresses(const struct bridge *bridge, int socket_fd)
{
	AUTO_FREE struct link_address *addresses = NULL;
	size_t count = 0;

	if (address_dump(socket_fd, &addresses, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		const struct net_address *address = &addresses[i].address;

		if (addresses[i].index == bridge->index && address->family == AF_INET &&
		    (memcmp(address->bytes, bridge->gateway.bytes, 4) != 0 ||
		     address->prefix != bridge->gateway.prefix))
			address_delete(socket_fd, bridge->index, address);
	}
}

static int configure_link(const struct bridge *bridge, int socket_fd, struct error *err)
{
	AUTO_FREE char *localnet = xasprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", bridge->name);
	uint8_t mac[6];
	int failed;

	/* Without an address of its own a bridge takes that of a port, and changes it when the port goes. */
	pool_mac(mac, &bridge->gateway);
	drop_other_addresses(bridge, socket_fd);
	failed = address_add(socket_fd, bridge->index, &bridge->gateway);
	if (failed == 0)
		failed = link_change(socket_fd, bridge->index,
				     &(struct link_change){ .up = 1, .mac = mac, .mtu = bridge->mtu });
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "configure bridge %s", bridge->name);
	if (set_kernel("/proc/sys/net/ipv4/ip_forward", "1", err) < 0)
		return -1;
	/* Lets 127.0.0.1:port of the host reach a container; the firewall's guard keeps containers off 127/8. */
	return bridge->internal ? 0 : set_kernel(localnet, "1", err);
}

/* ---- add and remove ---- */

static int remember(struct network *network, const struct bridge *bridge, struct error *err)
{
	char subnet[NET_ADDRESS_TEXT_MAX], gateway[NET_ADDRESS_TEXT_MAX], name[16];
	struct bridge_record record = { .name = name, .subnet = subnet, .gateway = gateway, .made = bridge->made };
	AUTO_UNLOCK struct mutex *held = NULL;
	const struct bridge *other;
	struct bridge *kept;

	snprintf(name, sizeof(name), "%s", bridge->name);
	net_address_format_prefix(subnet, &bridge->subnet);
	net_address_format(gateway, &bridge->gateway);
	held = mutex_hold(&network->mutex);
	other = overlapping_locked(network, &bridge->subnet, bridge->name);
	if (other)
		return error_set(err, ERR_CONFLICT, "Pool overlaps with other one on this address space");
	if (record_save(network->bridges_dir, bridge->name, &record, bridge_record_fields, err) < 0)
		return -1;
	kept = map_get(&network->bridges, bridge->name);
	if (kept) {
		uint32_t last = kept->last;

		*kept = *bridge;
		kept->last = last;
	} else {
		map_set(&network->bridges, bridge->name, xmemdup(bridge, sizeof(*bridge)));
	}
	network->generation++;
	return 0;
}

/* Containers of before keep their addresses: the subnet cannot be changed under them. */
static int check_endpoints(struct network *network, const struct bridge *bridge, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint;
	char text[NET_ADDRESS_TEXT_MAX];
	size_t at = 0;

	while ((endpoint = map_next(&network->endpoints, &at, NULL))) {
		struct net_address address;

		if (text_equal(endpoint->record.bridge, bridge->name) &&
		    net_address_parse(&address, endpoint->record.address) == 0 &&
		    !pool_contains(&bridge->subnet, &address))
			return error_set(err, ERR_CONFLICT, "bridge %s cannot become %s: a container has address %s",
					 bridge->name, net_address_format_prefix(text, &bridge->subnet),
					 endpoint->record.address);
	}
	return 0;
}

/* A bridge that was made for nothing goes again; one that was there stays as it was. */
static void undo_add(struct network *network, const struct bridge *bridge, int socket_fd)
{
	if (!bridge->fresh)
		return;
	mutex_lock(&network->mutex);
	map_remove(&network->bridges, bridge->name);
	network->generation++;
	mutex_unlock(&network->mutex);
	record_remove(network->bridges_dir, bridge->name);
	link_delete(socket_fd, bridge->index);
}

int network_bridge_add(struct network *network, const struct network_bridge *asked,
		       struct network_bridge_info *out_info, struct error *err)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	struct bridge bridge = {
		.mtu = asked->mtu ? asked->mtu : DEFAULT_MTU,
		.internal = asked->internal,
		.no_masquerade = asked->no_masquerade,
		.no_inter_container = asked->no_inter_container,
	};
	char address[NET_ADDRESS_TEXT_MAX];

	if (!record_name_is_valid(asked->name) || strlen(asked->name) >= sizeof(bridge.name))
		return error_set(err, ERR_INVALID, "invalid bridge name \"%s\"", asked->name);
	if (socket_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, socket_fd, "open a netlink socket");
	snprintf(bridge.name, sizeof(bridge.name), "%s", asked->name);
	if (find_or_create_link(&bridge, socket_fd, err) < 0 ||
	    settle_subnet(network, &bridge, asked, socket_fd, err) < 0 || check_endpoints(network, &bridge, err) < 0 ||
	    remember(network, &bridge, err) < 0 || configure_link(&bridge, socket_fd, err) < 0 ||
	    firewall_add_bridge(network, &bridge, err) < 0) {
		undo_add(network, &bridge, socket_fd);
		return error_prefix(err, "bridge %s", asked->name);
	}
	if (out_info) {
		snprintf(out_info->name, sizeof(out_info->name), "%s", bridge.name);
		net_address_format_prefix(address, &bridge.subnet);
		snprintf(out_info->subnet, sizeof(out_info->subnet), "%s", address);
		net_address_format(address, &bridge.gateway);
		snprintf(out_info->gateway, sizeof(out_info->gateway), "%s", address);
	}
	return 0;
}

/* Takes a bridge out of memory if nobody is on it: 1, 0 if there is none. */
static int take_bridge(struct network *network, struct bridge *out_bridge, const char *name, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint;
	struct bridge *bridge = map_get(&network->bridges, name);
	size_t at = 0;

	if (!bridge)
		return 0;
	while ((endpoint = map_next(&network->endpoints, &at, NULL)))
		if (text_equal(endpoint->record.bridge, name))
			return error_set(err, ERR_CONFLICT, "bridge %s has active endpoints (%s)", name,
					 endpoint->record.id);
	*out_bridge = *bridge;
	map_remove(&network->bridges, name);
	network->generation++;
	return 1;
}

int bridge_unmake(struct network *network, const char *name, struct error *err)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	AUTO(bridge_record_fini) struct bridge_record record = { 0 };
	struct link_info link;
	int failed = socket_fd < 0 ? socket_fd : link_find(socket_fd, name, &link);

	if (record_load(&record, bridge_record_fields, network->bridges_dir, name, err) < 0)
		return -1;
	if (failed == 0 && record.made && text_equal(link.kind, "bridge"))
		failed = link_delete(socket_fd, link.index);
	record_remove(network->bridges_dir, name);
	if (failed < 0 && failed != -ENODEV)
		return error_set_errno(err, ERR_INTERNAL, failed, "remove bridge %s", name);
	return 0;
}

int network_bridge_remove(struct network *network, const char *name, struct error *err)
{
	struct bridge bridge;
	int taken = take_bridge(network, &bridge, name, err);

	if (taken <= 0)
		return taken;
	if (firewall_remove_bridge(network, &bridge, err) < 0)
		return -1;
	return bridge_unmake(network, name, err);
}
