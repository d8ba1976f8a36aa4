/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "network/firewall.h"
#include "network/macvlan.h"
#include "network/pool.h"
#include "network/proxy.h"
#include "network/rate.h"
#include "network/state.h"
#include "network/sysctl.h"

#define LOOPBACK_INDEX 1 /* of every network namespace */
#define READY_WAIT_MS 2000

/* ---- connect ---- */

int network_loopback_up(int netlink_fd, struct error *err)
{
	int failed = link_change(netlink_fd, LOOPBACK_INDEX, &(struct link_change){ .up = 1 });

	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set the loopback link up") : 0;
}

static int parse_mac(uint8_t out_mac[6], const char *text)
{
	unsigned parts[6];

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4], &parts[5]) !=
	    6)
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		out_mac[i] = (uint8_t)parts[i];
	return 0;
}

/*
 * A port of a bridge needs no IPv6 of its own. Its multicast would cost the container, and every other interface's
 * coming and going a walk over its routes.
 */
static void keep_quiet(const char *link)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_FREE char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", link);

	set_kernel(path, "1", &ignored);
}

/* Both ends, the container's one born in its namespace with its final name. */
static int make_veth(const struct endpoint_record *record, const struct bridge *bridge, const uint8_t *mac,
		     int socket_fd, int namespace_fd, const char *name, struct error *err)
{
	struct link_veth veth = { .name = record->link,
				  .peer_name = name,
				  .peer_mac = mac,
				  .mtu = bridge->mtu,
				  .master = bridge->index,
				  .peer_netns_fd = namespace_fd,
				  .up = true };
	struct link_info link;
	int failed = link_create_veth(socket_fd, &veth);

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make link %s of the container", name);
	keep_quiet(record->link);
	/* With br_netfilter a container's call to its own published port is turned round inside the bridge. */
	failed = link_find(socket_fd, record->link, &link);
	if (failed == 0)
		failed = link_set_bridge_port(socket_fd, link.index, true, bridge->no_inter_container);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "set up bridge port %s", record->link);
	return rate_apply(record, socket_fd, err);
}

static int make_link(const struct endpoint_record *record, const struct bridge *bridge, int netlink_fd,
		     const char *name, struct error *err)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	AUTO_CLOSE int namespace_fd = netlink_namespace(netlink_fd);
	struct link_info taken;
	uint8_t mac[6];
	bool has_mac = parse_mac(mac, record->mac) == 0;

	if (socket_fd < 0 || namespace_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, socket_fd < 0 ? socket_fd : namespace_fd,
				       "reach the container's network namespace");
	if (link_find(netlink_fd, name, &taken) == 0)
		return error_set(err, ERR_CONFLICT, "the container has a link %s already", name);
	return bridge_is_on_parent(bridge)
		       ? macvlan_make_link(record, bridge, has_mac ? mac : NULL, socket_fd, namespace_fd, name, err)
		       : make_veth(record, bridge, has_mac ? mac : NULL, socket_fd, namespace_fd, name, err);
}

void remove_link(const char *name)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	struct link_info link;

	if (text_empty(name) || socket_fd < 0)
		return;
	rate_remove(name, socket_fd);
	if (link_find(socket_fd, name, &link) == 0 && text_equal(link.kind, "veth"))
		link_delete(socket_fd, link.index);
}

static int add_address(int netlink_fd, int index, const char *text, const struct subnet *subnet)
{
	struct net_address address;
	int failed;

	if (text_empty(text))
		return 0;
	failed = net_address_parse(&address, text);
	address.prefix = subnet->network.prefix;
	return failed == 0 ? address_add(netlink_fd, index, &address) : failed;
}

static int configure_inside(const struct endpoint_record *record, const struct bridge *bridge, int netlink_fd,
			    const char *name, const struct text_map *sysctls, struct error *err)
{
	struct link_info link;
	int failed;

	if (network_loopback_up(netlink_fd, err) < 0)
		return -1;
	failed = link_find(netlink_fd, name, &link);
	/* As with docker no IPv6 where the network has none: its multicast would go to every neighbour. */
	if (failed == 0 && !bridge->subnets[FAMILY_6].network.family)
		failed = link_set_no_ipv6(netlink_fd, link.index);
	if (failed == 0)
		failed = add_address(netlink_fd, link.index, record->address, &bridge->subnets[FAMILY_4]);
	if (failed == 0)
		failed = add_address(netlink_fd, link.index, record->address6, &bridge->subnets[FAMILY_6]);
	if (failed == 0 && sysctl_apply(sysctls, netlink_fd, name, err) < 0)
		return -1;
	if (failed == 0)
		failed = link_change(netlink_fd, link.index, &(struct link_change){ .up = 1 });
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "configure link %s of the container", name) : 0;
}

