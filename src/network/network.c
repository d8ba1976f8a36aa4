/* SPDX-License-Identifier: Apache-2.0 */
#include "network/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/random.h"
#include "base/rollback.h"
#include "network/firewall.h"
#include "network/pool.h"
#include "network/state.h"
#include "sys/conntrack.h"

#define LOOPBACK_INDEX 1 /* of every network namespace */
#define LINK_PREFIX "veth"
#define READY_WAIT_MS 2000

static const char *const protocol_names[] = { "tcp", "udp", "sctp" };

const char *network_protocol_name(enum network_protocol protocol)
{
	return protocol_names[protocol];
}

int network_protocol_parse(enum network_protocol *out_protocol, const char *name)
{
	for (int i = 0; i < 3; i++) {
		if (!text_equal_ignoring_case(name, protocol_names[i]))
			continue;
		*out_protocol = (enum network_protocol)i;
		return 0;
	}
	return -EINVAL;
}

/* ---- open and close ---- */

void endpoint_free(struct endpoint *endpoint)
{
	endpoint_record_fini(&endpoint->record);
	free(endpoint->holds);
	free(endpoint);
}

static void free_endpoint(void *value)
{
	struct endpoint *endpoint = value;

	for (size_t i = 0; i < endpoint->hold_count; i++)
		if (endpoint->holds[i].fd >= 0)
			close(endpoint->holds[i].fd);
	endpoint_free(endpoint);
}

