/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "engine/container_network.h"
#include "network/files.h"
#include "rpc/attach_frame.h"

#define HOST_FILE_MAX (1024 * 1024)

static bool is_bridged(const struct container *container)
{
	return text_equal(container->document.host.network_mode, "bridge");
}

/* ---- ports ---- */

struct port_requests {
	struct network_port *items;
	size_t count;
	size_t capacity;
};

static int parse_port(struct network_port *port, const char *text, struct error *err)
{
	const char *slash = strchr(text, '/');
	AUTO_FREE char *number = slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup(text);
	uint64_t value;

	if (text_parse_u64(&value, number, 65535) < 0 ||
	    (slash && network_protocol_parse(&port->protocol, slash + 1) < 0))
		return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", text);
	port->container_port = (uint16_t)value;
	return 0;
}

static int parse_host_port(struct network_port *port, const char *text, struct error *err)
{
	const char *dash = strchr(text_or_empty(text), '-');
	AUTO_FREE char *first = dash ? xstrndup(text, (size_t)(dash - text)) : xstrdup(text_or_empty(text));
	uint64_t value = 0;
	uint64_t end = 0;

	if ((*first && text_parse_u64(&value, first, 65535) < 0) ||
	    (dash && (text_parse_u64(&end, dash + 1, 65535) < 0 || end < value)))
		return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", text);
	port->host_port = (uint16_t)value;
	port->host_port_end = (uint16_t)end;
	return 0;
}

static void add_request(struct port_requests *requests, const struct network_port *port)
{
	requests->items = xgrow(requests->items, &requests->capacity, requests->count + 1, sizeof(struct network_port));
	requests->items[requests->count++] = *port;
}

static bool is_bound(const struct host_config *host, const char *port)
{
	for (size_t i = 0; i < host->port_bindings.count; i++)
		if (text_equal(host->port_bindings.items[i].port, port))
			return true;
	return false;
}

static int collect_ports(struct port_requests *requests, const struct container_document *document, struct error *err)
{
	const struct host_config *host = &document->host;

	for (size_t i = 0; i < host->port_bindings.count; i++) {
		const struct port_bindings *bindings = &host->port_bindings.items[i];
		struct network_port port = { 0 };

		if (parse_port(&port, bindings->port, err) < 0)
			return -1;
		for (size_t j = 0; j < bindings->bindings.count; j++) {
			port.host_ip = bindings->bindings.items[j].host_ip;
			if (parse_host_port(&port, bindings->bindings.items[j].host_port, err) < 0)
				return -1;
			add_request(requests, &port);
		}
		if (bindings->bindings.count == 0)
			add_request(requests, &port);
	}
	for (size_t i = 0; host->publish_all_ports && i < document->config.exposed_ports.count; i++) {
		const char *text = document->config.exposed_ports.items[i].key;
		struct network_port port = { 0 };

		if (is_bound(host, text))
			continue;
		if (parse_port(&port, text, err) < 0)
			return -1;
		add_request(requests, &port);
	}
	return 0;
}

/* ---- the endpoint as inspect shows it ---- */

static void replace(char **member, const char *text)
{
	free(*member);
	*member = xstrdup(text);
}

static struct port_bindings *bound_port(struct port_map *map, const char *port)
{
	struct port_bindings *item;

	for (size_t i = 0; i < map->count; i++)
		if (text_equal(map->items[i].port, port))
			return &map->items[i];
	item = json_array_add(map, sizeof(*item));
	item->port = xstrdup(port);
	return item;
}

static void record_ports(struct container_document *document, const struct network_endpoint *endpoint)
{
	for (size_t i = 0; i < document->config.exposed_ports.count; i++)
		bound_port(&document->bound_ports, document->config.exposed_ports.items[i].key);
	for (size_t i = 0; i < endpoint->binding_count; i++) {
		const struct network_binding *from = &endpoint->bindings[i];
		AUTO_FREE char *port = xasprintf("%u/%s", from->container_port, network_protocol_name(from->protocol));
		struct port_bindings *to = bound_port(&document->bound_ports, port);
		struct port_binding *binding = json_array_add(&to->bindings, sizeof(*binding));

		binding->host_ip = xstrdup(from->host_ip);
		binding->host_port = xasprintf("%u", from->host_port);
	}
}

