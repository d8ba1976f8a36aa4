/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: packets for an address of the host that is in `ports` (one
 * address) or `ports_any` (all) go to the container, from outside (prerouting)
 * and from the host itself (output). What containers send out, and what comes
 * back to a bridge after such a turn (hairpin, or from 127.0.0.1, which needs
 * route_localnet on the bridge), leaves with the host's address. Into a bridge
 * comes only what was published, what answers, and what the bridge's own
 * containers say; `user` is the administrator's chain, asked first and never
 * written by us. Deleting an element that is not there would fail the batch, so
 * each deletion adds it first.
 */
#include "network/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "network/pool.h"
#include "sys/netlink_request.h"
#include "sys/nftables.h"

#define OUTPUT_LIMIT 65536

/* Sets, maps and chains: "add" of one that is there is no change. @ is replaced by the table's name. */
static const char objects[] =
	"add map inet @ ports4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"add map inet @ ports4_any { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"add map inet @ ports6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"add map inet @ ports6_any { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"add set inet @ bridges { type ifname; }\n"
	"add set inet @ internal { type ifname; }\n"
	"add set inet @ inside { type ifname . ifname; }\n"
	"add set inet @ subnets4 { type ipv4_addr; flags interval; }\n"
	"add set inet @ subnets6 { type ipv6_addr; flags interval; }\n"
	"add set inet @ masqueraded4 { type ipv4_addr; flags interval; }\n"
	"add set inet @ masqueraded6 { type ipv6_addr; flags interval; }\n"
	"add set inet @ unprotected4 { type ipv4_addr; flags interval; }\n"
	"add set inet @ unprotected6 { type ipv6_addr; flags interval; }\n"
	"add set inet @ routed4 { type ipv4_addr . inet_proto . inet_service; }\n"
	"add set inet @ routed6 { type ipv6_addr . inet_proto . inet_service; }\n"
	"add chain inet @ user\n"
	"add chain inet @ publish\n"
	"add chain inet @ guard { type filter hook prerouting priority raw; policy accept; }\n"
	"add chain inet @ prerouting { type nat hook prerouting priority dstnat; policy accept; }\n"
	"add chain inet @ output { type nat hook output priority -100; policy accept; }\n"
	"add chain inet @ postrouting { type nat hook postrouting priority srcnat; policy accept; }\n"
	"add chain inet @ forward { type filter hook forward priority filter; policy accept; }\n";

/* What a rebuild empties: all but `user`. */
const char *const firewall_sets[] = { "ports4",	      "ports4_any",   "ports6",	      "ports6_any",
				      "bridges",      "internal",     "inside",	      "subnets4",
				      "subnets6",     "masqueraded4", "masqueraded6", "unprotected4",
				      "unprotected6", "routed4",      "routed6",      NULL };
#define MAP_COUNT 4 /* the first of them */
static const char *const owned_chains[] = {
	"publish", "guard", "prerouting", "output", "postrouting", "forward", NULL
};

static const char rules[] =
	/* The kernel lets nothing from there out: kist-proxy. */
	"add rule inet @ publish ip6 daddr ::1 return\n"
	"add rule inet @ publish meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @ports4\n"
	"add rule inet @ publish meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4_any\n"
	"add rule inet @ publish meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6\n"
	"add rule inet @ publish meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6_any\n"
	/* Every packet of the host comes by: the address is looked at first, the set only for few. */
	"add rule inet @ guard ip daddr 127.0.0.0/8 iifname @bridges drop\n"
	"add rule inet @ guard ip saddr 127.0.0.0/8 iifname @bridges drop\n"
	"add rule inet @ prerouting fib daddr type local jump publish\n"
	"add rule inet @ output fib daddr type local jump publish\n"
	"add rule inet @ postrouting ip saddr @masqueraded4 oifname != @bridges masquerade\n"
	"add rule inet @ postrouting ip6 saddr @masqueraded6 oifname != @bridges masquerade\n"
	"add rule inet @ postrouting oifname @bridges ct status dnat ip saddr 127.0.0.0/8 masquerade\n"
	"add rule inet @ postrouting oifname @bridges ct status dnat ip saddr @subnets4 masquerade\n"
	"add rule inet @ postrouting oifname @bridges ct status dnat ip6 saddr @subnets6 masquerade\n"
	"add rule inet @ forward jump user\n"
	"add rule inet @ forward ct state established,related accept\n"
	"add rule inet @ forward iifname . oifname @inside accept\n"
	"add rule inet @ forward iifname @internal drop\n"
	"add rule inet @ forward oifname @internal drop\n"
	"add rule inet @ forward oifname != @bridges accept\n"
	"add rule inet @ forward ct status dnat accept\n"
	"add rule inet @ forward ip daddr @unprotected4 accept\n"
	"add rule inet @ forward ip6 daddr @unprotected6 accept\n"
	"add rule inet @ forward ip daddr . meta l4proto . th dport @routed4 accept\n"
	"add rule inet @ forward ip6 daddr . meta l4proto . th dport @routed6 accept\n"
	"add rule inet @ forward drop\n";

static int run(const struct network *network, const char *batch, struct error *err)
{
	char *const argv[] = { network->nft, (char[]){ "-f" }, (char[]){ "-" }, NULL };

	if (process_run(NULL, argv, batch, OUTPUT_LIMIT, err) < 0)
		return error_prefix(err, "firewall");
	return 0;
}

/* ---- elements ---- */

static void add_line(struct text *batch, const struct network *network, const char *verb, const char *set)
{
	text_addf(batch, "%s element inet %s %s ", verb, network->table, set);
}

static void add_subnet(struct text *batch, const struct network *network, const char *verb, const char *set, int family,
		       const char *subnet)
{
	text_addf(batch, "%s element inet %s %s%c { %s }\n", verb, network->table, set, family == FAMILY_4 ? '4' : '6',
		  subnet);
}

static void bridge_lines(struct text *batch, const struct network *network, const struct bridge *bridge,
			 const char *verb)
{
	char text[NET_ADDRESS_TEXT_MAX];

	add_line(batch, network, verb, "bridges");
	text_addf(batch, "{ \"%s\" }\n", bridge->name);
	if (!bridge->no_inter_container) {
		add_line(batch, network, verb, "inside");
		text_addf(batch, "{ \"%s\" . \"%s\" }\n", bridge->name, bridge->name);
	}
	if (bridge->internal) {
		add_line(batch, network, verb, "internal");
		text_addf(batch, "{ \"%s\" }\n", bridge->name);
	}
	for (int family = 0; family < FAMILY_COUNT; family++) {
		const struct subnet *subnet = &bridge->subnets[family];

		if (!subnet->network.family)
			continue;
		net_address_format_prefix(text, &subnet->network);
		add_subnet(batch, network, verb, "subnets", family, text);
		if (bridge->internal)
			continue;
		if (!bridge->no_masquerade && subnet->mode != NETWORK_ROUTED)
			add_subnet(batch, network, verb, "masqueraded", family, text);
		if (subnet->mode == NETWORK_UNPROTECTED)
			add_subnet(batch, network, verb, "unprotected", family, text);
	}
}

void firewall_port_line(struct text *batch, const struct network *network, const struct endpoint_record *record,
			const struct binding_record *binding, const char *verb)
{
	bool v6 = port_is_ipv6(binding->host_ip);
	const char *address = v6 ? record->address6 : record->address;
	bool any = text_equal(binding->host_ip, v6 ? "::" : "0.0.0.0");
	char set[16];

	if (text_empty(address))
		return;
	if (binding->host_port == 0) {
		add_line(batch, network, verb, v6 ? "routed6" : "routed4");
		text_addf(batch, "{ %s . %s . %u }\n", address, binding->protocol, binding->container_port);
		return;
	}
	snprintf(set, sizeof(set), "ports%c%s", v6 ? '6' : '4', any ? "_any" : "");
	add_line(batch, network, verb, set);
	text_addf(batch, "{ %s%s%s . %u : %s . %u }\n", any ? "" : binding->host_ip, any ? "" : " . ",
		  binding->protocol, binding->host_port, address, binding->container_port);
}

static void port_lines(struct text *batch, const struct network *network, const struct endpoint_record *record,
		       const char *verb)
{
	for (size_t i = 0; i < record->bindings.count; i++)
		firewall_port_line(batch, network, record, &record->bindings.items[i], verb);
}

/* ---- the whole table ---- */

static void add_named(struct text *batch, const struct network *network, const char *lines)
{
	for (; *lines; lines++) {
		if (*lines == '@' && lines[1] == ' ')
			text_add(batch, network->table);
		else
			text_add_char(batch, *lines);
	}
}

static void add_emptied_table(struct text *batch, const struct network *network)
{
	text_addf(batch, "add table inet %s\n", network->table);
	add_named(batch, network, objects);
	for (size_t i = 0; owned_chains[i]; i++)
		text_addf(batch, "flush chain inet %s %s\n", network->table, owned_chains[i]);
	for (size_t i = 0; firewall_sets[i]; i++)
		text_addf(batch, "flush %s inet %s %s\n", i < MAP_COUNT ? "map" : "set", network->table,
			  firewall_sets[i]);
}

/* The whole table as it should be now; `anew`: also if its sets and chains are of other types, but then `user` goes. */
static char *whole_table_locked(const struct network *network, bool anew)
{
	const struct endpoint *endpoint;
	const struct bridge *bridge;
	struct text batch = { 0 };
	size_t at = 0;

	mutex_assert_held(&network->mutex);
	if (anew)
		text_addf(&batch, "add table inet %s\ndelete table inet %s\n", network->table, network->table);
	add_emptied_table(&batch, network);
	add_named(&batch, network, rules);
	while ((bridge = map_next(&network->bridges, &at, NULL)))
		if (bridge->driver == NETWORK_BRIDGE)
			bridge_lines(&batch, network, bridge, "add");
	at = 0;
	while ((endpoint = map_next(&network->endpoints, &at, NULL)))
		if (endpoint->record.connected)
			port_lines(&batch, network, &endpoint->record, "add");
	return text_take(&batch);
}

char *firewall_text(struct network *network, uint64_t *out_generation)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);

	*out_generation = network->generation;
	return whole_table_locked(network, false);
}

