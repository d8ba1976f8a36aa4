/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "cni/plugin.h"
#include "cni/rules.h"
#include "network/pool.h"
#include "sys/netlink.h"

#define NAME "bridge"
#define DEFAULT_BRIDGE "cni0"
#define READY_WAIT_MS 2000

/* What one call works with. */
struct attachment {
	const struct plugin_call *call;
	const struct plugin_config *config;
	int host_fd; /* netlink sockets: the host's and the container's */
	int inner_fd;
	struct link_info bridge;
	struct link_info outer; /* of the pair, on the host */
	struct link_info inner;
};

static void attachment_close(const struct attachment *attachment)
{
	if (attachment->host_fd >= 0)
		close(attachment->host_fd);
	if (attachment->inner_fd >= 0)
		close(attachment->inner_fd);
}

static const char *bridge_name(const struct plugin_config *config)
{
	return text_empty(config->bridge) ? DEFAULT_BRIDGE : config->bridge;
}

static int open_sockets(struct attachment *attachment, struct error *err)
{
	attachment->host_fd = netlink_open();
	if (attachment->host_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, attachment->host_fd, "open a netlink socket");
	attachment->inner_fd = netlink_open_inside(attachment->call->netns);
	if (attachment->inner_fd < 0)
		return error_set_errno(err, ERR_INVALID, attachment->inner_fd, "enter network namespace %s",
				       attachment->call->netns);
	return 0;
}

static int check_config(const struct plugin_config *config, struct error *err)
{
	const char *unsupported = config->promiscuous ? "promiscMode"
				  : config->vlan      ? "vlan"
				  : config->check_mac ? "macspoofchk"
						      : NULL;

	if (unsupported)
		return error_set(err, ERR_INVALID, "%s is not supported by this bridge plugin", unsupported);
	if (strlen(bridge_name(config)) > 15 || strchr(bridge_name(config), '/'))
		return error_set(err, ERR_INVALID, "bridge name \"%s\" is longer than 15 bytes, or no name",
				 bridge_name(config));
	if (config->mtu < 0 || config->mtu > 65535)
		return error_set(err, ERR_INVALID, "mtu %lld is outside of 0 to 65535", (long long)config->mtu);
	return 0;
}

/* ---- the bridge ---- */

static int raise_bridge(struct attachment *attachment, struct error *err)
{
	const char *name = bridge_name(attachment->config);
	int fd = attachment->host_fd;
	int failed = link_find(fd, name, &attachment->bridge);

	if (failed == -ENODEV) {
		failed = link_create_bridge(fd, name, (uint32_t)attachment->config->mtu);
		if (failed == 0 || failed == -EEXIST)
			failed = link_find(fd, name, &attachment->bridge);
	}
	if (failed == 0 && !text_equal(attachment->bridge.kind, "bridge"))
		return error_set(err, ERR_CONFLICT, "link %s exists and is not a bridge", name);
	if (failed == 0)
		failed = link_change(fd, attachment->bridge.index, &(struct link_change){ .up = 1 });
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "make bridge %s", name) : 0;
}

static int set_kernel(const char *path, struct error *err)
{
	AUTO_FREE char *now = NULL;
	int failed;

	if (file_read(&now, NULL, AT_FDCWD, path, 64) == 0 && text_equal(text_trim(now), "1"))
		return 0;
	failed = file_write_once(AT_FDCWD, path, "1");
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set %s", path) : 0;
}

/* Addresses of a family that the bridge has and this network does not give it. */
static int clear_others(const struct attachment *attachment, const struct net_address *gateway, struct error *err)
{
	AUTO_FREE struct link_address *addresses = NULL;
	size_t count = 0;

	if (address_dump(attachment->host_fd, &addresses, &count) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		const struct net_address *have = &addresses[i].address;

		if (addresses[i].index != attachment->bridge.index || have->family != gateway->family ||
		    addresses[i].scope != RT_SCOPE_UNIVERSE ||
		    (have->prefix == gateway->prefix && memcmp(have->bytes, gateway->bytes, sizeof(have->bytes)) == 0))
			continue;
		if (have->family == AF_INET6 && !net_address_overlaps(have, gateway))
			continue;
		if (!attachment->config->force_address) {
			char text[NET_ADDRESS_TEXT_MAX];

			net_address_format_prefix(text, have);
			return error_set(err, ERR_CONFLICT, "bridge %s has another address: %s",
					 attachment->bridge.name, text);
		}
		address_delete(attachment->host_fd, attachment->bridge.index, have);
	}
	return 0;
}

