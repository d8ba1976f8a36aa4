/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container_network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/container_ports.h"
#include "engine/name_server.h"
#include "engine/network_cni.h"
#include "engine/network_options.h"
#include "engine/network_rate.h"
#include "engine/network_sysctl.h"
#include "rpc/attach_frame.h"
#include "sys/netlink.h"

#define LINKS_MAX 1000

static bool shares_network(const struct container *container)
{
	return text_has_prefix(container->document.host.network_mode, "container:");
}

/* ---- one place ---- */

/* The bridge may be missing: it could not be made when the engine started. */
static int reserve_raised(struct engine *engine, const struct engine_network *network,
			  const struct network_request *request, struct network_endpoint *out_endpoint,
			  struct error *err)
{
	if (network_reserve(engine->network, request, out_endpoint, err) == 0)
		return 0;
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	error_clear(err);
	if (engine_network_raise(engine, network, err) < 0)
		return -1;
	return network_reserve(engine->network, request, out_endpoint, err);
}

static int reserve_one(struct container *container, struct endpoint_settings *endpoint,
		       const struct engine_network *network, const struct port_requests *ports, struct error *err)
{
	AUTO(network_endpoint_fini) struct network_endpoint given = { 0 };
	AUTO_FREE char *key = endpoint_key(container, endpoint);
	char bridge[16];
	struct network_request request = {
		.id = key,
		.bridge = bridge,
		.address = endpoint->ipam ? endpoint->ipam->ipv4_address : NULL,
		.address6 = endpoint->ipam ? endpoint->ipam->ipv6_address : NULL,
		.mac = endpoint_wanted_mac(&container->document, endpoint),
		.ports = ports ? ports->items : NULL,
		.port_count = ports ? ports->count : 0,
	};

	if (network_rates_read(&request.rates, endpoint, err) < 0)
		return -1;
	engine_network_bridge(bridge, container->engine, network);
	/* A leftover of a start that was cut short. */
	if (network_detach(container->engine->network, key, err) < 0 ||
	    reserve_raised(container->engine, network, &request, &given, err) < 0)
		return -1;
	mutex_lock(&container->mutex);
	endpoint_record(endpoint, &given, network);
	endpoint_name(endpoint, &container->document, network);
	if (ports)
		container_ports_record(&container->document, &given);
	mutex_unlock(&container->mutex);
	return 0;
}

/* The lowest name that is free in the container. */
static int free_link_name(char out_name[16], int netlink_fd, const char *prefix, struct error *err)
{
	struct link_info link;

	for (int i = 0; i < LINKS_MAX; i++) {
		snprintf(out_name, 16, "%s%d", prefix, i);
		if (link_find(netlink_fd, out_name, &link) == -ENODEV)
			return 0;
	}
	return error_set(err, ERR_EXHAUSTED, "the container has %d links already", LINKS_MAX);
}

/* More addresses on the link, that nobody hands out: 169.254.0.0/16, fe80::/64. */
static int add_link_locals(const struct endpoint_settings *endpoint, int netlink_fd, const char *name,
			   struct error *err)
{
	const struct text_list *list = endpoint->ipam ? &endpoint->ipam->link_local_ips : NULL;
	struct link_info link;

	for (size_t i = 0; list && i < list->count; i++) {
		struct net_address address;
		int r = link_find(netlink_fd, name, &link);

		if (r == 0)
			r = net_address_parse(&address, list->items[i]);
		if (r == 0) {
			address.prefix = address.family == AF_INET6 ? 64 : 16;
			r = address_add(netlink_fd, link.index, &address);
		}
		if (r < 0)
			return error_set_errno(err, ERR_INVALID, r, "link-local IP address %s", list->items[i]);
	}
	return 0;
}

static int connect_one(struct container *container, struct endpoint_settings *endpoint,
		       const struct engine_network *network, int netlink_fd, struct error *err)
{
	AUTO_FREE char *key = endpoint_key(container, endpoint);
	const char *wish = text_map_get(&endpoint->driver_opts, "com.docker.network.endpoint.ifname");
	AUTO(text_map_fini) struct text_map sysctls = { 0 };
	char name[16];

	if (wish)
		snprintf(name, sizeof(name), "%s", wish);
	else if (free_link_name(name, netlink_fd, network_options_prefix(network), err) < 0)
		return -1;
	if (network_is_cni(network))
		return network_cni_connect(container, endpoint, network, netlink_fd, name, err);
	if (network_sysctls_read(&sysctls, endpoint, err) < 0 ||
	    network_connect(container->engine->network, key, netlink_fd, name, &sysctls, err) < 0)
		return -1;
	return add_link_locals(endpoint, netlink_fd, name, err);
}

