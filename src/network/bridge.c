/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "network/firewall.h"
#include "network/foreign.h"
#include "network/macvlan.h"
#include "network/overlay.h"
#include "network/pool.h"
#include "network/state.h"

#define DEFAULT_MTU 1500
#define LOCK_PATIENCE_NS (5 * CLOCK_SECOND)
#define LOCK_PAUSE_MS 2

/* ---- the link ---- */

int set_kernel(const char *path, const char *value, struct error *err)
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

static bool is_gateway(const struct bridge *bridge, const struct net_address *address)
{
	const struct subnet *subnet = &bridge->subnets[address->family == AF_INET ? FAMILY_4 : FAMILY_6];

	return subnet->network.family && subnet->mode != NETWORK_ISOLATED &&
	       address->prefix == subnet->gateway.prefix &&
	       memcmp(address->bytes, subnet->gateway.bytes, sizeof(address->bytes)) == 0;
}

static void drop_other_addresses(const struct bridge *bridge, int socket_fd)
{
	AUTO_FREE struct link_address *addresses = NULL;
	size_t count = 0;

	if (address_dump(socket_fd, &addresses, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (addresses[i].index == bridge->index && addresses[i].scope == RT_SCOPE_UNIVERSE &&
		    !is_gateway(bridge, &addresses[i].address))
			address_delete(socket_fd, bridge->index, &addresses[i].address);
}

static int set_link_kernel(const struct bridge *bridge, const char *family, const char *key, const char *value,
			   struct error *err)
{
	AUTO_FREE char *path = xasprintf("/proc/sys/net/%s/conf/%s/%s", family, bridge->name, key);

	return set_kernel(path, value, err);
}

/* A host that forwards ignores router advertisements, by which it may have its own way out, unless told otherwise. */
static void keep_advertised_routes(void)
{
	AUTO_CLOSEDIR DIR *folder = opendir("/proc/sys/net/ipv6/conf");
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		AUTO_FREE char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);
		AUTO_FREE char *now = NULL;

		if (entry->d_name[0] != '.' && file_read(&now, NULL, AT_FDCWD, path, 64) == 0 &&
		    text_equal(text_trim(now), "1"))
			file_write_once(AT_FDCWD, path, "2");
	}
}

static int enable_ipv6(const struct bridge *bridge, struct error *err)
{
	AUTO_FREE char *now = NULL;

	if (!file_exists(AT_FDCWD, "/proc/sys/net/ipv6"))
		return error_set(err, ERR_UNSUPPORTED, "IPv6 is off in this kernel");
	if (set_link_kernel(bridge, "ipv6", "disable_ipv6", "0", err) < 0 ||
	    set_link_kernel(bridge, "ipv6", "accept_ra", "0", err) < 0)
		return -1;
	if (file_read(&now, NULL, AT_FDCWD, "/proc/sys/net/ipv6/conf/all/forwarding", 64) == 0 &&
	    text_equal(text_trim(now), "0"))
		keep_advertised_routes();
	return set_kernel("/proc/sys/net/ipv6/conf/all/forwarding", "1", err);
}

static int add_gateways(const struct bridge *bridge, int socket_fd)
{
	int failed = 0;

	for (int family = 0; family < FAMILY_COUNT && failed == 0; family++) {
		const struct subnet *subnet = &bridge->subnets[family];

		if (subnet->network.family && subnet->mode != NETWORK_ISOLATED)
			failed = address_add(socket_fd, bridge->index, &subnet->gateway);
	}
	return failed;
}

static int configure_link(const struct bridge *bridge, int socket_fd, struct error *err)
{
	const struct subnet *first = &bridge->subnets[bridge->subnets[FAMILY_4].network.family ? FAMILY_4 : FAMILY_6];
	struct link_change change = { .up = 1, .mtu = bridge->mtu };
	uint8_t mac[6];
	int failed;

	if (bridge->subnets[FAMILY_6].network.family && enable_ipv6(bridge, err) < 0)
		return -1;
	/* Without an address of its own a bridge takes that of a port, and changes it when the port goes. */
	pool_mac(mac, &first->gateway);
	change.mac = mac;
	drop_other_addresses(bridge, socket_fd);
	failed = add_gateways(bridge, socket_fd);
	if (failed == 0)
		failed = link_change(socket_fd, bridge->index, &change);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "configure bridge %s", bridge->name);
	if (set_kernel("/proc/sys/net/ipv4/ip_forward", "1", err) < 0)
		return -1;
	/* Lets 127.0.0.1:port of the host reach a container; the firewall's guard keeps containers off 127/8. */
	return bridge->internal ? 0 : set_link_kernel(bridge, "ipv4", "route_localnet", "1", err);
}

/* ---- add and remove ---- */

