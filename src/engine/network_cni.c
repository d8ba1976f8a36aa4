/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/network_cni.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "cni/chain.h"
#include "engine/container_network.h"
#include "engine/network_rate.h"
#include "sys/netlink.h"

bool network_is_cni(const struct engine_network *network)
{
	return text_equal(network->driver, "cni");
}

static const char *list_name(const struct engine_network *network)
{
	const char *chosen = text_map_get(&network->options, "conflist");

	return text_empty(chosen) ? network->name : chosen;
}

static int timeout_s(const struct engine_network *network)
{
	const char *chosen = text_map_get(&network->options, "timeout");
	uint64_t value = 0;

	return chosen && text_parse_u64(&value, chosen, INT32_MAX / 1000) == 0 ? (int)value : 0;
}

/* The link it has inside, or "". */
static void find_interface(char out_name[16], const struct container *container,
			   const struct endpoint_settings *endpoint)
{
	AUTO(network_endpoint_fini) struct network_endpoint given = { 0 };
	AUTO_FREE char *key = endpoint_key(container, endpoint);

	network_find(container->engine->network, key, &given);
	snprintf(out_name, 16, "%s", given.interface);
}

static bool has_plugins_work(const struct container *container, const struct endpoint_settings *endpoint)
{
	char interface[16];

	find_interface(interface, container, endpoint);
	return *interface && cni_has(&container->engine->cni, container->id, interface);
}

int network_cni_check(struct engine *engine, const struct engine_network *network, struct error *err)
{
	return cni_list_check(&engine->cni, list_name(network), timeout_s(network), err);
}

void network_cni_restore(struct engine *engine, char *const *alive, size_t alive_count)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };
	const struct filter_set none = { 0 };

	cni_restore(&engine->cni, alive, alive_count);
	if (engine_network_list(&all, engine, &none, &ignored) < 0)
		return;
	for (size_t i = 0; i < all.count; i++) {
		const char *collect = text_map_get(&all.items[i].options, "gc");
		AUTO(error_clear) struct error problem = { 0 };

		if (network_is_cni(&all.items[i]) && text_equal(collect, "true") &&
		    cni_collect(&engine->cni, list_name(&all.items[i]), timeout_s(&all.items[i]), &problem) < 0)
			engine_log_error(engine, "the plugins of a network did not collect", all.items[i].name,
					 &problem);
	}
}

/* ---- the namespace ---- */

void network_cni_hold(struct container *container, int netlink_fd)
{
	int fd;

	if (container->netns_fd >= 0 || netlink_fd < 0)
		return;
	fd = netlink_namespace(netlink_fd);
	container->netns_fd = fd < 0 ? -1 : fd;
}

/*
 * As other programs reach it: a name that stays the same for the container's life, as plugins compare names, and leads to
 * a descriptor of ours. Yours; "" if there is no descriptor.
 */
static char *namespace_path(const struct container *container, int fd)
{
	AUTO_FREE char *target = xasprintf("/proc/%d/fd/%d", (int)getpid(), fd);
	AUTO_FREE char *path = xasprintf("%s/network/ns-%.16s", container->engine->exec_root, container->id);

	unlink(path);
	if (fd < 0 || symlink(target, path) < 0)
		return xstrdup("");
	return take_ptr(path);
}

void network_cni_release(struct container *container)
{
	const struct endpoint_map *endpoints = &container->document.networking.endpoints;

	for (size_t i = 0; i < endpoints->count; i++)
		if (has_plugins_work(container, &endpoints->items[i]))
			return;
	free(namespace_path(container, -1));
	if (container->netns_fd >= 0)
		close(take_fd(&container->netns_fd));
}

/* ---- ADD ---- */

static void fill_ports(struct cni_request *request, const struct network_endpoint *given)
{
	for (size_t i = 0; i < given->binding_count; i++) {
		const struct network_binding *binding = &given->bindings[i];
		struct cni_port *port = json_array_add(&request->ports, sizeof(*port));

		port->host_port = binding->host_port;
		port->container_port = binding->container_port;
		port->protocol = xstrdup(network_protocol_name(binding->protocol));
		port->host_ip = xstrdup(text_equal(binding->host_ip, "0.0.0.0") ? "" : binding->host_ip);
	}
}

static void free_request(struct cni_request *request)
{
	for (size_t i = 0; i < request->ports.count; i++) {
		free(request->ports.items[i].protocol);
		free(request->ports.items[i].host_ip);
	}
	free(request->ports.items);
	text_list_fini(&request->ips);
	free(request->mac);
}

static void add_ip(struct text_list *ips, const char *ip)
{
	if (!text_empty(ip))
		text_list_add(ips, ip);
}