static void detach_one(struct container *container, struct endpoint_settings *endpoint)
{
	AUTO_FREE char *key = endpoint_key(container, endpoint);
	AUTO(error_clear) struct error err = { 0 };

	if (container->engine->network)
		network_cni_disconnect(container, endpoint);
	if (container->engine->network && network_detach(container->engine->network, key, &err) < 0)
		engine_log_error(container->engine, "a network endpoint was left behind", container->id, &err);
	mutex_lock(&container->mutex);
	endpoint_record(endpoint, NULL, NULL);
	mutex_unlock(&container->mutex);
}

/* ---- the way out, and the ports that come by it ---- */

static int set_gateways(struct container *container, int netlink_fd, struct error *err)
{
	const struct endpoint_settings *gateway = endpoint_gateway(&container->document, false);
	const struct endpoint_settings *gateway6 = endpoint_gateway(&container->document, true);
	AUTO_FREE char *key = gateway ? endpoint_key(container, gateway) : NULL;
	AUTO_FREE char *key6 = gateway6 ? endpoint_key(container, gateway6) : NULL;

	return network_set_gateway(container->engine->network, key, key6, netlink_fd, err);
}

/* ---- around a run ---- */

static int find_network(struct engine_network *out_network, struct container *container,
			const struct endpoint_settings *endpoint, struct error *err)
{
	/* By its id: a network of the same name that was made later is another. */
	return engine_network_find(out_network, container->engine,
				   text_empty(endpoint->network_id) ? endpoint->network : endpoint->network_id, err);
}

static bool is_external(struct container *container, const struct endpoint_settings *endpoint)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO(error_clear) struct error gone = { 0 };

	return find_network(&network, container, endpoint, &gone) == 0 && network_is_cni(&network);
}

/* The place that the ports belong to; whether plugins lead out is known only after them: they are taken at their word. */
static struct endpoint_settings *port_endpoint(struct container *container)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;
	struct endpoint_settings *best = endpoint_gateway(&container->document, false);

	if (!best)
		best = endpoint_gateway(&container->document, true);
	for (size_t i = 0; i < endpoints->count; i++) {
		struct endpoint_settings *endpoint = &endpoints->items[i];
		bool unknown = !text_empty(endpoint->endpoint_id) && text_empty(endpoint->ip_address) &&
			       text_empty(endpoint->global_ipv6_address);

		if (unknown && endpoint_goes_before(endpoint, best) && is_external(container, endpoint))
			best = endpoint;
	}
	return best;
}

/* The place that has them, or NULL. */
static const struct endpoint_settings *port_holder(struct container *container)
{
	const struct endpoint_map *endpoints = &container->document.networking.endpoints;

	for (size_t i = 0; container->engine->network && i < endpoints->count; i++) {
		AUTO(network_endpoint_fini) struct network_endpoint given = { 0 };
		AUTO_FREE char *key = endpoint_key(container, &endpoints->items[i]);

		if (network_find(container->engine->network, key, &given) && given.binding_count)
			return &endpoints->items[i];
	}
	return NULL;
}

/* Publishes the ports at the place they belong to now. */
static int publish_ports(struct container *container, struct error *err)
{
	AUTO(network_endpoint_fini) struct network_endpoint given = { 0 };
	const struct endpoint_settings *endpoint = port_endpoint(container);
	AUTO_FREE char *key = endpoint ? endpoint_key(container, endpoint) : NULL;
	struct port_requests ports = { 0 };
	int r = container_ports_collect(&ports, &container->document, err);

	if (r == 0 && key && ports.count)
		r = network_publish(container->engine->network, key, ports.items, ports.count, &given, err);
	mutex_lock(&container->mutex);
	if (r == 0)
		container_ports_record(&container->document, &given);
	mutex_unlock(&container->mutex);
	free(ports.items);
	return r;
}