static int write_table(struct network *network, uint64_t *out_generation, bool anew, struct error *err)
{
	AUTO_FREE char *batch = NULL;

	mutex_lock(&network->mutex);
	*out_generation = network->generation;
	batch = whole_table_locked(network, anew);
	mutex_unlock(&network->mutex);
	return run(network, batch, err);
}

/* Nobody waits for nft with the mutex held: what changed meanwhile makes another round. */
int firewall_rebuild(struct network *network, struct error *err)
{
	uint64_t generation;
	bool done = false;

	while (!done) {
		AUTO(error_clear) struct error first = { 0 };

		if (write_table(network, &generation, false, &first) < 0 &&
		    write_table(network, &generation, true, err) < 0)
			return -1;
		mutex_lock(&network->mutex);
		network->table_made = true;
		done = generation == network->generation;
		mutex_unlock(&network->mutex);
	}
	return 0;
}

int firewall_ensure(struct network *network, struct error *err)
{
	bool made;

	mutex_lock(&network->mutex);
	made = network->table_made;
	mutex_unlock(&network->mutex);
	return made ? 0 : firewall_rebuild(network, err);
}

/* ---- changes ---- */

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
	bool made;

	mutex_lock(&network->mutex);
	made = network->table_made;
	mutex_unlock(&network->mutex);
	/* While the engine starts, its many bridges are written at once by network_restore(). */
	if (!made)
		return 0;
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