static int fill_request(struct cni_request *request, struct cni_bandwidth *bandwidth, const struct container *container,
			const struct endpoint_settings *endpoint, struct error *err)
{
	const char *mac = endpoint_wanted_mac(&container->document, endpoint);
	struct network_rates rates = { 0 };

	request->mac = text_empty(mac) ? NULL : xstrdup(mac);
	if (endpoint->ipam) {
		add_ip(&request->ips, endpoint->ipam->ipv4_address);
		add_ip(&request->ips, endpoint->ipam->ipv6_address);
	}
	if (network_rates_read(&rates, endpoint, err) < 0)
		return -1;
	if (!rates.ingress_bits && !rates.egress_bits)
		return 0;
	*bandwidth = (struct cni_bandwidth){ .ingress_rate = rates.ingress_bits,
					     .ingress_burst = rates.ingress_burst_bits,
					     .egress_rate = rates.egress_bits,
					     .egress_burst = rates.egress_burst_bits };
	request->bandwidth = bandwidth;
	return 0;
}

/* Without a default route nothing leads out, though there may be a gateway. */
static const char *default_gateway(const struct cni_result *result, const struct cni_ip *ip, int family)
{
	for (size_t i = 0; i < result->routes.count; i++) {
		const struct cni_route *route = &result->routes.items[i];
		struct net_address destination;

		if (net_address_parse(&destination, route->destination) == 0 && destination.family == family &&
		    destination.prefix == 0)
			return text_or_empty(text_empty(route->gateway) ? ip->gateway : route->gateway);
	}
	return "";
}

static void take_address(struct network_endpoint *given, const struct cni_result *result, const struct cni_ip *ip)
{
	struct net_address address;
	char text[NET_ADDRESS_TEXT_MAX];
	bool v6;

	if (net_address_parse(&address, ip->address) < 0)
		return;
	v6 = address.family == AF_INET6;
	if (*(v6 ? given->address6 : given->address))
		return;
	net_address_format(text, &address);
	snprintf(v6 ? given->address6 : given->address, sizeof(given->address), "%s", text);
	snprintf(v6 ? given->gateway6 : given->gateway, sizeof(given->gateway), "%s",
		 default_gateway(result, ip, address.family));
	*(v6 ? &given->prefix6 : &given->prefix) = address.prefix;
}

/* The first address of each family on the container's interface. */
static void read_result(struct network_endpoint *given, const struct cni_result *result, const char *interface)
{
	for (size_t i = 0; i < result->ips.count; i++) {
		const struct cni_ip *ip = &result->ips.items[i];

		if (!ip->interface.set || text_equal(result->interfaces.items[ip->interface.value].name, interface))
			take_address(given, result, ip);
	}
	for (size_t i = 0; i < result->interfaces.count; i++)
		if (!text_empty(result->interfaces.items[i].sandbox) &&
		    text_equal(result->interfaces.items[i].name, interface))
			snprintf(given->mac, sizeof(given->mac), "%s", text_or_empty(result->interfaces.items[i].mac));
}

static int add(struct container *container, struct endpoint_settings *endpoint, const struct engine_network *network,
	       struct network_endpoint *given, struct error *err)
{
	AUTO(cni_result_fini) struct cni_result result = { 0 };
	AUTO_FREE char *path = namespace_path(container, container->netns_fd);
	struct cni_bandwidth bandwidth;
	struct cni_request request = { .list = list_name(network),
				       .container = container->id,
				       .interface = given->interface,
				       .netns = path,
				       .timeout_s = timeout_s(network) };
	int r = fill_request(&request, &bandwidth, container, endpoint, err);

	fill_ports(&request, given);
	if (r == 0)
		r = cni_add(&container->engine->cni, &request, &result, err);
	free_request(&request);
	if (r == 0)
		read_result(given, &result, request.interface);
	return r;
}

int network_cni_connect(struct container *container, struct endpoint_settings *endpoint,
			const struct engine_network *network, int netlink_fd, const char *name, struct error *err)
{
	AUTO(network_endpoint_fini) struct network_endpoint given = { 0 };
	AUTO_FREE char *key = endpoint_key(container, endpoint);

	network_cni_hold(container, netlink_fd);
	if (network_connect(container->engine->network, key, netlink_fd, name, NULL, err) < 0)
		return -1;
	if (!network_find(container->engine->network, key, &given))
		return error_set(err, ERR_CANCELED, "endpoint %s was detached meanwhile", key);
	if (add(container, endpoint, network, &given, err) < 0 ||
	    network_set_way_out(container->engine->network, key, given.gateway, given.gateway6, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	endpoint_record(endpoint, &given, network);
	mutex_unlock(&container->mutex);
	/* They were written before anybody knew the address. */
	return container_network_files(container, err);
}

/* ---- DEL and CHECK ---- */

void network_cni_disconnect(struct container *container, const struct endpoint_settings *endpoint)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *path = NULL;
	char interface[16];

	if (!has_plugins_work(container, endpoint))
		return;
	find_interface(interface, container, endpoint);
	path = namespace_path(container, container->netns_fd);
	if (cni_delete(&container->engine->cni, container->id, interface, path, &err) < 0)
		engine_log_error(container->engine, "a CNI plugin left something behind", container->id, &err);
}

char *network_cni_problem(const struct container *container, const struct endpoint_settings *endpoint, int netlink_fd)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_CLOSE int fd = netlink_namespace(netlink_fd);
	AUTO_FREE char *path = namespace_path(container, fd);
	char interface[16];

	find_interface(interface, container, endpoint);
	if (cni_check(&container->engine->cni, container->id, interface, path, &err) == 0)
		return NULL;
	return take_ptr(err.message);
}
