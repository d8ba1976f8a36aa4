/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of an endpoint that is there already: its container changed the network by which it is reached. */
#include <errno.h>
#include <netinet/in.h>

#include "network/firewall.h"
#include "network/proxy.h"
#include "network/state.h"
#include "sys/conntrack.h"

/*
 * Datagrams that came before are flows too, and keep going where they went: to nobody, or to the port's former
 * container. A kernel without conntrack's netlink lets them run out by themselves.
 */
void forget_flows(const struct endpoint_record *record)
{
	for (size_t i = 0; i < record->bindings.count; i++) {
		const struct binding_record *binding = &record->bindings.items[i];
		struct conntrack_port port = { .protocol = IPPROTO_UDP,
					       .host_port = (uint16_t)binding->host_port,
					       .container_port = (uint16_t)binding->container_port };
		bool v6 = port_is_ipv6(binding->host_ip);

		if (text_equal(binding->protocol, "udp") && binding->host_port &&
		    net_address_parse(&port.host, binding->host_ip) == 0 &&
		    net_address_parse(&port.container, text_or_empty(v6 ? record->address6 : record->address)) == 0)
			conntrack_forget(&port);
	}
}

static int take(struct network *network, const char *id, const struct network_port *ports, size_t port_count,
		struct endpoint_record *out_record, struct network_endpoint *out_endpoint, struct error *err)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	struct endpoint *endpoint = map_get(&network->endpoints, id);
	const struct bridge *bridge = endpoint ? map_get(&network->bridges, endpoint->record.bridge) : NULL;

	if (!bridge)
		return error_set(err, ERR_NOT_FOUND, "no endpoint %s", id);
	if (endpoint->record.bindings.count)
		return error_set(err, ERR_CONFLICT, "endpoint %s has published ports already", id);
	if (take_ports_locked(network, endpoint, bridge, ports, port_count, err) < 0) {
		json_free_array(&endpoint->record.bindings, binding_record_fields, sizeof(struct binding_record));
		return -1;
	}
	network->generation++;
	if (record_save(network->endpoints_dir, id, &endpoint->record, endpoint_record_fields, err) < 0)
		return -1;
	json_copy_fields(out_record, &endpoint->record, endpoint_record_fields);
	describe_locked(network, out_endpoint, &endpoint->record);
	return 0;
}

int network_publish(struct network *network, const char *id, const struct network_port *ports, size_t port_count,
		    struct network_endpoint *out_endpoint, struct error *err)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	if (take(network, id, ports, port_count, &record, out_endpoint, err) < 0)
		return -1;
	if (record.connected && firewall_publish(network, &record, err) < 0) {
		network_unpublish(network, id, &ignored);
		network_endpoint_fini(out_endpoint);
		return -1;
	}
	if (record.connected)
		forget_flows(&record);
	proxy_start_all(network, id);
	return 0;
}

/* 1 with a copy of what it had. */
static int drop_bindings(struct network *network, const char *id, struct endpoint_record *out_record)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	AUTO(error_clear) struct error ignored = { 0 };
	struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (!endpoint || !endpoint->record.bindings.count)
		return 0;
	json_copy_fields(out_record, &endpoint->record, endpoint_record_fields);
	json_free_array(&endpoint->record.bindings, binding_record_fields, sizeof(struct binding_record));
	network->generation++;
	record_save(network->endpoints_dir, id, &endpoint->record, endpoint_record_fields, &ignored);
	return 1;
}

int network_unpublish(struct network *network, const char *id, struct error *err)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	struct endpoint *endpoint;
	int r = 0;

	if (!drop_bindings(network, id, &record))
		return 0;
	if (record.connected)
		r = firewall_withdraw(network, &record, err);
	forget_flows(&record);
	proxy_stop_all(&record);
	/* Only now: until the rules are gone the ports are not free. */
	mutex_lock(&network->mutex);
	endpoint = map_get(&network->endpoints, id);
	if (endpoint)
		give_back_ports_locked(network, endpoint);
	mutex_unlock(&network->mutex);
	return r;
}