/* ---- published ports: without a program ---- */

static void add_address(struct nft_value *value, const char *text)
{
	struct net_address address;

	if (net_address_parse(&address, text) == 0)
		nft_value_add(value, address.bytes, address.family == AF_INET6 ? 16 : 4);
}

static void add_port(struct nft_value *value, uint32_t port)
{
	uint16_t be = htons((uint16_t)port);

	nft_value_add(value, &be, sizeof(be));
}

static void add_protocol(struct nft_value *value, const char *name)
{
	static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	enum network_protocol protocol = NETWORK_TCP;

	network_protocol_parse(&protocol, name);
	nft_value_add(value, &numbers[protocol], 1);
}

/* The same element as firewall_port_line() writes for nft. */
static void port_element(struct nft_batch *batch, const struct network *network, const struct endpoint_record *record,
			 const struct binding_record *binding, bool withdraw)
{
	bool v6 = port_is_ipv6(binding->host_ip);
	const char *address = v6 ? record->address6 : record->address;
	bool any = text_equal(binding->host_ip, v6 ? "::" : "0.0.0.0");
	bool routed = binding->host_port == 0;
	struct nft_value key = { 0 }, data = { 0 };
	char set[16];

	if (text_empty(address))
		return;
	if (routed || !any)
		add_address(&key, routed ? address : binding->host_ip);
	add_protocol(&key, binding->protocol);
	add_port(&key, routed ? binding->container_port : binding->host_port);
	add_address(&data, address);
	add_port(&data, binding->container_port);
	snprintf(set, sizeof(set), "%s%c%s", routed ? "routed" : "ports", v6 ? '6' : '4', any && !routed ? "_any" : "");
	nft_batch_add(batch, network->table, set, &key, routed ? NULL : &data);
	if (withdraw)
		nft_batch_delete(batch, network->table, set, &key, routed ? NULL : &data);
}