static void record_endpoint(struct container *container, const struct network_endpoint *endpoint)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct container_document *document = &container->document;
	struct endpoint_settings *settings;

	record_ports(document, endpoint);
	if (document->networking.endpoints.count == 0)
		return;
	settings = &document->networking.endpoints.items[0];
	replace(&settings->ip_address, endpoint->address);
	replace(&settings->gateway, endpoint->gateway);
	replace(&settings->mac_address, endpoint->mac);
	replace(&settings->network_id, container->engine->network_ids[ENGINE_NETWORK_BRIDGE]);
	replace(&settings->endpoint_id, container->id);
	settings->ip_prefix_len = endpoint->prefix;
}

static void forget_endpoint(struct container *container)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct container_document *document = &container->document;

	json_free_array(&document->bound_ports, port_bindings_fields, sizeof(struct port_bindings));
	for (size_t i = 0; i < document->networking.endpoints.count; i++) {
		struct endpoint_settings *settings = &document->networking.endpoints.items[i];

		replace(&settings->ip_address, "");
		replace(&settings->gateway, "");
		replace(&settings->mac_address, "");
		replace(&settings->endpoint_id, "");
		settings->ip_prefix_len = 0;
	}
}

static void network_event(struct container *container, const char *action)
{
	const char *mode = container->document.host.network_mode;
	enum engine_network network = text_equal(mode, "host")	 ? ENGINE_NETWORK_HOST
				      : text_equal(mode, "none") ? ENGINE_NETWORK_NONE
								 : ENGINE_NETWORK_BRIDGE;
	struct text_map attributes = { 0 };

	if (text_has_prefix(mode, "container:"))
		return;
	text_map_set(&attributes, "container", container->id);
	text_map_set(&attributes, "name", mode);
	text_map_set(&attributes, "type", text_equal(mode, "none") ? "null" : mode);
	event_publish(container->engine->events, "network", action, container->engine->network_ids[network],
		      &attributes);
	text_map_fini(&attributes);
}

/* What the user asked of the endpoint: --ip, --mac-address. */
static const char *wanted_address(const struct container_document *document)
{
	const struct endpoint_map *endpoints = &document->networking.endpoints;

	return endpoints->count && endpoints->items[0].ipam && !text_empty(endpoints->items[0].ipam->ipv4_address)
		       ? endpoints->items[0].ipam->ipv4_address
		       : NULL;
}

int container_network_reserve(struct container *container, struct error *err)
{
	struct port_requests ports = { 0 };
	struct network_endpoint endpoint = { 0 };
	struct network_request request;
	int r;

	if (!is_bridged(container))
		return 0;
	if (!container->engine->network)
		return error_set(err, ERR_UNSUPPORTED, "this engine runs without a bridge");
	/* A leftover of a start that was cut short. */
	if (network_detach(container->engine->network, container->id, err) < 0)
		return -1;
	r = collect_ports(&ports, &container->document, err);
	if (r == 0) {
		request = (struct network_request){
			.id = container->id,
			.bridge = container->engine->bridge,
			.address = wanted_address(&container->document),
			.mac = text_empty(container->document.config.mac_address)
				       ? NULL
				       : container->document.config.mac_address,
			.ports = ports.items,
			.port_count = ports.count,
		};
		r = network_reserve(container->engine->network, &request, &endpoint, err);
	}
	if (r == 0) {
		record_endpoint(container, &endpoint);
		network_endpoint_fini(&endpoint);
	}
	free(ports.items);
	return r;
}