static int load_endpoints(struct network *network, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (record_names(&names, network->endpoints_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
		AUTO(error_clear) struct error ignored = { 0 };

		/* Half a file cannot be (they are renamed into place); a foreign one is no reason not to start. */
		if (record_load(&endpoint->record, endpoint_record_fields, network->endpoints_dir, names.items[i],
				&ignored) != 1) {
			endpoint_free(endpoint);
			continue;
		}
		map_set(&network->endpoints, endpoint->record.id, endpoint);
		map_set(&network->addresses, endpoint->record.address, endpoint);
	}
	return 0;
}

int network_open(struct network **out_network, const struct network_options *options, struct error *err)
{
	AUTO(network_closep) struct network *network = xcalloc(1, sizeof(*network));
	int failed;

	mutex_init(&network->mutex);
	map_init(&network->bridges, free);
	map_init(&network->endpoints, free_endpoint);
	map_init(&network->addresses, NULL);
	port_table_init(&network->ports);
	condition_init(&network->left);
	network->table = xstrdup(options->table ? options->table : "kist");
	network->nft = xstrdup(options->nft ? options->nft : "nft");
	network->endpoints_dir = path_join(options->state_dir, "endpoints");
	network->bridges_dir = path_join(options->state_dir, "bridges");
	if (!record_name_is_valid(network->table))
		return error_set(err, ERR_INVALID, "invalid nft table name \"%s\"", network->table);
	failed = mkdir_all(AT_FDCWD, network->endpoints_dir, 0700);
	if (failed == 0)
		failed = mkdir_all(AT_FDCWD, network->bridges_dir, 0700);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make network state folder %s", options->state_dir);
	if (load_endpoints(network, err) < 0)
		return -1;
	*out_network = take_ptr(network);
	return 0;
}

void network_close(struct network *network)
{
	if (!network)
		return;
	network_settle(network);
	condition_fini(&network->left);
	map_fini(&network->addresses);
	map_fini(&network->endpoints);
	map_fini(&network->bridges);
	port_table_fini(&network->ports);
	mutex_fini(&network->mutex);
	free(network->table);
	free(network->nft);
	free(network->endpoints_dir);
	free(network->bridges_dir);
	free(network);
}

/* ---- reserve ---- */

static bool address_taken(const struct net_address *address, void *arg)
{
	const struct network *network = arg;
	char text[NET_ADDRESS_TEXT_MAX];

	return map_get(&network->addresses, net_address_format(text, address)) != NULL;
}

struct bridge_and_network {
	struct network *network;
	const struct bridge *bridge;
};

static bool taken_on_bridge(const struct net_address *address, void *arg)
{
	const struct bridge_and_network *both = arg;

	return memcmp(address->bytes, both->bridge->gateway.bytes, 4) == 0 || address_taken(address, both->network);
}

static int give_address_locked(struct network *network, struct bridge *bridge, const char *wanted,
			       struct net_address *out_address, struct error *err)
{
	struct bridge_and_network both = { network, bridge };
	char subnet[NET_ADDRESS_TEXT_MAX];

	net_address_format_prefix(subnet, &bridge->subnet);
	if (!wanted) {
		if (!pool_take(out_address, &bridge->subnet, &bridge->range, &bridge->last, taken_on_bridge, &both))
			return error_set(err, ERR_EXHAUSTED,
					 "no available IPv4 addresses on this network's address pools: %s (%s)",
					 bridge->name, subnet);
		return 0;
	}
	if (net_address_parse(out_address, wanted) < 0 || strchr(wanted, '/'))
		return error_set(err, ERR_INVALID, "invalid IPv4 address: %s", wanted);
	if (!pool_is_usable(&bridge->subnet, out_address))
		return error_set(err, ERR_INVALID, "no configured subnet contains IP address %s", wanted);
	if (taken_on_bridge(out_address, &both))
		return error_set(err, ERR_CONFLICT, "Address already in use");
	out_address->prefix = bridge->subnet.prefix;
	return 0;
}

static int give_mac(char out_text[18], const struct net_address *address, const char *wanted, struct error *err)
{
	uint8_t mac[6];
	unsigned parts[6];
	char rest;

	if (text_empty(wanted)) {
		pool_mac(mac, address);
	} else {
		if (sscanf(wanted, "%2x:%2x:%2x:%2x:%2x:%2x%c", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4],
			   &parts[5], &rest) != 6 ||
		    parts[0] & 1)
			return error_set(err, ERR_INVALID, "invalid MAC address: %s", wanted);
		for (int i = 0; i < 6; i++)
			mac[i] = (uint8_t)parts[i];
	}
	snprintf(out_text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return 0;
}

static void add_binding(struct endpoint *endpoint, const struct port_hold *hold, uint16_t container_port)
{
	struct binding_record *binding = json_array_add(&endpoint->record.bindings, sizeof(*binding));

	binding->protocol = xstrdup(network_protocol_name(hold->protocol));
	binding->host_ip = xstrdup(hold->host_ip);
	binding->host_port = hold->port;
	binding->container_port = container_port;
	endpoint->holds = xrealloc(endpoint->holds, (endpoint->hold_count + 1) * sizeof(*endpoint->holds));
	endpoint->holds[endpoint->hold_count++] = *hold;
}

static void give_back_ports_locked(struct network *network, struct endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->hold_count; i++)
		port_give_back(&network->ports, &endpoint->holds[i]);
	endpoint->hold_count = 0;
}

static int take_ports_locked(struct network *network, struct endpoint *endpoint, const struct network_request *request,
			     struct error *err)
{
	for (size_t i = 0; i < request->port_count; i++) {
		struct port_hold hold;

		if (port_take(&network->ports, &hold, &request->ports[i], err) < 0) {
			give_back_ports_locked(network, endpoint);
			return -1;
		}
		add_binding(endpoint, &hold, request->ports[i].container_port);
	}
	return 0;
}

static void copy_bindings(struct network_endpoint *out, const struct endpoint_record *record)
{
	out->bindings = xcalloc(record->bindings.count + 1, sizeof(*out->bindings));
	out->binding_count = record->bindings.count;
	for (size_t i = 0; i < out->binding_count; i++) {
		const struct binding_record *binding = &record->bindings.items[i];
		struct network_binding *copy = &out->bindings[i];

		network_protocol_parse(&copy->protocol, binding->protocol);
		snprintf(copy->host_ip, sizeof(copy->host_ip), "%s", binding->host_ip);
		copy->host_port = (uint16_t)binding->host_port;
		copy->container_port = (uint16_t)binding->container_port;
	}
}