static int save_record(const struct network *network, const struct bridge *bridge, struct error *err)
{
	char subnets[FAMILY_COUNT][NET_ADDRESS_TEXT_MAX], gateways[FAMILY_COUNT][NET_ADDRESS_TEXT_MAX];
	char name[16], parent[16];
	struct bridge_record record = { .name = name,
					.subnet = subnets[FAMILY_4],
					.gateway = gateways[FAMILY_4],
					.subnet6 = subnets[FAMILY_6],
					.gateway6 = gateways[FAMILY_6],
					.parent = parent,
					.made = bridge->made };

	snprintf(name, sizeof(name), "%s", bridge->name);
	snprintf(parent, sizeof(parent), "%s", bridge->parent);
	for (int family = 0; family < FAMILY_COUNT; family++) {
		net_address_format_prefix(subnets[family], &bridge->subnets[family].network);
		net_address_format(gateways[family], &bridge->subnets[family].gateway);
	}
	return record_save(network->bridges_dir, bridge->name, &record, bridge_record_fields, err);
}

static int remember(struct network *network, struct bridge *bridge, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	struct bridge *kept;

	if (bridge_overlapping_locked(network, bridge))
		return error_set(err, ERR_FORBIDDEN, "Pool overlaps with other one on this address space");
	if (save_record(network, bridge, err) < 0)
		return -1;
	kept = map_get(&network->bridges, bridge->name);
	bridge->known = kept != NULL;
	if (kept) {
		uint64_t last[] = { kept->subnets[FAMILY_4].last, kept->subnets[FAMILY_6].last };

		*kept = *bridge;
		for (int family = 0; family < FAMILY_COUNT; family++)
			kept->subnets[family].last = last[family];
	} else {
		map_set(&network->bridges, bridge->name, xmemdup(bridge, sizeof(*bridge)));
	}
	network->generation++;
	return 0;
}

static bool is_outside(const struct bridge *bridge, enum family family, const char *text)
{
	struct net_address address;

	return !text_empty(text) && net_address_parse(&address, text) == 0 &&
	       (!bridge->subnets[family].network.family || !pool_contains(&bridge->subnets[family].network, &address));
}

/* Containers of before keep their addresses: the subnet cannot be changed under them. */
static int check_endpoints(struct network *network, const struct bridge *bridge, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint;
	char text[NET_ADDRESS_TEXT_MAX];
	size_t at = 0;

	while ((endpoint = map_next(&network->endpoints, &at, NULL)))
		if (text_equal(endpoint->record.bridge, bridge->name) &&
		    (is_outside(bridge, FAMILY_4, endpoint->record.address) ||
		     is_outside(bridge, FAMILY_6, endpoint->record.address6)))
			return error_set(err, ERR_CONFLICT, "bridge %s cannot become %s: a container has address %s",
					 bridge->name,
					 net_address_format_prefix(text, &bridge->subnets[FAMILY_4].network),
					 endpoint->record.address);
	return 0;
}

/* A bridge that was made for nothing goes again; one that was there stays as it was. */
static void undo_add(struct network *network, const struct bridge *bridge, int socket_fd)
{
	if (!bridge->known) {
		mutex_lock(&network->mutex);
		map_remove(&network->bridges, bridge->name);
		network->generation++;
		mutex_unlock(&network->mutex);
	}
	overlay_forget(network, bridge->name);
	if (!bridge->fresh)
		return;
	record_remove(network->bridges_dir, bridge->name);
	link_delete(socket_fd, bridge->index);
}

static void describe(struct network_bridge_info *out_info, const struct bridge *bridge)
{
	char text[NET_ADDRESS_TEXT_MAX];
	struct {
		char *subnet;
		char *gateway;
	} places[] = { { out_info->subnet, out_info->gateway }, { out_info->subnet6, out_info->gateway6 } };

	*out_info = (struct network_bridge_info){ 0 };
	memcpy(out_info->name, bridge->name, sizeof(out_info->name));
	for (int family = 0; family < FAMILY_COUNT; family++) {
		net_address_format_prefix(text, &bridge->subnets[family].network);
		snprintf(places[family].subnet, sizeof(out_info->subnet), "%s", text);
		net_address_format(text, &bridge->subnets[family].gateway);
		snprintf(places[family].gateway, sizeof(out_info->gateway), "%s", text);
	}
}

static int fill(struct bridge *bridge, const struct network_bridge *asked, struct error *err)
{
	*bridge = (struct bridge){
		.driver = asked->driver,
		.mtu = asked->mtu ? asked->mtu : DEFAULT_MTU,
		.mtu_given = asked->mtu != 0,
		.internal = asked->internal,
		.no_masquerade = asked->no_masquerade,
		.no_inter_container = asked->no_inter_container,
	};
	if (!record_name_is_valid(asked->name) || strlen(asked->name) >= sizeof(bridge->name))
		return error_set(err, ERR_INVALID, "invalid bridge name \"%s\"", asked->name);
	if (asked->parent && strlen(asked->parent) >= sizeof(bridge->parent))
		return error_set(err, ERR_INVALID, "invalid parent interface name \"%s\"", asked->parent);
	if (asked->no_ipv4 && !asked->ipv6 && asked->driver != NETWORK_EXTERNAL)
		return error_set(err, ERR_INVALID, "IPv4 or IPv6 must be enabled");
	snprintf(bridge->name, sizeof(bridge->name), "%s", asked->name);
	snprintf(bridge->parent, sizeof(bridge->parent), "%s", text_or_empty(asked->parent));
	snprintf(bridge->host_ip, sizeof(bridge->host_ip), "%s", text_or_empty(asked->host_ip));
	if (asked->driver == NETWORK_IPVLAN)
		return ipvlan_parse(bridge, asked->ipvlan_mode, asked->ipvlan_flag, err);
	if (asked->driver == NETWORK_MACVLAN)
		return macvlan_parse_mode(&bridge->macvlan_mode, asked->macvlan_mode, err);
	return asked->overlay.number ? overlay_fill(bridge, &asked->overlay, err) : 0;
}

