/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: packets for an address of the host that is in `ports` (one
 * address) or `ports_any` (all) go to the container, from outside (prerouting)
 * and from the host itself (output). What containers send out, and what comes
 * back to a bridge after such a turn (hairpin, or from 127.0.0.1, which needs
 * route_localnet on the bridge), leaves with the host's address. Into a bridge
 * comes only what was published, what answers, and what the bridge's own
 * containers say. Deleting an element that is not there would fail the batch,
 * so each deletion adds it first.
 */
#include "network/firewall.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "network/pool.h"

#define OUTPUT_LIMIT 65536

static const char rules[] = "	map ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
			    "	map ports_any { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
			    "	set bridges { type ifname; }\n"
			    "	set internal { type ifname; }\n"
			    "	set inside { type ifname . ifname; }\n"
			    "	set subnets { type ipv4_addr; flags interval; }\n"
			    "	set masqueraded { type ipv4_addr; flags interval; }\n"
			    "	chain publish {\n"
			    "		dnat ip to ip daddr . meta l4proto . th dport map @ports\n"
			    "		dnat ip to meta l4proto . th dport map @ports_any\n"
			    "	}\n"
			    "	chain guard {\n"
			    "		type filter hook prerouting priority raw; policy accept;\n"
			    "		iifname @bridges ip daddr 127.0.0.0/8 drop\n"
			    "		iifname @bridges ip saddr 127.0.0.0/8 drop\n"
			    "	}\n"
			    "	chain prerouting {\n"
			    "		type nat hook prerouting priority dstnat; policy accept;\n"
			    "		fib daddr type local jump publish\n"
			    "	}\n"
			    "	chain output {\n"
			    "		type nat hook output priority -100; policy accept;\n"
			    "		fib daddr type local jump publish\n"
			    "	}\n"
			    "	chain postrouting {\n"
			    "		type nat hook postrouting priority srcnat; policy accept;\n"
			    "		ip saddr @masqueraded oifname != @bridges masquerade\n"
			    "		oifname @bridges ct status dnat ip saddr 127.0.0.0/8 masquerade\n"
			    "		oifname @bridges ct status dnat ip saddr @subnets masquerade\n"
			    "	}\n"
			    "	chain forward {\n"
			    "		type filter hook forward priority filter; policy accept;\n"
			    "		ct state established,related accept\n"
			    "		iifname . oifname @inside accept\n"
			    "		iifname @internal drop\n"
			    "		oifname @internal drop\n"
			    "		oifname != @bridges accept\n"
			    "		ct status dnat accept\n"
			    "		drop\n"
			    "	}\n";

static int run(const struct network *network, const char *batch, struct error *err)
{
	char *const argv[] = { network->nft, (char[]){ "-f" }, (char[]){ "-" }, NULL };

	if (process_run(NULL, argv, batch, OUTPUT_LIMIT, err) < 0)
		return error_prefix(err, "firewall");
	return 0;
}

static void add_line(struct text *batch, const struct network *network, const char *verb, const char *set)
{
	text_addf(batch, "%s element ip %s %s ", verb, network->table, set);
}

static void bridge_lines(struct text *batch, const struct network *network, const struct bridge *bridge,
			 const char *verb)
{
	struct net_address subnet_network = pool_network(&bridge->subnet);
	char subnet[NET_ADDRESS_TEXT_MAX];

	net_address_format_prefix(subnet, &subnet_network);
	add_line(batch, network, verb, "bridges");
	text_addf(batch, "{ \"%s\" }\n", bridge->name);
	add_line(batch, network, verb, "subnets");
	text_addf(batch, "{ %s }\n", subnet);
	if (!bridge->no_inter_container) {
		add_line(batch, network, verb, "inside");
		text_addf(batch, "{ \"%s\" . \"%s\" }\n", bridge->name, bridge->name);
	}
	if (bridge->internal) {
		add_line(batch, network, verb, "internal");
		text_addf(batch, "{ \"%s\" }\n", bridge->name);
	}
	if (!bridge->internal && !bridge->no_masquerade) {
		add_line(batch, network, verb, "masqueraded");
		text_addf(batch, "{ %s }\n", subnet);
	}
}

static void port_lines(struct text *batch, const struct network *network, const struct endpoint_record *record,
		       const char *verb)
{
	for (size_t i = 0; i < record->bindings.count; i++) {
		const struct binding_record *binding = &record->bindings.items[i];
		bool any = text_equal(binding->host_ip, "0.0.0.0");

		add_line(batch, network, verb, any ? "ports_any" : "ports");
		text_addf(batch, "{ %s%s%s . %u : %s . %u }\n", any ? "" : binding->host_ip, any ? "" : " . ",
			  binding->protocol, binding->host_port, record->address, binding->container_port);
	}
}

/* The whole table as it should be now. */
static char *whole_table_locked(const struct network *network)
{
	const struct endpoint *endpoint;
	const struct bridge *bridge;
	struct text batch = { 0 };
	size_t at = 0;

	mutex_assert_held(&network->mutex);
	text_addf(&batch, "add table ip %s\ndelete table ip %s\ntable ip %s {\n%s}\n", network->table, network->table,
		  network->table, rules);
	while ((bridge = map_next(&network->bridges, &at, NULL)))
		bridge_lines(&batch, network, bridge, "add");
	at = 0;
	while ((endpoint = map_next(&network->endpoints, &at, NULL)))
		if (endpoint->record.connected)
			port_lines(&batch, network, &endpoint->record, "add");
	return text_take(&batch);
}

/* Nobody waits for nft with the mutex held: what changed meanwhile makes another round. */
int firewall_rebuild(struct network *network, struct error *err)
{
	uint64_t generation;

	for (;;) {
		AUTO_FREE char *batch = NULL;

		mutex_lock(&network->mutex);
		generation = network->generation;
		batch = whole_table_locked(network);
		mutex_unlock(&network->mutex);
		if (run(network, batch, err) < 0)
			return -1;
		mutex_lock(&network->mutex);
		network->table_made = true;
		if (generation == network->generation) {
			mutex_unlock(&network->mutex);
			return 0;
		}
		mutex_unlock(&network->mutex);
	}
}

/* A change in one batch; if the table was taken away (flush ruleset), everything is written again. */
static int change(struct network *network, const char *batch, struct error *err)
{
	AUTO(error_clear) struct error first = { 0 };
	bool made;

	mutex_lock(&network->mutex);
	made = network->table_made;
	mutex_unlock(&network->mutex);
	if (made && run(network, batch, &first) == 0)
		return 0;
	return firewall_rebuild(network, err);
}

int firewall_add_bridge(struct network *network, const struct bridge *bridge, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };

	bridge_lines(&batch, network, bridge, "add");
	return change(network, batch.data, err);
}

int firewall_remove_bridge(struct network *network, const struct bridge *bridge, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };

	bridge_lines(&batch, network, bridge, "add");
	bridge_lines(&batch, network, bridge, "delete");
	return change(network, batch.data, err);
}

int firewall_publish(struct network *network, const struct endpoint_record *record, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };

	port_lines(&batch, network, record, "add");
	return batch.size ? change(network, batch.data, err) : 0;
}

int firewall_withdraw(struct network *network, const struct endpoint_record *record, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };

	port_lines(&batch, network, record, "add");
	port_lines(&batch, network, record, "delete");
	return batch.size ? change(network, batch.data, err) : 0;
}

int firewall_delete(struct network *network, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };

	text_addf(&batch, "add table ip %s\ndelete table ip %s\n", network->table, network->table);
	return run(network, batch.data, err);
}