/* By one socket for all: the watcher knows it, and takes what it deletes for ours. */
static int send_batch(struct network *network, struct nft_batch *batch)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->nft_mutex);
	struct sockaddr_nl local = { 0 };
	socklen_t size = sizeof(local);

	if (network->nft_fd < 0)
		network->nft_fd = nft_open();
	if (network->nft_fd < 0)
		return -EIO;
	if (getsockname(network->nft_fd, (struct sockaddr *)&local, &size) == 0)
		atomic_store(&network->nft_port, local.nl_pid);
	return nft_batch_send(batch, network->nft_fd);
}

/* If the table was taken away, everything is written again. */
static int change_ports(struct network *network, const struct endpoint_record *record, bool withdraw, struct error *err)
{
	struct nft_batch batch;
	int failed = 0;

	if (record->bindings.count == 0)
		return 0;
	nft_batch_init(&batch);
	for (size_t i = 0; i < record->bindings.count; i++)
		port_element(&batch, network, record, &record->bindings.items[i], withdraw);
	if (batch.messages)
		failed = send_batch(network, &batch);
	nft_batch_fini(&batch);
	return failed < 0 ? firewall_rebuild(network, err) : 0;
}

int firewall_publish(struct network *network, const struct endpoint_record *record, struct error *err)
{
	return change_ports(network, record, false, err);
}

int firewall_withdraw(struct network *network, const struct endpoint_record *record, struct error *err)
{
	return change_ports(network, record, true, err);
}

/* ---- the end ---- */

/* Whether the administrator wrote rules into `user`: they are kept, and the emptied table with them. */
static bool has_user_rules(const struct network *network)
{
	char *const argv[] = { network->nft,
			       (char[]){ "list" },
			       (char[]){ "chain" },
			       (char[]){ "inet" },
			       network->table,
			       (char[]){ "user" },
			       NULL };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO_FREE char *text = NULL;

	if (process_run(&text, argv, NULL, OUTPUT_LIMIT, &err) < 0)
		return false;
	text_list_split(&lines, text, '\n');
	/* "table inet kist {", "chain user {", "}", "}" and the end. */
	return lines.count > 5;
}

int firewall_delete(struct network *network, struct error *err)
{
	AUTO(text_fini) struct text batch = { 0 };
	bool keep = has_user_rules(network);

	if (keep)
		add_emptied_table(&batch, network);
	else
		text_addf(&batch, "add table inet %s\ndelete table inet %s\n", network->table, network->table);
	mutex_lock(&network->mutex);
	network->table_made = false;
	mutex_unlock(&network->mutex);
	return run(network, batch.data, err);
}