/* A copy to work with while the mutex is free. */
static int copy_for_work(struct network *network, const char *id, struct endpoint_record *record, struct bridge *bridge,
			 struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	struct endpoint *endpoint = map_get(&network->endpoints, id);
	const struct bridge *found = endpoint ? map_get(&network->bridges, endpoint->record.bridge) : NULL;

	if (!endpoint)
		return error_set(err, ERR_NOT_FOUND, "no endpoint %s", id);
	if (!found)
		return error_set(err, ERR_NOT_FOUND, "no bridge %s", endpoint->record.bridge);
	json_copy_fields(record, &endpoint->record, endpoint_record_fields);
	*bridge = *found;
	return 0;
}

static int mark_connected(struct network *network, const char *id, const char *name, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (!endpoint)
		return error_set(err, ERR_CANCELED, "endpoint %s was detached meanwhile", id);
	endpoint->record.connected = true;
	free(endpoint->record.interface);
	endpoint->record.interface = xstrdup(name);
	network->generation++;
	return record_save(network->endpoints_dir, id, &endpoint->record, endpoint_record_fields, err);
}

/*
 * The kernel notices a new link's carrier in the background, and only then does the bridge pass its frames: a
 * container that spoke before would lose its first packet, and with it a second.
 */
static void wait_ready(const char *name)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	int64_t end = clock_monotonic_ns() + READY_WAIT_MS * CLOCK_MS;
	struct link_info link;

	while (socket_fd >= 0 && link_find(socket_fd, name, &link) == 0 && !link.ready && clock_monotonic_ns() < end)
		clock_sleep_ms(1);
}

static void remove_inside(int netlink_fd, const char *name)
{
	struct link_info link;

	if (link_find(netlink_fd, name, &link) == 0)
		link_delete(netlink_fd, link.index);
}

void network_unlink(struct network *network, const char *id, int netlink_fd)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	struct bridge bridge;

	if (copy_for_work(network, id, &record, &bridge, &ignored) == 0 && !text_empty(record.interface) &&
	    bridge.driver != NETWORK_EXTERNAL)
		remove_inside(netlink_fd, record.interface);
}

int network_connect(struct network *network, const char *id, int netlink_fd, const char *name,
		    const struct text_map *sysctls, struct error *err)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	struct bridge bridge;

	if (!name)
		name = "eth0";
	if (copy_for_work(network, id, &record, &bridge, err) < 0)
		return -1;
	if (bridge.driver == NETWORK_EXTERNAL)
		return network_loopback_up(netlink_fd, err) < 0 ? -1 : mark_connected(network, id, name, err);
	if (firewall_ensure(network, err) < 0)
		return -1;
	if (make_link(&record, &bridge, netlink_fd, name, err) < 0) {
		remove_link(record.link);
		return -1;
	}
	if (configure_inside(&record, &bridge, netlink_fd, name, sysctls, err) < 0 ||
	    mark_connected(network, id, name, err) < 0 || firewall_publish(network, &record, err) < 0) {
		remove_inside(netlink_fd, name);
		remove_link(record.link);
		return -1;
	}
	forget_flows(&record);
	proxy_start_all(network, id);
	if (bridge_is_bridge(&bridge))
		wait_ready(record.link);
	return 0;
}

/* ---- the way out ---- */

static void replace(char **member, const char *text)
{
	free(*member);
	*member = text_empty(text) ? NULL : xstrdup(text);
}

int network_set_way_out(struct network *network, const char *id, const char *gateway, const char *gateway6,
			struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (!endpoint)
		return error_set(err, ERR_CANCELED, "endpoint %s was detached meanwhile", id);
	replace(&endpoint->record.gateway, gateway);
	replace(&endpoint->record.gateway6, gateway6);
	return record_save(network->endpoints_dir, id, &endpoint->record, endpoint_record_fields, err);
}