static int add_gateway(const struct attachment *attachment, const struct net_address *gateway, struct error *err)
{
	bool v6 = gateway->family == AF_INET6;
	int failed;

	if (clear_others(attachment, gateway, err) < 0)
		return -1;
	if (v6) {
		AUTO_FREE char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", attachment->bridge.name);

		if (!file_exists(AT_FDCWD, path))
			return error_set(err, ERR_UNSUPPORTED, "IPv6 is off in this kernel");
		file_write_once(AT_FDCWD, path, "0");
	}
	failed = address_add(attachment->host_fd, attachment->bridge.index, gateway);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "give bridge %s its address",
				       attachment->bridge.name);
	return set_kernel(v6 ? "/proc/sys/net/ipv6/conf/all/forwarding" : "/proc/sys/net/ipv4/ip_forward", err);
}

/* ---- the pair ---- */

static int parse_mac(uint8_t out_mac[6], const char *text, struct error *err)
{
	unsigned parts[6];
	char rest;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4], &parts[5],
		   &rest) != 6 ||
	    parts[0] & 1)
		return error_set(err, ERR_INVALID, "invalid MAC address: %s", text);
	for (int i = 0; i < 6; i++)
		out_mac[i] = (uint8_t)parts[i];
	return 0;
}

static int make_pair(struct attachment *attachment, struct error *err)
{
	const struct plugin_config *config = attachment->config;
	AUTO_CLOSE int netns = netlink_namespace(attachment->inner_fd);
	AUTO_FREE char *argument = call_argument(attachment->call, "MAC");
	const char *wanted = text_empty(config->runtime.mac) ? argument : config->runtime.mac;
	char name[16], tail[9];
	uint8_t mac[6];
	struct link_veth veth = { .name = name,
				  .peer_name = attachment->call->interface,
				  .mtu = (uint32_t)config->mtu,
				  .master = attachment->bridge.index,
				  .peer_netns_fd = netns,
				  .up = true };
	int failed;

	if (!text_empty(wanted)) {
		if (parse_mac(mac, wanted, err) < 0)
			return -1;
		veth.peer_mac = mac;
	}
	random_hex(tail, 4);
	snprintf(name, sizeof(name), "veth%s", tail);
	failed = netns < 0 ? netns : link_create_veth(attachment->host_fd, &veth);
	if (failed == -EEXIST)
		return error_set(err, ERR_CONFLICT, "the container has a link %s already", veth.peer_name);
	if (failed == 0)
		failed = link_find(attachment->host_fd, name, &attachment->outer);
	if (failed == 0)
		failed = link_set_bridge_port(attachment->host_fd, attachment->outer.index, config->hairpin,
					      config->isolated);
	if (failed == 0)
		failed = link_find(attachment->inner_fd, veth.peer_name, &attachment->inner);
	return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "make link %s", veth.peer_name) : 0;
}

/* ---- addresses and routes ---- */

static int add_route(const struct attachment *attachment, const struct net_address *destination,
		     const struct net_address *gateway, struct error *err)
{
	struct link_route route = { .destination = *destination,
				    .gateway = *gateway,
				    .index = attachment->inner.index };
	int failed = route_add(attachment->inner_fd, &route);
	char text[NET_ADDRESS_TEXT_MAX];

	if (failed == 0 || failed == -EEXIST)
		return 0;
	return error_set_errno(err, ERR_INTERNAL, failed, "add route %s", net_address_format_prefix(text, destination));
}

/* The gateway of the address that has this family; false: there is none. */
static bool gateway_of(struct net_address *out_gateway, const struct cni_result *result, int family)
{
	for (size_t i = 0; i < result->ips.count; i++)
		if (net_address_parse(out_gateway, text_or_empty(result->ips.items[i].gateway)) == 0 &&
		    out_gateway->family == family)
			return true;
	return false;
}

static void add_default_routes(struct cni_result *result)
{
	for (size_t i = 0; i < result->ips.count; i++) {
		struct cni_route *route = json_array_add(&result->routes, sizeof(*route));

		route->destination = xstrdup(strchr(result->ips.items[i].address, ':') ? "::/0" : "0.0.0.0/0");
		route->gateway = xstrdup(text_or_empty(result->ips.items[i].gateway));
	}
}