static int check_one(struct container *container, struct endpoint_settings *endpoint, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO(error_clear) struct error missing = { 0 };
	struct container_document *document = &container->document;

	/* docker's clients take a 404 here for a missing image: a missing network is told at the start. */
	if (engine_network_find(&network, container->engine, endpoint->network, &missing) < 0)
		return missing.kind == ERR_NOT_FOUND ? 0 : error_move(err, &missing);
	if (network.config_only)
		return error_set(err, ERR_FORBIDDEN, "configuration network %s cannot be used for containers",
				 network.name);
	if (engine_network_has_links(&network) && !container->engine->network)
		return error_set(err, ERR_UNSUPPORTED, "this engine runs without a bridge: use --network none or host");
	if (endpoint_check(endpoint, &network, err) < 0)
		return -1;
	/* Named by its id, it is called by its name from now on. */
	if (text_equal(document->host.network_mode, endpoint->network)) {
		free(document->host.network_mode);
		document->host.network_mode = xstrdup(network.name);
	}
	free(endpoint->network);
	endpoint->network = xstrdup(network.name);
	free(endpoint->network_id);
	endpoint->network_id = xstrdup(network.id);
	if (!text_empty(endpoint->mac_address)) {
		text_map_set(&document->wanted_macs, network.name, endpoint->mac_address);
		free(endpoint->mac_address);
		endpoint->mac_address = NULL;
	}
	endpoint_name(endpoint, document, &network);
	return 0;
}

static int reserve_named(struct container *container, struct endpoint_settings *endpoint,
			 const struct port_requests *ports, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };

	if (find_network(&network, container, endpoint, err) < 0)
		return -1;
	/* It was not there at create: nobody looked yet. */
	if (text_empty(endpoint->network_id) && check_one(container, endpoint, err) < 0)
		return -1;
	if (!engine_network_has_links(&network)) {
		mutex_lock(&container->mutex);
		endpoint_record(endpoint, NULL, &network);
		mutex_unlock(&container->mutex);
		return 0;
	}
	if (!container->engine->network)
		return error_set(err, ERR_UNSUPPORTED, "this engine runs without a bridge");
	if (network.internal)
		ports = NULL;
	return reserve_one(container, endpoint, &network, ports, err);
}

static int reserve_all(struct container *container, struct error *err)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;
	AUTO_FREE struct endpoint_settings **order = xcalloc(endpoints->count + 1, sizeof(*order));
	size_t count = endpoint_order(order, &container->document);
	struct port_requests ports = { 0 };
	int r = container_ports_collect(&ports, &container->document, err);

	/* With one place only the ports are its, in the same step. */
	for (size_t i = 0; r == 0 && i < count; i++)
		r = reserve_named(container, order[i], count == 1 ? &ports : NULL, err);
	free(ports.items);
	if (r == 0 && count > 1)
		r = publish_ports(container, err);
	return r;
}

int container_network_reserve(struct container *container, struct error *err)
{
	if (shares_network(container))
		return 0;
	if (reserve_all(container, err) == 0)
		return 0;
	container_network_detach(container, false);
	return -1;
}

static int connect_all(struct container *container, int netlink_fd, struct error *err)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;
	AUTO_FREE struct endpoint_settings **order = xcalloc(endpoints->count + 1, sizeof(*order));
	size_t count = endpoint_order(order, &container->document);
	size_t linked = 0, external = 0;

	for (size_t i = 0; i < count; i++) {
		AUTO(engine_network_fini) struct engine_network network = { 0 };

		if (find_network(&network, container, order[i], err) < 0)
			return -1;
		if (!engine_network_has_links(&network))
			continue;
		linked++;
		external += network_is_cni(&network);
		if (connect_one(container, order[i], &network, netlink_fd, err) < 0)
			return -1;
	}
	/* Its plugins made its routes, and there are no others to choose from. */
	if (external && linked == 1)
		return 0;
	return linked ? set_gateways(container, netlink_fd, err) : network_loopback_up(netlink_fd, err);
}

static void publish_events(struct container *container, const char *action)
{
	const struct endpoint_map *endpoints = &container->document.networking.endpoints;

	for (size_t i = 0; i < endpoints->count; i++) {
		AUTO(engine_network_fini) struct engine_network network = { 0 };
		AUTO(error_clear) struct error gone = { 0 };

		if (find_network(&network, container, &endpoints->items[i], &gone) == 0)
			engine_network_event(container->engine, &network, action, container->id);
	}
}

