/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/container_ports.h"

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

int container_ports_collect(struct port_requests *requests, const struct container_document *document,
			    struct error *err)
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

void container_ports_record(struct container_document *document, const struct network_endpoint *endpoint)
{
	json_free_array(&document->bound_ports, port_bindings_fields, sizeof(struct port_bindings));
	for (size_t i = 0; i < document->config.exposed_ports.count; i++)
		bound_port(&document->bound_ports, document->config.exposed_ports.items[i].key);
	for (size_t i = 0; endpoint && i < endpoint->binding_count; i++) {
		const struct network_binding *from = &endpoint->bindings[i];
		AUTO_FREE char *port = xasprintf("%u/%s", from->container_port, network_protocol_name(from->protocol));
		struct port_bindings *to = bound_port(&document->bound_ports, port);
		struct port_binding *binding = json_array_add(&to->bindings, sizeof(*binding));

		binding->host_ip = xstrdup(from->host_ip);
		binding->host_port = from->host_port ? xasprintf("%u", from->host_port) : xstrdup("");
	}
}