static void describe_locked(const struct network *network, struct network_endpoint *out,
			    const struct endpoint_record *record)
{
	const struct bridge *bridge = map_get(&network->bridges, record->bridge);
	char gateway[NET_ADDRESS_TEXT_MAX];

	*out = (struct network_endpoint){ 0 };
	snprintf(out->bridge, sizeof(out->bridge), "%s", record->bridge);
	snprintf(out->address, sizeof(out->address), "%s", record->address);
	snprintf(out->mac, sizeof(out->mac), "%s", record->mac);
	if (bridge) {
		out->prefix = bridge->subnet.prefix;
		if (!bridge->internal)
			snprintf(out->gateway, sizeof(out->gateway), "%s",
				 net_address_format(gateway, &bridge->gateway));
	}
	copy_bindings(out, record);
}

static int fill_endpoint_locked(struct network *network, struct endpoint *endpoint, struct bridge *bridge,
				const struct network_request *request, struct error *err)
{
	struct endpoint_record *record = &endpoint->record;
	char text[NET_ADDRESS_TEXT_MAX], mac[18], tail[8];
	struct net_address address;

	if (give_address_locked(network, bridge, request->address, &address, err) < 0 ||
	    give_mac(mac, &address, request->mac, err) < 0)
		return -1;
	if (bridge->internal && request->port_count)
		return error_set(err, ERR_INVALID, "ports cannot be published on internal network %s", bridge->name);
	random_hex(tail, 3);
	record->id = xstrdup(request->id);
	record->bridge = xstrdup(bridge->name);
	record->address = xstrdup(net_address_format(text, &address));
	record->mac = xstrdup(mac);
	record->link = xasprintf(LINK_PREFIX "%s", tail);
	if (take_ports_locked(network, endpoint, request, err) < 0)
		return -1;
	if (record_save(network->endpoints_dir, record->id, record, endpoint_record_fields, err) < 0) {
		give_back_ports_locked(network, endpoint);
		return -1;
	}
	return 0;
}

static int reserve_locked(struct network *network, const struct network_request *request,
			  struct network_endpoint *out_endpoint, struct error *err)
{
	AUTO(endpoint_freep) struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
	struct bridge *bridge = map_get(&network->bridges, request->bridge);

	if (!bridge)
		return error_set(err, ERR_NOT_FOUND, "no bridge %s", request->bridge);
	if (map_get(&network->endpoints, request->id))
		return error_set(err, ERR_CONFLICT, "endpoint %s exists already", request->id);
	if (fill_endpoint_locked(network, endpoint, bridge, request, err) < 0)
		return -1;
	if (out_endpoint)
		describe_locked(network, out_endpoint, &endpoint->record);
	map_set(&network->addresses, endpoint->record.address, endpoint);
	map_set(&network->endpoints, request->id, endpoint);
	take_ptr(endpoint);
	return 0;
}

static bool is_leaving_locked(const struct network *network, const char *address)
{
	const struct endpoint *endpoint = address ? map_get(&network->addresses, address) : NULL;

	return endpoint && endpoint->leaving;
}

int network_reserve(struct network *network, const struct network_request *request,
		    struct network_endpoint *out_endpoint, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	int r;

	if (!record_name_is_valid(request->id))
		return error_set(err, ERR_INVALID, "invalid endpoint id \"%s\"", request->id);
	/* What is about to be free is waited for only by who wants just that, or when there is nothing else. */
	while (is_leaving_locked(network, request->address))
		condition_wait(&network->left, &network->mutex);
	while ((r = reserve_locked(network, request, out_endpoint, err)) < 0 && err->kind == ERR_EXHAUSTED &&
	       network->leaving) {
		error_clear(err);
		condition_wait(&network->left, &network->mutex);
	}
	return r;
}

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