int container_network_connect(struct container *container, struct error *err)
{
	AUTO_CLOSE int netlink_fd = -1;

	if (shares_network(container))
		return 0;
	if (!text_equal(container->document.host.network_mode, "host")) {
		netlink_fd = attach_receive_netlink(container->bundle, err);
		if (netlink_fd < 0 || connect_all(container, netlink_fd, err) < 0 ||
		    name_server_tell(container, err) < 0)
			return -1;
	}
	publish_events(container, "connect");
	return 0;
}

void container_network_hold(struct container *container)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int netlink_fd = -1;

	bool external = false;

	for (size_t i = 0; i < endpoints->count; i++)
		external |= is_external(container, &endpoints->items[i]);
	if (shares_network(container) || container->netns_fd >= 0 || !external)
		return;
	netlink_fd = attach_receive_netlink(container->bundle, &ignored);
	network_cni_hold(container, netlink_fd);
}

void container_network_detach(struct container *container, bool was_connected)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;

	if (shares_network(container))
		return;
	name_server_forget(container, NULL);
	for (size_t i = 0; i < endpoints->count; i++)
		detach_one(container, &endpoints->items[i]);
	if (container->engine->network)
		network_cni_release(container);
	mutex_lock(&container->mutex);
	json_free_array(&container->document.bound_ports, port_bindings_fields, sizeof(struct port_bindings));
	mutex_unlock(&container->mutex);
	if (was_connected)
		publish_events(container, "disconnect");
}

/* ---- at create ---- */

static int check_together(const struct endpoint_map *endpoints, struct error *err)
{
	for (size_t i = 0; i < endpoints->count; i++) {
		const char *name = endpoints->items[i].network;

		for (size_t j = 0; j < i; j++)
			if (text_equal(endpoints->items[j].network, name))
				return error_set(err, ERR_INVALID, "network \"%s\" is specified multiple times", name);
		if (endpoints->count > 1 && text_equal(name, "host"))
			return error_set(err, ERR_INVALID,
					 "conflicting options: cannot attach both user-defined and "
					 "non-user-defined network-modes");
		if (endpoints->count > 1 && text_equal(name, "none"))
			return error_set(err, ERR_INVALID,
					 "container cannot be connected to multiple networks with one of "
					 "the networks in private (none) mode");
	}
	return 0;
}

/* --link: on a user-defined network a name that the resolver knows, on the default bridge a line of /etc/hosts. */
static int check_links(struct container *container, struct error *err)
{
	struct container_document *document = &container->document;
	struct endpoint_map *endpoints = &document->networking.endpoints;

	for (size_t i = 0; i < document->host.links.count; i++) {
		AUTO(container_unrefp) struct container *other = NULL;
		const char *link = document->host.links.items[i];
		AUTO_FREE char *name = xstrndup(link, strcspn(link, ":"));

		if (container_find(&other, container->engine, name, err) < 0) {
			err->kind = ERR_INVALID;
			return error_prefix(err, "could not get container for %s", name);
		}
	}
	for (size_t i = 0; i < endpoints->count; i++)
		if (text_equal(endpoints->items[i].network, document->host.network_mode) &&
		    !text_equal(document->host.network_mode, "bridge") && endpoints->items[i].links.count == 0)
			text_list_add_all(&endpoints->items[i].links, &document->host.links);
	return 0;
}

int container_network_check(struct container *container, struct error *err)
{
	struct container_document *document = &container->document;
	struct endpoint_map *endpoints = &document->networking.endpoints;

	if (shares_network(container)) {
		json_free_fields(&document->networking, networking_config_fields);
		return 0;
	}
	if (endpoints->count == 0) {
		struct endpoint_settings *endpoint = json_array_add(endpoints, sizeof(*endpoint));

		endpoint->network = xstrdup(document->host.network_mode);
	}
	for (size_t i = 0; i < endpoints->count; i++)
		if (check_one(container, &endpoints->items[i], err) < 0)
			return -1;
	return check_links(container, err) < 0 || check_together(endpoints, err) < 0 ? -1 : 0;
}

static void rename_locked(struct container *container, const char *old_name)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;

	mutex_assert_held(&container->mutex);
	for (size_t i = 0; i < endpoints->count; i++) {
		struct text_list *names = &endpoints->items[i].dns_names;

		for (size_t j = 0; j < names->count; j++) {
			if (!text_equal(names->items[j], old_name))
				continue;
			free(names->items[j]);
			names->items[j] = xstrdup(container->document.name);
		}
	}
}

