/* SPDX-License-Identifier: Apache-2.0 */
#include "network/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "network/firewall.h"
#include "network/foreign.h"
#include "network/proxy.h"
#include "network/state.h"

void examination_add(struct examination *examination, bool good, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text_list_addf(&examination->lines, "%s  %s", good ? "ok    " : "BROKEN", text);
	examination->broken += !good;
}

void examination_fini(struct examination *examination)
{
	text_list_fini(&examination->lines);
}

static bool kernel_says(const char *path, const char *value)
{
	AUTO_FREE char *now = NULL;

	return file_read(&now, NULL, AT_FDCWD, path, 64) == 0 && text_equal(text_trim(now), value);
}

static bool has_address(int netlink_fd, int index, const char *text)
{
	AUTO_FREE struct link_address *addresses = NULL;
	struct net_address wanted;
	size_t count = 0;

	if (net_address_parse(&wanted, text) < 0 || address_dump(netlink_fd, &addresses, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (addresses[i].index == index && addresses[i].address.family == wanted.family &&
		    memcmp(addresses[i].address.bytes, wanted.bytes, sizeof(wanted.bytes)) == 0)
			return true;
	return false;
}

static bool has_default_route(int netlink_fd, int family)
{
	AUTO_FREE struct link_route *routes = NULL;
	size_t count = 0;

	if (route_dump(netlink_fd, &routes, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (routes[i].destination.family == family && routes[i].destination.prefix == 0 &&
		    routes[i].gateway.family)
			return true;
	return false;
}

/* ---- the host's side ---- */

static void examine_link(const struct bridge *bridge, struct examination *out)
{
	const char *name = bridge_is_on_parent(bridge) ? bridge->parent : bridge->name;
	AUTO_CLOSE int fd = netlink_open();
	char text[NET_ADDRESS_TEXT_MAX];
	struct link_info link;

	if (fd < 0 || link_find(fd, name, &link) < 0) {
		examination_add(out, false, "link %s is not there: somebody removed it; restart kistd to make it again",
				name);
		return;
	}
	examination_add(out, link.flags & IFF_UP, "link %s is %s", name,
			link.flags & IFF_UP ? "up" : "down: ip link set up");
	for (int family = 0; bridge->driver == NETWORK_BRIDGE && family < FAMILY_COUNT; family++) {
		const struct subnet *subnet = &bridge->subnets[family];

		if (!subnet->network.family || subnet->mode == NETWORK_ISOLATED)
			continue;
		net_address_format(text, &subnet->gateway);
		examination_add(out, has_address(fd, link.index, text), "%s has the gateway's address %s", name, text);
	}
}

static void examine_forwarding(const struct bridge *bridge, struct examination *out)
{
	bool has6 = bridge->subnets[FAMILY_6].network.family;

	if (bridge->internal || bridge->driver != NETWORK_BRIDGE)
		return;
	if (bridge->subnets[FAMILY_4].network.family)
		examination_add(out, kernel_says("/proc/sys/net/ipv4/ip_forward", "1"),
				"the host forwards IPv4 (net.ipv4.ip_forward)");
	if (has6)
		examination_add(out, kernel_says("/proc/sys/net/ipv6/conf/all/forwarding", "1"),
				"the host forwards IPv6 (net.ipv6.conf.all.forwarding)");
}

/* A table that is full lets nobody new through, and only the kernel's log says so. */
static void examine_conntrack(struct examination *out)
{
	AUTO_FREE char *count_text = NULL;
	AUTO_FREE char *limit_text = NULL;
	uint64_t count, limit;

	if (file_read(&count_text, NULL, AT_FDCWD, "/proc/sys/net/netfilter/nf_conntrack_count", 64) < 0 ||
	    file_read(&limit_text, NULL, AT_FDCWD, "/proc/sys/net/netfilter/nf_conntrack_max", 64) < 0 ||
	    text_parse_u64(&count, text_trim(count_text), UINT64_MAX) < 0 ||
	    text_parse_u64(&limit, text_trim(limit_text), UINT64_MAX) < 0)
		return;
	examination_add(out, limit == 0 || count < limit - limit / 20,
			"the table of connections has room: %llu of %llu (net.netfilter.nf_conntrack_max)",
			(unsigned long long)count, (unsigned long long)limit);
}

/* Whether outsiders call its containers by their own addresses. */
static bool takes_untranslated(const struct bridge *bridge)
{
	for (int family = FAMILY_4; family <= FAMILY_6; family++)
		if (bridge->subnets[family].mode == NETWORK_ROUTED ||
		    bridge->subnets[family].mode == NETWORK_UNPROTECTED)
			return true;
	return false;
}

void network_examine(struct network *network, const char *name, struct examination *out)
{
	const struct bridge *found;
	struct bridge bridge;

	mutex_lock(&network->mutex);
	found = map_get(&network->bridges, name);
	if (found)
		bridge = *found;
	mutex_unlock(&network->mutex);
	if (!found) {
		examination_add(out, false, "bridge %s was never made: the log of kistd says why", name);
		return;
	}
	if (bridge.driver == NETWORK_EXTERNAL)
		return;
	examine_link(&bridge, out);
	examine_forwarding(&bridge, out);
	if (bridge.driver != NETWORK_BRIDGE)
		return;
	examine_conntrack(out);
	examination_add(out, firewall_is_whole(network), "nft table inet %s has all its rules and elements",
			network->table);
	if (foreign_is_unknown())
		examination_add(out, false,
				"this kernel has rules of the old iptables (ip_tables), which may drop what %s "
				"forwards: install "
				"iptables-legacy, so that it can be let through, or move to nftables",
				name);
	examination_add(
		out, !foreign_drops(name),
		"no other firewall's FORWARD chain drops what %s forwards (iptables -S FORWARD; firewalld: a zone has "
		"it)",
		name);
	if (takes_untranslated(&bridge))
		examination_add(
			out, !foreign_shuts_out(name),
			"firewalld, where it runs, lets others in to addresses on %s: that takes a policy of its "
			"administrator (firewall-cmd --permanent --new-policy=NAME; --permanent --policy=NAME with "
			"--add-ingress-zone=ANY, --add-egress-zone=trusted, --set-target=ACCEPT; --reload)",
			name);
}

/* ---- a container's ---- */

static void examine_outer(const struct endpoint_record *record, struct examination *out)
{
	AUTO_CLOSE int fd = netlink_open();
	struct link_info link;

	if (text_empty(record->link))
		return;
	if (fd < 0 || link_find(fd, record->link, &link) < 0) {
		examination_add(out, false, "the host's end %s is not there: restart the container", record->link);
		return;
	}
	examination_add(out, link.ready, "the host's end %s passes frames", record->link);
	examination_add(out, link.master != 0, "the host's end %s is a port of a bridge", record->link);
}

static void examine_inner(const struct endpoint_record *record, int netlink_fd, struct examination *out)
{
	const char *addresses[] = { record->address, record->address6 };
	struct link_info link;

	if (link_find(netlink_fd, text_or_empty(record->interface), &link) < 0) {
		examination_add(out, false, "the container has no link %s: disconnect and connect it again",
				text_or_empty(record->interface));
		return;
	}
	examination_add(out, link.flags & IFF_UP, "the container's link %s is up", record->interface);
	for (int family = 0; family < FAMILY_COUNT; family++)
		if (!text_empty(addresses[family]))
			examination_add(out, has_address(netlink_fd, link.index, addresses[family]),
					"%s has address %s", record->interface, addresses[family]);
}

static bool has_way(struct network *network, const struct endpoint_record *record, const struct binding_record *binding)
{
	bool carried = !network->no_proxy && proxy_is_needed(record, binding);

	if (carried && !proxy_is_there(record, binding))
		return false;
	return (carried && text_empty(record->address6)) || firewall_has_port(network, record, binding);
}

void network_examine_endpoint(struct network *network, const char *id, int netlink_fd, struct examination *out)
{
	AUTO(endpoint_record_fini) struct endpoint_record record = { 0 };
	const struct bridge *bridge = NULL;
	const struct endpoint *endpoint;
	bool leads_out = false;

	mutex_lock(&network->mutex);
	endpoint = map_get(&network->endpoints, id);
	if (endpoint) {
		json_copy_fields(&record, &endpoint->record, endpoint_record_fields);
		bridge = map_get(&network->bridges, record.bridge);
		leads_out = bridge && !bridge->internal && !text_empty(record.address);
	}
	mutex_unlock(&network->mutex);
	if (!endpoint) {
		examination_add(out, false, "the container has no address on this network: restart it");
		return;
	}
	examine_outer(&record, out);
	examine_inner(&record, netlink_fd, out);
	if (leads_out)
		examination_add(out, has_default_route(netlink_fd, AF_INET),
				"the container has a way out (default route)");
	for (size_t i = 0; i < record.bindings.count; i++)
		examination_add(out, has_way(network, &record, &record.bindings.items[i]),
				"port %s:%u is turned to the container's port %u/%s", record.bindings.items[i].host_ip,
				record.bindings.items[i].host_port, record.bindings.items[i].container_port,
				record.bindings.items[i].protocol);
}