/* Both ends, the container's one born in its namespace with its final name. */
static int make_link(const struct endpoint_record *record, const struct bridge *bridge, int netlink_fd,
		     const char *name, struct error *err)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	AUTO_CLOSE int namespace_fd = netlink_namespace(netlink_fd);
	struct link_veth veth = { .name = record->link,
				  .peer_name = name,
				  .mtu = bridge->mtu,
				  .master = bridge->index,
				  .peer_netns_fd = namespace_fd,
				  .up = true };
	struct link_info link;
	uint8_t mac[6];
	int failed;

	if (socket_fd < 0 || namespace_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, socket_fd < 0 ? socket_fd : namespace_fd,
				       "reach the container's network namespace");
	if (parse_mac(mac, record->mac) == 0)
		veth.peer_mac = mac;
	failed = link_create_veth(socket_fd, &veth);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make link %s of the container", name);
	/* With br_netfilter a container's call to its own published port is turned round inside the bridge. */
	failed = link_find(socket_fd, record->link, &link);
	if (failed == 0)
		failed = link_set_bridge_port(socket_fd, link.index, true, bridge->no_inter_container);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set up bridge port %s", record->link) : 0;
}

static void remove_link(const char *name)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	struct link_info link;

	if (socket_fd >= 0 && link_find(socket_fd, name, &link) == 0 && text_equal(link.kind, "veth"))
		link_delete(socket_fd, link.index);
}

static int configure_inside(const struct endpoint_record *record, const struct bridge *bridge, int netlink_fd,
			    const char *name, struct error *err)
{
	struct link_route route = { .destination = { .family = AF_INET }, .gateway = bridge->gateway };
	struct net_address address;
	struct link_info link;
	int failed;

	if (network_loopback_up(netlink_fd, err) < 0)
		return -1;
	failed = link_find(netlink_fd, name, &link);
	if (failed == 0)
		failed = net_address_parse(&address, record->address);
	if (failed == 0) {
		address.prefix = bridge->subnet.prefix;
		failed = address_add(netlink_fd, link.index, &address);
	}
	if (failed == 0)
		failed = link_change(netlink_fd, link.index, &(struct link_change){ .up = 1 });
	if (failed == 0 && !bridge->internal)
		failed = route_add(netlink_fd, &route);
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

static int mark_connected(struct network *network, const char *id, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (!endpoint)
		return error_set(err, ERR_CANCELED, "endpoint %s was detached meanwhile", id);
	endpoint->record.connected = true;
	network->generation++;
	return record_save(network->endpoints_dir, id, &endpoint->record, endpoint_record_fields, err);
}

/*
 * Datagrams that came before are flows too, and keep going where they went: to nobody, or to the port's former
 * container. A kernel without conntrack's netlink lets them run out by themselves.
 */
static void forget_flows(const struct endpoint_record *record)
{
	struct net_address address;

	if (net_address_parse(&address, record->address) < 0)
		return;
	for (size_t i = 0; i < record->bindings.count; i++)
		if (text_equal(record->bindings.items[i].protocol, "udp"))
			conntrack_forget(IPPROTO_UDP, (uint16_t)record->bindings.items[i].host_port, &address);
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

int network_connect(struct network *network, const char *id, int netlink_fd, const char *name, struct error *err)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	struct bridge bridge;

	if (!name)
		name = "eth0";
	if (copy_for_work(network, id, &record, &bridge, err) < 0)
		return -1;
	if (make_link(&record, &bridge, netlink_fd, name, err) < 0 ||
	    configure_inside(&record, &bridge, netlink_fd, name, err) < 0 || mark_connected(network, id, err) < 0 ||
	    firewall_publish(network, &record, err) < 0) {
		remove_link(record.link);
		return -1;
	}
	forget_flows(&record);
	wait_ready(record.link);
	return 0;
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
	map_remove(&network->addresses, departure->endpoint->record.address);
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
	/* Only now: until the rules are gone the ports are not free. */
	mutex_lock(&network->mutex);
	give_back_ports_locked(network, endpoint);
	mutex_unlock(&network->mutex);
	start_departure(network, endpoint);
	return error_is_set(err) ? -1 : 0;
}

int network_find(struct network *network, const char *id, struct network_endpoint *out_endpoint)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (!endpoint)
		return 0;
	if (out_endpoint)
		describe_locked(network, out_endpoint, &endpoint->record);
	return 1;
}

void network_endpoint_fini(struct network_endpoint *endpoint)
{
	free(endpoint->bindings);
	*endpoint = (struct network_endpoint){ 0 };
}