void container_network_renamed(struct container *container, const char *old_name)
{
	AUTO(error_clear) struct error err = { 0 };

	mutex_lock(&container->mutex);
	rename_locked(container, old_name);
	mutex_unlock(&container->mutex);
	container_save(container);
	if (container_is_running(container) && name_server_tell(container, &err) < 0)
		engine_log_error(container->engine, "the name server was not told of a new name", container->id, &err);
}

/* ---- joining and leaving ---- */

/*
 * Ports and default route where they belong now; `before`: the place that has the ports, or NULL. Plugins hear of ports
 * at their ADD only: what they have stays with them, and what they have not they get at the next start.
 */
static int settle_gateways(struct container *container, const struct endpoint_settings *before, int netlink_fd,
			   struct error *err)
{
	const struct endpoint_settings *now = port_endpoint(container);
	AUTO_FREE char *key = before ? endpoint_key(container, before) : NULL;

	if (set_gateways(container, netlink_fd, err) < 0)
		return -1;
	if (now == before || (before && is_external(container, before)) || (now && is_external(container, now)))
		return 0;
	if (key && network_unpublish(container->engine->network, key, err) < 0)
		return -1;
	return publish_ports(container, err);
}

static int connect_running(struct container *container, struct endpoint_settings *endpoint,
			   const struct engine_network *network, const struct endpoint_settings *before, int netlink_fd,
			   struct error *err)
{
	if (connect_one(container, endpoint, network, netlink_fd, err) < 0)
		return -1;
	/* With one place only its plugins made its routes. */
	if ((!network_is_cni(network) || container->document.networking.endpoints.count > 1) &&
	    settle_gateways(container, before, netlink_fd, err) < 0)
		return -1;
	return name_server_tell(container, err);
}

static int join_running(struct container *container, struct endpoint_settings *endpoint,
			const struct engine_network *network, struct error *err)
{
	AUTO_CLOSE int netlink_fd = attach_receive_netlink(container->bundle, err);
	const struct endpoint_settings *before = port_holder(container);
	struct port_requests ports = { 0 };
	int r = netlink_fd < 0 ? -1 : 0;

	if (r == 0 && network_is_cni(network) && !before)
		r = container_ports_collect(&ports, &container->document, err);
	if (r == 0)
		r = reserve_one(container, endpoint, network, ports.count ? &ports : NULL, err);
	free(ports.items);
	if (r < 0)
		return -1;
	if (connect_running(container, endpoint, network, before, netlink_fd, err) < 0) {
		AUTO_FREE char *key = endpoint_key(container, endpoint);

		network_unlink(container->engine->network, key, netlink_fd);
		detach_one(container, endpoint);
		network_cni_release(container);
		return -1;
	}
	return container_network_files(container, err);
}

static void take_out(struct container *container, struct endpoint_settings *endpoint)
{
	struct endpoint_map *endpoints = &container->document.networking.endpoints;
	size_t index = (size_t)(endpoint - endpoints->items);

	mutex_lock(&container->mutex);
	text_map_remove(&container->document.wanted_macs, endpoint->network);
	json_free_fields(endpoint, endpoint_settings_fields);
	memmove(endpoint, endpoint + 1, (endpoints->count - index - 1) * sizeof(*endpoint));
	endpoints->count--;
	mutex_unlock(&container->mutex);
}

static int check_join(struct container *container, const struct engine_network *network, struct error *err)
{
	const char *mode = container->document.host.network_mode;
	const struct endpoint_map *endpoints = &container->document.networking.endpoints;

	if (shares_network(container))
		return error_set(err, ERR_INVALID,
				 "container sharing network namespace with another container or host "
				 "cannot be connected to any other network");
	if (text_equal(mode, "host") || text_equal(network->name, "host"))
		return error_set(err, ERR_INVALID,
				 "container cannot be disconnected from host network or connected to "
				 "host network");
	if (container->document.state.removing)
		return error_set(err, ERR_CONFLICT,
				 "container %s is marked for removal and cannot be connected or "
				 "disconnected to the network",
				 container->id);
	if (endpoint_find(&container->document, network))
		return error_set(err, ERR_FORBIDDEN, "endpoint with name %s already exists in network %s",
				 container->document.name, network->name);
	for (size_t i = 0; i < endpoints->count; i++)
		if (text_equal(endpoints->items[i].network, "none") || text_equal(network->name, "none"))
			return error_set(err, ERR_INVALID,
					 "container cannot be connected to multiple networks with one of "
					 "the networks in private (none) mode");
	return 0;
}