/*
 * Written before the link is made: after a crash in between, the next engine would take a link that nobody wrote down for
 * an administrator's and leave it for ever. 1 if it was.
 */
static int promise_link(const struct network *network, const struct bridge *bridge, int socket_fd, struct error *err)
{
	AUTO_FREE char *path = path_join(network->bridges_dir, bridge->name);
	struct bridge promised = *bridge;
	struct link_info link;

	promised.made = true;
	if (bridge_is_on_parent(bridge) && !bridge->parent[0])
		memcpy(promised.parent, bridge->name, sizeof(promised.parent));
	if (link_find(socket_fd, promised.parent[0] ? promised.parent : promised.name, &link) != -ENODEV ||
	    file_exists(AT_FDCWD, path))
		return 0;
	return save_record(network, &promised, err) < 0 ? -1 : 1;
}

static int find_link(const struct network *network, struct bridge *bridge, int socket_fd, struct error *err)
{
	int promised, r;

	if (bridge->driver == NETWORK_EXTERNAL)
		return 0;
	promised = promise_link(network, bridge, socket_fd, err);
	if (promised < 0)
		return -1;
	r = bridge_is_on_parent(bridge) ? macvlan_find_parent(bridge, socket_fd, err)
					: find_or_create_link(bridge, socket_fd, err);
	if (promised && !bridge->fresh)
		record_remove(network->bridges_dir, bridge->name);
	return r;
}

/*
 * One at a time chooses a subnet in a network namespace, of other engines too: the next finds it on the bridge. Returns
 * a descriptor whose end is that of the lock; who is stopped holding it must not stop others: then -1.
 */
static int lock_subnets(void)
{
	AUTO_CLOSE int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int64_t deadline = clock_monotonic_ns() + LOCK_PATIENCE_NS;

	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_monotonic_ns() > deadline)
			return -1;
		clock_sleep_ms(LOCK_PAUSE_MS);
	}
	return take_fd(&fd);
}

int network_bridge_add(struct network *network, const struct network_bridge *asked,
		       struct network_bridge_info *out_info, struct error *err)
{
	AUTO_CLOSE int lock_fd = network_bridge_chooses(asked) ? lock_subnets() : -1;
	AUTO_CLOSE int socket_fd = netlink_open();
	struct bridge bridge;

	if (socket_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, socket_fd, "open a netlink socket");
	if (fill(&bridge, asked, err) < 0)
		return -1;
	if (find_link(network, &bridge, socket_fd, err) < 0 ||
	    bridge_settle(network, &bridge, asked, socket_fd, err) < 0 || check_endpoints(network, &bridge, err) < 0 ||
	    remember(network, &bridge, err) < 0 ||
	    (bridge_is_bridge(&bridge) && (configure_link(&bridge, socket_fd, err) < 0 ||
					   overlay_raise(network, &bridge, &asked->overlay, socket_fd, err) < 0 ||
					   firewall_add_bridge(network, &bridge, err) < 0))) {
		undo_add(network, &bridge, socket_fd);
		return -1;
	}
	/* The subnet is on the bridge. */
	if (lock_fd >= 0)
		close(take_fd(&lock_fd));
	if (bridge_is_bridge(&bridge))
		foreign_admit(bridge.name);
	if (out_info)
		describe(out_info, &bridge);
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
	const char *link_name;
	int failed;

	if (record_load(&record, bridge_record_fields, network->bridges_dir, name, err) < 0)
		return -1;
	link_name = text_empty(record.parent) ? name : record.parent;
	failed = socket_fd < 0 ? socket_fd : link_find(socket_fd, link_name, &link);
	if (text_empty(record.parent))
		foreign_withdraw(name);
	if (failed == 0 && record.made && (!text_empty(record.parent) || text_equal(link.kind, "bridge")))
		failed = link_delete(socket_fd, link.index);
	if (socket_fd >= 0)
		overlay_remove_link(name, socket_fd);
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
	overlay_forget(network, name);
	if (bridge_is_bridge(&bridge) && firewall_remove_bridge(network, &bridge, err) < 0)
		return -1;
	return bridge_unmake(network, name, err);
}