int container_network_connect(struct container *container, struct error *err)
{
	bool bridged = is_bridged(container);
	bool alone = text_equal(container->document.host.network_mode, "none");
	AUTO_CLOSE int netlink_fd = -1;

	if (bridged || alone) {
		netlink_fd = attach_receive_netlink(container->bundle, err);
		if (netlink_fd < 0)
			return -1;
		if (bridged ? network_connect(container->engine->network, container->id, netlink_fd, NULL, err) < 0
			    : network_loopback_up(netlink_fd, err) < 0)
			return -1;
	}
	network_event(container, "connect");
	return 0;
}

void container_network_detach(struct container *container, bool was_connected)
{
	AUTO(error_clear) struct error err = { 0 };

	if (is_bridged(container) && container->engine->network &&
	    network_detach(container->engine->network, container->id, &err) < 0)
		engine_log_error(container->engine, "a network endpoint was left behind", container->id, &err);
	forget_endpoint(container);
	if (was_connected)
		network_event(container, "disconnect");
}

/* ---- /etc/hosts, /etc/hostname, /etc/resolv.conf ---- */

static int write_file(const struct container *container, const char *name, const char *content, struct error *err)
{
	AUTO_FREE char *path = container_path(container, name);
	/* In place: a running container has this inode mounted. */
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : write_full(fd, content, strlen(content));

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

static char *host_hostname(void)
{
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	return xstrdup(name);
}

static char *hosts_text(const struct container *container, const char *hostname)
{
	const struct container_document *document = &container->document;
	struct text_list addresses = { 0 };
	struct network_hosts hosts = {
		.hostname = hostname,
		.domainname = document->config.domainname,
		.addresses = &addresses,
		.extra = &document->host.extra_hosts,
		.host_gateway = container->engine->network ? container->engine->bridge_info.gateway : NULL,
	};
	char *text;

	if (document->networking.endpoints.count && !text_empty(document->networking.endpoints.items[0].ip_address))
		text_list_add(&addresses, document->networking.endpoints.items[0].ip_address);
	text = network_hosts_text(&hosts);
	text_list_fini(&addresses);
	return text;
}

/* With the host's network, the host's own names hold. */
static char *host_hosts_text(const struct container *container)
{
	const struct text_list *extra = &container->document.host.extra_hosts;
	struct text text = { 0 };
	AUTO_FREE char *base = NULL;

	if (file_read(&base, NULL, AT_FDCWD, "/etc/hosts", HOST_FILE_MAX) == 0)
		text_add(&text, base);
	for (size_t i = 0; i < extra->count; i++) {
		const char *separator = strpbrk(extra->items[i], "=:");

		if (separator)
			text_addf(&text, "%s\t%.*s\n",
				  text_equal(separator + 1, "host-gateway") ? "127.0.0.1" : separator + 1,
				  (int)(separator - extra->items[i]), extra->items[i]);
	}
	return text_take(&text);
}

int container_network_files(struct container *container, struct error *err)
{
	const struct container_document *document = &container->document;
	bool host_mode = text_equal(document->host.network_mode, "host");
	AUTO_FREE char *own_name = text_equal(document->host.uts_mode, "host")
					   ? host_hostname()
					   : xstrdup(text_or_empty(document->config.hostname));
	AUTO_FREE char *hostname = network_hostname_text(own_name);
	AUTO_FREE char *hosts = host_mode ? host_hosts_text(container) : hosts_text(container, own_name);
	AUTO_FREE char *host_resolver = NULL;
	AUTO_FREE char *resolver_text = NULL;
	struct network_resolver resolver = {
		.servers = &document->host.dns,
		.search = &document->host.dns_search,
		.options = &document->host.dns_options,
		.host_namespace = host_mode,
	};

	if (file_read(&host_resolver, NULL, AT_FDCWD, host_mode ? "/etc/resolv.conf" : network_host_resolv_conf(),
		      HOST_FILE_MAX) == 0)
		resolver.host_text = host_resolver;
	resolver_text = network_resolv_conf_text(&resolver);
	if (write_file(container, "hostname", hostname, err) < 0 || write_file(container, "hosts", hosts, err) < 0 ||
	    write_file(container, "resolv.conf", resolver_text, err) < 0)
		return -1;
	return 0;
}
