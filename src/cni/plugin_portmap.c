/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cni/plugin.h"
#include "cni/rules.h"
#include "sys/netlink.h"

#define NAME "portmap"

/* The first address of each family; index 0 IPv4. */
static void find_addresses(char out[2][NET_ADDRESS_TEXT_MAX], const struct cni_result *result)
{
	for (size_t i = 0; i < result->ips.count; i++) {
		struct net_address address;
		bool v6;

		if (net_address_parse(&address, result->ips.items[i].address) < 0)
			continue;
		v6 = address.family == AF_INET6;
		if (!*out[v6])
			net_address_format(out[v6], &address);
	}
}

static int check_mapping(const struct port_mapping *mapping, const char *protocol, struct net_address *out_host,
			 struct error *err)
{
	const char *host_ip = text_or_empty(mapping->host_ip);

	if (!text_equal(protocol, "tcp") && !text_equal(protocol, "udp") && !text_equal(protocol, "sctp"))
		return error_set(err, ERR_INVALID, "port mapping with unknown protocol \"%s\"", protocol);
	if (!mapping->host_port || mapping->host_port > UINT16_MAX || !mapping->container_port ||
	    mapping->container_port > UINT16_MAX)
		return error_set(err, ERR_INVALID, "port mapping %u:%u is outside of 1 to 65535", mapping->host_port,
				 mapping->container_port);
	if (*host_ip && (net_address_parse(out_host, host_ip) < 0 || strchr(host_ip, '/')))
		return error_set(err, ERR_INVALID, "port mapping with invalid host address \"%s\"", host_ip);
	return 0;
}

static int add_mapping(struct rule_elements *elements, const struct port_mapping *mapping,
		       char addresses[2][NET_ADDRESS_TEXT_MAX], struct error *err)
{
	static const char *const any[] = { "0.0.0.0", "::" };
	const char *protocol = text_empty(mapping->protocol) ? "tcp" : mapping->protocol;
	struct net_address host = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];

	if (check_mapping(mapping, protocol, &host, err) < 0)
		return -1;
	net_address_format(text, &host);
	for (int v6 = 0; v6 < 2; v6++) {
		if (!*addresses[v6] || (host.family && (host.family == AF_INET6) != v6))
			continue;
		if (!host.family || text_equal(text, any[v6]))
			rule_elements_addf(elements, v6 ? "ports6_any" : "ports4_any", "%s . %u : %s . %u", protocol,
					   mapping->host_port, addresses[v6], mapping->container_port);
		else
			rule_elements_addf(elements, v6 ? "ports6" : "ports4", "%s . %s . %u : %s . %u", text, protocol,
					   mapping->host_port, addresses[v6], mapping->container_port);
	}
	return 0;
}

/* 127.0.0.1 of the host reaches containers by the bridge, which is the first interface on the host. */
static int open_localnet(const struct cni_result *result, struct error *err)
{
	for (size_t i = 0; i < result->interfaces.count; i++) {
		const struct cni_interface *interface = &result->interfaces.items[i];
		AUTO_FREE char *path = NULL;
		int failed;

		if (!text_empty(interface->sandbox) || text_empty(interface->name) || strchr(interface->name, '/'))
			continue;
		path = xasprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", interface->name);
		failed = file_write_once(AT_FDCWD, path, "1");
		return failed < 0 ? error_set_errno(err, ERR_INTERNAL, failed, "set %s", path) : 0;
	}
	return 0;
}

static int add(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
	       struct error *err)
{
	AUTO(rule_elements_fini) struct rule_elements elements = { 0 };
	AUTO_FREE char *owner = NULL;
	char addresses[2][NET_ADDRESS_TEXT_MAX] = { "", "" };

	if (need_previous(config, err) < 0)
		return -1;
	json_copy_fields(out_result, config->previous, cni_result_fields);
	find_addresses(addresses, config->previous);
	for (size_t i = 0; i < config->runtime.ports.count; i++)
		if (add_mapping(&elements, &config->runtime.ports.items[i], addresses, err) < 0)
			return -1;
	if (elements.lines.count == 0)
		return 0;
	if (optional_bool_or(config->snat, true))
		for (int v6 = 0; v6 < 2; v6++)
			if (*addresses[v6])
				rule_elements_addf(&elements, v6 ? "published6" : "published4", "%s", addresses[v6]);
	if (*addresses[0] && open_localnet(config->previous, err) < 0)
		return -1;
	if (rules_add(call, config, NAME, &elements, err) == 0)
		return 0;
	owner = rules_owner(&elements, NAME);
	return owner ? error_prefix(err, "a port is published by container %s already", owner) : -1;
}

static int delete (const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	(void)config;
	(void)out_result;
	return rules_remove(call, NAME, err);
}

static int check(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		 struct error *err)
{
	(void)out_result;
	return need_previous(config, err) < 0 ? -1 : rules_check(call, NAME, err);
}

static int collect(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	(void)call;
	(void)out_result;
	return rules_collect(config, NAME, err);
}

const struct plugin plugin_portmap = { NAME, add, delete, check, collect, plugin_always_ready };