static int configure_inside(struct attachment *attachment, struct cni_result *result, struct error *err)
{
	int failed = link_change(attachment->inner_fd, attachment->inner.index, &(struct link_change){ .up = 1 });

	for (size_t i = 0; failed == 0 && i < result->ips.count; i++) {
		struct net_address address;

		net_address_parse(&address, result->ips.items[i].address);
		failed = address_add(attachment->inner_fd, attachment->inner.index, &address);
	}
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "configure link %s", attachment->inner.name);
	for (size_t i = 0; i < result->routes.count; i++) {
		const struct cni_route *route = &result->routes.items[i];
		struct net_address destination, gateway = { 0 };

		net_address_parse(&destination, route->destination);
		if (!text_empty(route->gateway))
			net_address_parse(&gateway, route->gateway);
		else
			gateway_of(&gateway, result, destination.family);
		if (add_route(attachment, &destination, &gateway, err) < 0)
			return -1;
	}
	return 0;
}

static int configure(struct attachment *attachment, struct cni_result *result, struct error *err)
{
	const struct plugin_config *config = attachment->config;

	for (size_t i = 0; i < result->ips.count; i++) {
		struct cni_ip *ip = &result->ips.items[i];
		struct net_address address, gateway, network;
		char text[NET_ADDRESS_TEXT_MAX];

		net_address_parse(&address, ip->address);
		network = pool_network(&address);
		if (text_empty(ip->gateway)) {
			gateway = pool_address(&network, 1);
			free(ip->gateway);
			ip->gateway = xstrdup(net_address_format(text, &gateway));
		}
		net_address_parse(&gateway, ip->gateway);
		gateway.prefix = address.prefix;
		if ((config->is_gateway || config->is_default_gateway) && add_gateway(attachment, &gateway, err) < 0)
			return -1;
		ip->interface = (struct optional_i64){ true, 2 };
	}
	if (config->is_default_gateway)
		add_default_routes(result);
	return configure_inside(attachment, result, err);
}

static int hide(const struct attachment *attachment, const struct cni_result *result, struct error *err)
{
	AUTO(rule_elements_fini) struct rule_elements elements = { 0 };

	if (!attachment->config->masquerade)
		return 0;
	for (size_t i = 0; i < result->ips.count; i++) {
		const char *address = result->ips.items[i].address;

		rule_elements_addf(&elements, strchr(address, ':') ? "hidden6" : "hidden4", "%.*s",
				   (int)strcspn(address, "/"), address);
	}
	return rules_add(attachment->call, attachment->config, NAME, &elements, err);
}

static void add_interface(struct cni_result *result, const struct link_info *link, const char *sandbox)
{
	struct cni_interface *interface = json_array_add(&result->interfaces, sizeof(*interface));

	interface->name = xstrdup(link->name);
	interface->mac = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", link->mac[0], link->mac[1], link->mac[2],
				   link->mac[3], link->mac[4], link->mac[5]);
	interface->sandbox = xstrdup(sandbox);
}

static void fill_result(struct attachment *attachment, struct cni_result *result)
{
	/* The bridge has taken its address from somewhere by now. */
	link_find(attachment->host_fd, bridge_name(attachment->config), &attachment->bridge);
	json_free_array(&result->interfaces, cni_interface_fields, sizeof(*result->interfaces.items));
	add_interface(result, &attachment->bridge, "");
	add_interface(result, &attachment->outer, "");
	add_interface(result, &attachment->inner, attachment->call->netns);
	if (attachment->config->dns.servers.count || !text_empty(attachment->config->dns.domain) ||
	    attachment->config->dns.search.count || attachment->config->dns.options.count) {
		json_free_fields(&result->dns, cni_dns_fields);
		json_copy_fields(&result->dns, &attachment->config->dns, cni_dns_fields);
	}
}

/* Frames pass only once the kernel noticed the carrier: the container's first packet must not be lost. */
static void wait_ready(const struct attachment *attachment)
{
	int64_t end = clock_monotonic_ns() + READY_WAIT_MS * CLOCK_MS;
	struct link_info link;

	while (link_find(attachment->host_fd, attachment->outer.name, &link) == 0 && !link.ready &&
	       clock_monotonic_ns() < end)
		clock_sleep_ms(1);
}