/* ---- restore and teardown ---- */

static bool is_alive(const char *id, char *const *alive, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(alive[i], id))
			return true;
	return false;
}

static void retake_ports_locked(struct network *network, struct endpoint *endpoint)
{
	const struct endpoint_record *record = &endpoint->record;

	if (endpoint->hold_count)
		return;
	endpoint->holds = xcalloc(record->bindings.count + 1, sizeof(*endpoint->holds));
	for (size_t i = 0; i < record->bindings.count; i++) {
		const struct binding_record *binding = &record->bindings.items[i];
		enum network_protocol protocol;

		if (network_protocol_parse(&protocol, binding->protocol) == 0)
			port_retake(&network->ports, &endpoint->holds[endpoint->hold_count++], protocol,
				    binding->host_ip, (uint16_t)binding->host_port);
	}
}

/* Takes the dead out of memory and disk; their links' names are collected. */
static void forget_dead_locked(struct network *network, char *const *alive, size_t alive_count)
{
	AUTO(text_list_fini) struct text_list dead = { 0 };
	struct endpoint *endpoint;
	const char *id;
	size_t at = 0;

	while ((endpoint = map_next(&network->endpoints, &at, &id))) {
		if (is_alive(id, alive, alive_count))
			retake_ports_locked(network, endpoint);
		else
			text_list_add(&dead, id);
	}
	for (size_t i = 0; i < dead.count; i++) {
		endpoint = map_get(&network->endpoints, dead.items[i]);
		map_remove(&network->addresses, endpoint->record.address);
		give_back_ports_locked(network, endpoint);
		record_remove(network->endpoints_dir, dead.items[i]);
		map_remove(&network->endpoints, dead.items[i]);
	}
	network->generation++;
}

/* Whether a link is a port of one of our bridges and nobody's. */
static bool is_stray_locked(const struct network *network, const struct link_info *link)
{
	const struct bridge *bridge;
	const struct endpoint *endpoint;
	bool ours = false;
	size_t at = 0;

	if (!text_equal(link->kind, "veth") || !text_has_prefix(link->name, LINK_PREFIX) || !link->master)
		return false;
	while ((bridge = map_next(&network->bridges, &at, NULL)))
		ours |= bridge->index == link->master;
	at = 0;
	while (ours && (endpoint = map_next(&network->endpoints, &at, NULL)))
		if (text_equal(endpoint->record.link, link->name))
			return false;
	return ours;
}

static int remove_stray_links(struct network *network, struct error *err)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	AUTO_FREE struct link_info *links = NULL;
	size_t count = 0;
	int failed = socket_fd < 0 ? socket_fd : link_dump(socket_fd, &links, &count);

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "list links");
	for (size_t i = 0; i < count; i++) {
		bool stray;

		mutex_lock(&network->mutex);
		stray = is_stray_locked(network, &links[i]);
		mutex_unlock(&network->mutex);
		if (stray)
			link_delete(socket_fd, links[i].index);
	}
	return 0;
}

int network_restore(struct network *network, char *const *alive, size_t alive_count, struct error *err)
{
	mutex_lock(&network->mutex);
	forget_dead_locked(network, alive, alive_count);
	mutex_unlock(&network->mutex);
	if (remove_stray_links(network, err) < 0)
		return -1;
	return firewall_rebuild(network, err);
}

int network_teardown(struct network *network, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	network_settle(network);
	mutex_lock(&network->mutex);
	forget_dead_locked(network, NULL, 0);
	mutex_unlock(&network->mutex);
	if (remove_stray_links(network, err) < 0 || record_names(&names, network->bridges_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		if (bridge_unmake(network, names.items[i], err) < 0)
			return -1;
		mutex_lock(&network->mutex);
		map_remove(&network->bridges, names.items[i]);
		mutex_unlock(&network->mutex);
	}
	return firewall_delete(network, err);
}

int network_retire(struct network *network, struct error *err)
{
	bool used;

	mutex_lock(&network->mutex);
	used = network->endpoints.count > 0;
	mutex_unlock(&network->mutex);
	return used ? 0 : network_teardown(network, err);
}
