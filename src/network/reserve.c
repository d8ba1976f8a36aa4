/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "network/network.h"
#include "network/pool.h"
#include "network/state.h"

/* ---- addresses ---- */

struct bridge_and_network {
	const struct network *network;
	const struct bridge *bridge;
};

static bool same_address(const struct net_address *a, const struct net_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool taken_on_bridge(const struct net_address *address, void *arg)
{
	const struct bridge_and_network *both = arg;
	const struct bridge *bridge = both->bridge;
	char text[NET_ADDRESS_TEXT_MAX];

	for (int family = 0; family < FAMILY_COUNT; family++)
		if (same_address(address, &bridge->subnets[family].gateway))
			return true;
	for (size_t i = 0; i < bridge->reserved_count; i++)
		if (same_address(address, &bridge->reserved[i]))
			return true;
	return map_get(&both->network->addresses, net_address_format(text, address)) != NULL;
}

static int give_address_locked(struct network *network, struct bridge *bridge, enum family family, const char *wanted,
			       struct net_address *out_address, struct error *err)
{
	struct bridge_and_network both = { network, bridge };
	struct subnet *subnet = &bridge->subnets[family];
	const char *name = family == FAMILY_4 ? "IPv4" : "IPv6";
	char text[NET_ADDRESS_TEXT_MAX];

	if (!subnet->network.family)
		return text_empty(wanted)
			       ? 0
			       : error_set(err, ERR_INVALID, "no configured subnet contains IP address %s", wanted);
	if (text_empty(wanted)) {
		if (!pool_take(out_address, &subnet->network, &subnet->range, &subnet->last, taken_on_bridge, &both))
			return error_set(err, ERR_EXHAUSTED,
					 "no available %s addresses on this network's address pools: %s (%s)", name,
					 bridge->name, net_address_format_prefix(text, &subnet->network));
		return 0;
	}
	if (net_address_parse(out_address, wanted) < 0 || strchr(wanted, '/') ||
	    out_address->family != family_of(family))
		return error_set(err, ERR_INVALID, "invalid %s address: %s", name, wanted);
	if (!pool_is_usable(&subnet->network, out_address))
		return error_set(err, ERR_INVALID, "no configured subnet contains IP address %s", wanted);
	if (taken_on_bridge(out_address, &both))
		return error_set(err, ERR_CONFLICT, "Address already in use");
	out_address->prefix = subnet->network.prefix;
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

/* ---- ports ---- */

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

void give_back_ports_locked(struct network *network, struct endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->hold_count; i++)
		port_give_back(&network->ports, &endpoint->holds[i]);
	endpoint->hold_count = 0;
}

/* Reached by the container's own address: no port of the host is taken. */
static void add_routed(struct endpoint *endpoint, const struct network_port *port, const char *host_ip)
{
	struct port_hold none = { .protocol = port->protocol, .fd = -1 };

	snprintf(none.host_ip, sizeof(none.host_ip), "%s", host_ip);
	add_binding(endpoint, &none, port->container_port);
	endpoint->hold_count--;
}

static bool is_routed(const struct bridge *bridge, enum family family)
{
	return bridge->subnets[family].mode == NETWORK_ROUTED;
}

static bool has_family(const struct bridge *bridge, enum family family)
{
	return bridge->subnets[family].network.family != 0;
}

/* An IPv6 address of the host's, a container that has IPv4 only: nothing but a program turns one into the other. */
static bool is_carried6(const struct network *network, const struct bridge *bridge, const struct network_port *port)
{
	return !network->no_proxy && port->protocol != NETWORK_SCTP && !has_family(bridge, FAMILY_6) &&
	       has_family(bridge, FAMILY_4) && !is_routed(bridge, FAMILY_4);
}

/* On all addresses of the host, of these families. */
static int take_any_locked(struct network *network, struct endpoint *endpoint, const struct network_port *port,
			   bool four, bool six, struct error *err)
{
	struct network_port asked = *port;
	struct port_hold holds[2];

	asked.host_ip = four ? "0.0.0.0" : "::";
	if ((four && six ? port_take_both(&network->ports, holds, &asked, err)
			 : port_take(&network->ports, &holds[0], &asked, err)) < 0)
		return -1;
	add_binding(endpoint, &holds[0], port->container_port);
	if (four && six)
		add_binding(endpoint, &holds[1], port->container_port);
	return 0;
}

/* Which addresses of the host a port is published on that names none. */
static int take_default_locked(struct network *network, struct endpoint *endpoint, const struct bridge *bridge,
			       const struct network_port *port, struct error *err)
{
	bool has4 = has_family(bridge, FAMILY_4), has6 = has_family(bridge, FAMILY_6);
	bool nat4 = has4 && !is_routed(bridge, FAMILY_4), nat6 = has6 && !is_routed(bridge, FAMILY_6);

	if (has4 && !nat4)
		add_routed(endpoint, port, "0.0.0.0");
	if (has6 && !nat6)
		add_routed(endpoint, port, "::");
	if (!nat4 && !nat6)
		return 0;
	nat6 |= is_carried6(network, bridge, port) && port_has_ipv6();
	return take_any_locked(network, endpoint, port, nat4, nat6, err);
}

static int take_port_locked(struct network *network, struct endpoint *endpoint, const struct bridge *bridge,
			    const struct network_port *port, struct error *err)
{
	struct network_port asked = *port;
	struct port_hold hold;
	enum family family;

	if (bridge->driver == NETWORK_EXTERNAL) {
		if (port_take(&network->ports, &hold, &asked, err) < 0)
			return -1;
		add_binding(endpoint, &hold, port->container_port);
		return 0;
	}
	if (text_empty(asked.host_ip))
		asked.host_ip = bridge->host_ip;
	if (text_empty(asked.host_ip))
		return take_default_locked(network, endpoint, bridge, &asked, err);
	family = port_is_ipv6(asked.host_ip) ? FAMILY_6 : FAMILY_4;
	if (!has_family(bridge, family) && !(family == FAMILY_6 && is_carried6(network, bridge, &asked)))
		return error_set(err, ERR_UNSUPPORTED,
				 "port %u cannot be published on %s: network %s gives containers no %s address",
				 port->container_port, asked.host_ip, bridge->name,
				 family == FAMILY_6 ? "IPv6" : "IPv4");
	if (is_routed(bridge, family)) {
		add_routed(endpoint, port, family == FAMILY_6 ? "::" : "0.0.0.0");
		return 0;
	}
	if (port_take(&network->ports, &hold, &asked, err) < 0)
		return -1;
	add_binding(endpoint, &hold, port->container_port);
	return 0;
}

int take_ports_locked(struct network *network, struct endpoint *endpoint, const struct bridge *bridge,
		      const struct network_port *ports, size_t port_count, struct error *err)
{
	/* Who is on the wire itself has all ports there already. */
	for (size_t i = 0; !bridge_is_on_parent(bridge) && i < port_count; i++)
		if (take_port_locked(network, endpoint, bridge, &ports[i], err) < 0) {
			give_back_ports_locked(network, endpoint);
			return -1;
		}
	return 0;
}

/* ---- endpoints ---- */

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

void describe_locked(const struct network *network, struct network_endpoint *out, const struct endpoint_record *record)
{
	const struct bridge *bridge = map_get(&network->bridges, record->bridge);
	char text[NET_ADDRESS_TEXT_MAX];

	*out = (struct network_endpoint){ 0 };
	snprintf(out->bridge, sizeof(out->bridge), "%s", record->bridge);
	snprintf(out->address, sizeof(out->address), "%s", record->address);
	snprintf(out->address6, sizeof(out->address6), "%s", text_or_empty(record->address6));
	snprintf(out->mac, sizeof(out->mac), "%s", record->mac);
	snprintf(out->interface, sizeof(out->interface), "%s", text_or_empty(record->interface));
	copy_bindings(out, record);
	if (!bridge)
		return;
	out->prefix = bridge->subnets[FAMILY_4].network.prefix;
	out->prefix6 = bridge->subnets[FAMILY_6].network.prefix;
	if (bridge->internal)
		return;
	net_address_format(text, &bridge->subnets[FAMILY_4].gateway);
	snprintf(out->gateway, sizeof(out->gateway), "%s", text);
	net_address_format(text, &bridge->subnets[FAMILY_6].gateway);
	snprintf(out->gateway6, sizeof(out->gateway6), "%s", text);
}

static int check_request(const struct bridge *bridge, const struct network_request *request, struct error *err)
{
	if (bridge->internal && request->port_count)
		return error_set(err, ERR_INVALID, "ports cannot be published on internal network %s", bridge->name);
	if (bridge_is_on_parent(bridge) && (request->rates.ingress_bits || request->rates.egress_bits))
		return error_set(err, ERR_UNSUPPORTED, "limits of bandwidth need a bridge: %s is none", bridge->name);
	return 0;
}

static int fill_endpoint_locked(struct network *network, struct endpoint *endpoint, struct bridge *bridge,
				const struct network_request *request, struct error *err)
{
	struct endpoint_record *record = &endpoint->record;
	struct net_address addresses[FAMILY_COUNT] = { 0 };
	char text[NET_ADDRESS_TEXT_MAX], mac[18], tail[LINK_TAIL_BYTES * 2 + 1];

	if (give_address_locked(network, bridge, FAMILY_4, request->address, &addresses[FAMILY_4], err) < 0 ||
	    give_address_locked(network, bridge, FAMILY_6, request->address6, &addresses[FAMILY_6], err) < 0 ||
	    give_mac(mac, &addresses[addresses[FAMILY_4].family ? FAMILY_4 : FAMILY_6], request->mac, err) < 0)
		return -1;
	if (check_request(bridge, request, err) < 0)
		return -1;
	random_hex(tail, LINK_TAIL_BYTES);
	record->id = xstrdup(request->id);
	record->bridge = xstrdup(bridge->name);
	record->rates = request->rates;
	record->address = xstrdup(net_address_format(text, &addresses[FAMILY_4]));
	record->address6 = xstrdup(net_address_format(text, &addresses[FAMILY_6]));
	/* An ipvlan link speaks with its parent's; an external one's is not known yet. */
	record->mac = xstrdup(bridge->driver == NETWORK_IPVLAN ? "" : mac);
	if (bridge->driver == NETWORK_EXTERNAL && text_empty(request->mac))
		*record->mac = '\0';
	record->link = !bridge_is_bridge(bridge) ? xstrdup("") : xasprintf(LINK_PREFIX "%s", tail);
	if (take_ports_locked(network, endpoint, bridge, request->ports, request->port_count, err) < 0)
		return -1;
	if (record_save(network->endpoints_dir, record->id, record, endpoint_record_fields, err) < 0) {
		give_back_ports_locked(network, endpoint);
		return -1;
	}
	return 0;
}

static void enter_addresses_locked(struct network *network, struct endpoint *endpoint)
{
	const char *addresses[] = { endpoint->record.address, endpoint->record.address6 };

	for (int family = 0; family < FAMILY_COUNT; family++)
		if (!text_empty(addresses[family]))
			map_set(&network->addresses, addresses[family], endpoint);
}

void forget_addresses_locked(struct network *network, const struct endpoint *endpoint)
{
	const char *addresses[] = { endpoint->record.address, endpoint->record.address6 };

	for (int family = 0; family < FAMILY_COUNT; family++)
		if (!text_empty(addresses[family]) && map_get(&network->addresses, addresses[family]) == endpoint)
			map_remove(&network->addresses, addresses[family]);
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
	enter_addresses_locked(network, endpoint);
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
	while (is_leaving_locked(network, request->address) || is_leaving_locked(network, request->address6))
		condition_wait(&network->left, &network->mutex);
	while ((r = reserve_locked(network, request, out_endpoint, err)) < 0 && err->kind == ERR_EXHAUSTED &&
	       network->leaving) {
		error_clear(err);
		condition_wait(&network->left, &network->mutex);
	}
	return r;
}