/* Of its bridge, or what an external one was told; none: it leads nowhere. */
static struct net_address gateway_of(const struct endpoint_record *record, const struct bridge *bridge,
				     enum family family)
{
	const char *told = family == FAMILY_6 ? record->gateway6 : record->gateway;
	struct net_address gateway = { 0 };

	if (bridge->driver != NETWORK_EXTERNAL)
		return bridge->subnets[family].gateway;
	if (!text_empty(told))
		net_address_parse(&gateway, told);
	return gateway;
}

static int drop_default_routes(int netlink_fd)
{
	AUTO_FREE struct link_route *routes = NULL;
	size_t count = 0;
	int failed = route_dump(netlink_fd, &routes, &count);

	for (size_t i = 0; failed == 0 && i < count; i++)
		if (routes[i].destination.prefix == 0 && routes[i].table == RT_TABLE_MAIN &&
		    routes[i].gateway.family != AF_UNSPEC)
			failed = route_delete(netlink_fd, &routes[i]);
	return failed == -ESRCH ? 0 : failed;
}

static int add_default_route(struct network *network, const char *id, enum family family, int netlink_fd,
			     struct error *err)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	struct link_route route = { .destination = { .family = family_of(family) } };
	struct link_info link;
	struct bridge bridge;
	int failed;

	if (!id)
		return 0;
	if (copy_for_work(network, id, &record, &bridge, err) < 0)
		return -1;
	route.gateway = gateway_of(&record, &bridge, family);
	if (bridge.internal || !route.gateway.family)
		return 0;
	if (ipvlan_is_routed(&bridge))
		route.gateway = (struct net_address){ 0 };
	failed = link_find(netlink_fd, text_or_empty(record.interface), &link);
	if (failed == 0) {
		route.index = link.index;
		failed = route_add(netlink_fd, &route);
	}
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set the container's default route by %s",
					    record.interface)
			  : 0;
}

int network_set_gateway(struct network *network, const char *id, const char *id6, int netlink_fd, struct error *err)
{
	int failed = drop_default_routes(netlink_fd);

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "change the container's default route");
	if (add_default_route(network, id, FAMILY_4, netlink_fd, err) < 0)
		return -1;
	return add_default_route(network, id6, FAMILY_6, netlink_fd, err);
}

/* ---- detach ---- */

struct departure {
	struct network *network;
	struct endpoint *endpoint;
};

/*
 * The kernel answers a link's removal only after RCU grace periods, 10 ms and more, and nobody needs the answer but who
 * wants the same address. Most often the link is gone by then, with the namespace that held its other end.
 */
static void *depart(void *arg)
{
	struct departure *departure = arg;
	struct network *network = departure->network;

	remove_link(departure->endpoint->record.link);
	mutex_lock(&network->mutex);
	forget_addresses_locked(network, departure->endpoint);
	endpoint_free(departure->endpoint);
	network->leaving--;
	condition_broadcast(&network->left);
	mutex_unlock(&network->mutex);
	free(departure);
	return NULL;
}

static void start_departure(struct network *network, struct endpoint *endpoint)
{
	struct departure *departure = xmemdup(&(struct departure){ network, endpoint }, sizeof(*departure));
	AUTO(error_clear) struct error err = { 0 };

	if (thread_start(NULL, "link-removal", depart, departure, &err) < 0)
		depart(departure);
}

void network_settle(struct network *network)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);

	while (network->leaving)
		condition_wait(&network->left, &network->mutex);
}

int network_detach(struct network *network, const char *id, struct error *err)
{
	struct endpoint *endpoint;

	mutex_lock(&network->mutex);
	endpoint = map_take(&network->endpoints, id);
	if (endpoint) {
		network->generation++;
		network->leaving++;
		endpoint->leaving = true;
		/* The name goes first: a crash in between leaves rules, which the next start rebuilds away. */
		record_remove(network->endpoints_dir, id);
	}
	mutex_unlock(&network->mutex);
	if (!endpoint)
		return 0;
	if (endpoint->record.connected && firewall_withdraw(network, &endpoint->record, err) < 0)
		error_prefix(err, "detach %s", id);
	if (endpoint->record.connected)
		forget_flows(&endpoint->record);
	proxy_stop_all(&endpoint->record);
	/* Only now: until the rules are gone the ports are not free. */
	mutex_lock(&network->mutex);
	give_back_ports_locked(network, endpoint);
	mutex_unlock(&network->mutex);
	start_departure(network, endpoint);
	return error_is_set(err) ? -1 : 0;
}