static struct endpoint_settings *add_place(struct container *container, const struct endpoint_settings *wish,
					   const struct engine_network *network)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct endpoint_settings *endpoint = json_array_add(&container->document.networking.endpoints,
							    sizeof(*endpoint));

	if (wish)
		json_copy_fields(endpoint, wish, endpoint_settings_fields);
	free(endpoint->network);
	endpoint->network = xstrdup(network->name);
	if (!text_empty(endpoint->mac_address))
		text_map_set(&container->document.wanted_macs, network->name, endpoint->mac_address);
	endpoint_record(endpoint, NULL, network);
	endpoint_name(endpoint, &container->document, network);
	return endpoint;
}

static int join_held(struct container *container, const struct engine_network *network,
		     const struct endpoint_settings *wish, struct error *err)
{
	static const struct endpoint_settings no_wish;
	struct endpoint_settings *endpoint;
	bool running = container->document.state.running && !container->document.state.restarting;

	if (check_join(container, network, err) < 0 || endpoint_check(wish ? wish : &no_wish, network, err) < 0)
		return -1;
	endpoint = add_place(container, wish, network);
	if (running && join_running(container, endpoint, network, err) < 0) {
		take_out(container, endpoint);
		return -1;
	}
	container_save(container);
	if (running)
		engine_network_event(container->engine, network, "connect", container->id);
	return 0;
}

int engine_network_connect(struct engine *engine, const char *network_name,
			   const struct network_connect_request *request, int cancel_fd, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (engine_network_find(&network, engine, network_name, err) < 0 ||
	    container_find(&container, engine, text_or_empty(request->container), err) < 0 ||
	    container_acquire(container, cancel_fd, err) < 0)
		return -1;
	if (network.config_only)
		r = error_set(err, ERR_FORBIDDEN, "configuration network %s cannot be used for containers",
			      network.name);
	else
		r = join_held(container, &network, request->endpoint, err);
	container_release(container);
	return r;
}

static int leave_running(struct container *container, struct endpoint_settings *endpoint, struct error *err)
{
	AUTO_CLOSE int netlink_fd = attach_receive_netlink(container->bundle, err);
	const struct endpoint_settings *had = port_holder(container);
	AUTO_FREE char *key = endpoint_key(container, endpoint);

	if (netlink_fd < 0)
		return -1;
	name_server_forget(container, endpoint);
	network_cni_hold(container, netlink_fd);
	network_unlink(container->engine->network, key, netlink_fd);
	detach_one(container, endpoint);
	network_cni_release(container);
	if (settle_gateways(container, had != endpoint ? had : NULL, netlink_fd, err) < 0)
		return -1;
	return name_server_tell(container, err);
}

static int leave_held(struct container *container, const struct engine_network *network, struct error *err)
{
	struct endpoint_settings *endpoint = endpoint_find(&container->document, network);
	bool running = container->document.state.running && !container->document.state.restarting;

	if (text_equal(container->document.host.network_mode, "host") || text_equal(network->name, "host"))
		return error_set(err, ERR_INVALID,
				 "container cannot be disconnected from host network or connected to "
				 "host network");
	if (!endpoint)
		return error_set(err, ERR_FORBIDDEN, "container %s is not connected to network %s", container->id,
				 network->name);
	if (running && engine_network_has_links(network) && leave_running(container, endpoint, err) < 0)
		return -1;
	take_out(container, endpoint);
	if (running && container_network_files(container, err) < 0)
		return -1;
	container_save(container);
	if (running)
		engine_network_event(container->engine, network, "disconnect", container->id);
	return 0;
}

int engine_network_disconnect(struct engine *engine, const char *network_name,
			      const struct network_disconnect_request *request, int cancel_fd, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (engine_network_find(&network, engine, network_name, err) < 0 ||
	    container_find(&container, engine, text_or_empty(request->container), err) < 0 ||
	    container_acquire(container, cancel_fd, err) < 0)
		return -1;
	r = leave_held(container, &network, err);
	container_release(container);
	return r;
}