static int attach(struct attachment *attachment, struct cni_result *result, struct error *err)
{
	if (!text_empty(attachment->config->ipam.type) && result->ips.count == 0)
		return error_set(err, ERR_INTERNAL, "CNI plugin %s gave no address", attachment->config->ipam.type);
	if (configure(attachment, result, err) < 0 || hide(attachment, result, err) < 0)
		return -1;
	wait_ready(attachment);
	fill_result(attachment, result);
	return 0;
}

static int add(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
	       struct error *err)
{
	AUTO(attachment_close)
	struct attachment attachment = { .call = call, .config = config, .host_fd = -1, .inner_fd = -1 };
	AUTO(error_clear) struct error ignored = { 0 };

	if (check_config(config, err) < 0 || open_sockets(&attachment, err) < 0 || raise_bridge(&attachment, err) < 0 ||
	    make_pair(&attachment, err) < 0)
		return -1;
	if (ipam_run(call, config, "ADD", out_result, err) == 0) {
		if (attach(&attachment, out_result, err) == 0)
			return 0;
		ipam_run(call, config, "DEL", NULL, &ignored);
	}
	link_delete(attachment.host_fd, attachment.outer.index);
	return -1;
}

static int delete (const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	struct link_info link;
	int fd = *call->netns ? netlink_open_inside(call->netns) : -ENOENT;

	(void)out_result;
	/* A namespace that is gone took the pair with it. */
	if (fd >= 0 && link_find(fd, call->interface, &link) == 0)
		link_delete(fd, link.index);
	if (fd >= 0)
		close(fd);
	if (ipam_run(call, config, "DEL", NULL, err) < 0)
		return -1;
	return rules_remove(call, NAME, err);
}

static bool has_address(const struct attachment *attachment, const char *text)
{
	AUTO_FREE struct link_address *addresses = NULL;
	struct net_address wanted;
	size_t count = 0;

	if (net_address_parse(&wanted, text) < 0 || address_dump(attachment->inner_fd, &addresses, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (addresses[i].index == attachment->inner.index && addresses[i].address.family == wanted.family &&
		    memcmp(addresses[i].address.bytes, wanted.bytes, sizeof(wanted.bytes)) == 0)
			return true;
	return false;
}

static int check_inside(const struct attachment *attachment, struct error *err)
{
	const struct cni_result *previous = attachment->config->previous;

	for (size_t i = 0; i < previous->ips.count; i++) {
		const struct cni_ip *ip = &previous->ips.items[i];
		bool elsewhere = ip->interface.set && !text_equal(previous->interfaces.items[ip->interface.value].name,
								  attachment->call->interface);

		if (!elsewhere && !has_address(attachment, ip->address))
			return error_set(err, ERR_NOT_FOUND, "%s has not address %s", attachment->call->interface,
					 ip->address);
	}
	return 0;
}

static int check(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		 struct error *err)
{
	AUTO(attachment_close)
	struct attachment attachment = { .call = call, .config = config, .host_fd = -1, .inner_fd = -1 };

	(void)out_result;
	if (need_previous(config, err) < 0 || open_sockets(&attachment, err) < 0)
		return -1;
	if (link_find(attachment.host_fd, bridge_name(config), &attachment.bridge) < 0)
		return error_set(err, ERR_NOT_FOUND, "bridge %s is gone", bridge_name(config));
	if (link_find(attachment.inner_fd, call->interface, &attachment.inner) < 0)
		return error_set(err, ERR_NOT_FOUND, "the container has no link %s", call->interface);
	if (check_inside(&attachment, err) < 0 || ipam_run(call, config, "CHECK", NULL, err) < 0)
		return -1;
	return rules_check(call, NAME, err);
}

static int collect(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	(void)out_result;
	if (ipam_run(call, config, "GC", NULL, err) < 0)
		return -1;
	return rules_collect(config, NAME, err);
}

static int status(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		  struct error *err)
{
	(void)out_result;
	return check_config(config, err) < 0 ? -1 : ipam_run(call, config, "STATUS", NULL, err);
}

const struct plugin plugin_bridge = { NAME, add, delete, check, collect, status };
