/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "engine/container_network.h"
#include "engine/network_rate.h"
#include "engine/network_sysctl.h"
#include "sys/netlink.h"

#define SHORT_ID 12
#define IFNAME "com.docker.network.endpoint.ifname"

char *endpoint_key(const struct container *container, const struct endpoint_settings *endpoint)
{
	if (text_equal(endpoint->network, "bridge") || text_empty(endpoint->network_id))
		return xstrdup(container->id);
	return xasprintf("%s.%.*s", container->id, SHORT_ID, endpoint->network_id);
}

struct endpoint_settings *endpoint_find(struct container_document *document, const struct engine_network *network)
{
	struct endpoint_map *endpoints = &document->networking.endpoints;

	for (size_t i = 0; i < endpoints->count; i++)
		if (text_empty(endpoints->items[i].network_id)
			    ? text_equal(endpoints->items[i].network, network->name)
			    : text_equal(endpoints->items[i].network_id, network->id))
			return &endpoints->items[i];
	return NULL;
}

/* ---- what may be asked for ---- */

const char *endpoint_wanted_mac(const struct container_document *document, const struct endpoint_settings *endpoint)
{
	const char *mac = text_map_get(&document->wanted_macs, endpoint->network);

	if (!text_empty(mac))
		return mac;
	return text_equal(endpoint->network, document->host.network_mode) && !text_empty(document->config.mac_address)
		       ? document->config.mac_address
		       : NULL;
}

static const char *wanted_address(const struct endpoint_settings *endpoint, bool ipv6)
{
	if (!endpoint->ipam)
		return NULL;
	return ipv6 ? endpoint->ipam->ipv6_address : endpoint->ipam->ipv4_address;
}

static const char *address_problem(const char *text, const struct engine_network *network, bool ipv6, char **out_text)
{
	struct net_address address, subnet;

	if (!text || !*text)
		return NULL;
	if (!engine_network_is_user_defined(network))
		return "user specified IP address is supported on user defined networks only";
	if (net_address_parse(&address, text) < 0 || strchr(text, '/') || (address.family == AF_INET6) != ipv6)
		return *out_text = xasprintf("invalid %s address: %s", ipv6 ? "IPv6" : "IPv4", text);
	if (text_equal(network->driver, "cni"))
		return NULL; /* its plugins know */
	if (ipv6 ? network->chosen6 : network->chosen4)
		return "user specified IP address is supported only when connecting to networks with user configured "
		       "subnets";
	for (size_t i = 0; i < network->ipam.config.count; i++) {
		address.prefix = ipv6 ? 128 : 32;
		if (net_address_parse(&subnet, text_or_empty(network->ipam.config.items[i].subnet)) == 0 &&
		    net_address_overlaps(&subnet, &address))
			return NULL;
	}
	return *out_text = xasprintf("no configured subnet or ip-range contain the IP address %s", text);
}

static const char *option_problem(const struct endpoint_settings *endpoint, char **out_text)
{
	for (size_t i = 0; i < endpoint->driver_opts.count; i++) {
		const struct text_pair *option = &endpoint->driver_opts.items[i];

		if (text_equal(option->key, RATE_INGRESS) || text_equal(option->key, RATE_EGRESS) ||
		    text_equal(option->key, SYSCTLS))
			continue;
		/* Drivers ignore what they do not know, as dockerd's; what dockerd would act on is not ignored. */
		if (!text_equal(option->key, IFNAME) && text_has_prefix(option->key, "com.docker.network."))
			return *out_text = xasprintf("driver option \"%s\" is not supported", option->key);
		if (!text_equal(option->key, IFNAME))
			continue;
		if (text_empty(option->value) || strlen(option->value) > 15 || strpbrk(option->value, "/ \t\n:"))
			return *out_text = xasprintf("invalid interface name \"%s\"", option->value);
	}
	return NULL;
}

static const char *link_local_problem(const struct endpoint_settings *endpoint, const struct engine_network *network,
				      char **out_text)
{
	const struct text_list *list = endpoint->ipam ? &endpoint->ipam->link_local_ips : NULL;

	for (size_t i = 0; list && i < list->count; i++) {
		struct net_address address;

		if (net_address_parse(&address, list->items[i]) < 0 || strchr(list->items[i], '/'))
			return *out_text = xasprintf("invalid link-local IP address: %s", list->items[i]);
		if (text_equal(network->driver, "cni"))
			return "link-local IP addresses cannot be asked of CNI plugins";
		if (!engine_network_has_links(network))
			return *out_text = xasprintf("link-local IP address %s: the network has no links",
						     list->items[i]);
	}
	return NULL;
}

static int sysctls_check(const struct endpoint_settings *endpoint, const struct engine_network *network,
			 struct error *err)
{
	AUTO(text_map_fini) struct text_map sysctls = { 0 };

	if (network_sysctls_read(&sysctls, endpoint, err) < 0)
		return -1;
	if (sysctls.count && (text_equal(network->driver, "cni") || !engine_network_has_links(network)))
		return error_set(err, ERR_INVALID, SYSCTLS ": %s",
				 text_equal(network->driver, "cni") ? "a CNI plugin (tuning) sets them"
								    : "the network has no links");
	return 0;
}

int endpoint_check(const struct endpoint_settings *endpoint, const struct engine_network *network, struct error *err)
{
	AUTO(error_clear) struct error option_problems = { 0 };
	struct network_rates rates;
	AUTO_FREE char *made = NULL;
	const char *problem = NULL;

	problem = link_local_problem(endpoint, network, &made);
	if (!problem && !engine_network_is_user_defined(network) && endpoint->aliases.count)
		problem = "network-scoped alias is supported only for containers in user defined networks";
	if (!problem)
		problem = address_problem(wanted_address(endpoint, false), network, false, &made);
	if (!problem)
		problem = address_problem(wanted_address(endpoint, true), network, true, &made);
	if (!problem)
		problem = option_problem(endpoint, &made);
	if (!problem && (network_rates_read(&rates, endpoint, &option_problems) < 0 ||
			 sysctls_check(endpoint, network, &option_problems) < 0))
		problem = option_problems.message;
	if (!problem)
		return 0;
	return error_set(err, ERR_INVALID, "invalid config for network %s: invalid endpoint settings:\n%s",
			 network->name, problem);
}

/* ---- what it has ---- */

static void add_once(struct text_list *list, const char *name)
{
	if (!text_empty(name) && !text_list_contains(list, name))
		text_list_add(list, name);
}

void endpoint_name(struct endpoint_settings *endpoint, const struct container_document *document,
		   const struct engine_network *network)
{
	AUTO_FREE char *short_id = xstrndup(document->id, SHORT_ID);

	text_list_fini(&endpoint->dns_names);
	if (!engine_network_is_user_defined(network))
		return;
	add_once(&endpoint->dns_names, document->name);
	for (size_t i = 0; i < endpoint->aliases.count; i++)
		add_once(&endpoint->dns_names, endpoint->aliases.items[i]);
	add_once(&endpoint->dns_names, short_id);
	add_once(&endpoint->dns_names, document->config.hostname);
}

static void replace(char **member, const char *text)
{
	free(*member);
	*member = xstrdup(text);
}

void endpoint_record(struct endpoint_settings *endpoint, const struct network_endpoint *given,
		     const struct engine_network *network)
{
	static const struct network_endpoint none;
	const struct network_endpoint *from = given ? given : &none;
	char id[65] = "";

	if (given)
		random_hex(id, 32);
	if (network)
		replace(&endpoint->network_id, network->id);
	replace(&endpoint->endpoint_id, id);
	replace(&endpoint->ip_address, from->address);
	replace(&endpoint->gateway, from->gateway);
	replace(&endpoint->mac_address, from->mac);
	replace(&endpoint->global_ipv6_address, from->address6);
	replace(&endpoint->ipv6_gateway, from->gateway6);
	endpoint->ip_prefix_len = given && *from->address ? from->prefix : 0;
	endpoint->global_ipv6_prefix_len = given && *from->address6 ? from->prefix6 : 0;
}

bool endpoint_goes_before(const struct endpoint_settings *a, const struct endpoint_settings *b)
{
	return !b || a->gw_priority > b->gw_priority ||
	       (a->gw_priority == b->gw_priority && strcmp(a->network, b->network) < 0);
}

struct endpoint_settings *endpoint_gateway(struct container_document *document, bool ipv6)
{
	struct endpoint_map *endpoints = &document->networking.endpoints;
	struct endpoint_settings *best = NULL;

	for (size_t i = 0; i < endpoints->count; i++) {
		struct endpoint_settings *endpoint = &endpoints->items[i];

		if (text_empty(ipv6 ? endpoint->ipv6_gateway : endpoint->gateway))
			continue;
		if (endpoint_goes_before(endpoint, best))
			best = endpoint;
	}
	return best;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct endpoint_settings *const *)a)->network,
		      (*(struct endpoint_settings *const *)b)->network);
}

size_t endpoint_order(struct endpoint_settings **out_order, struct container_document *document)
{
	struct endpoint_map *endpoints = &document->networking.endpoints;
	size_t first = 0;

	for (size_t i = 0; i < endpoints->count; i++)
		out_order[i] = &endpoints->items[i];
	for (size_t i = 0; i < endpoints->count; i++) {
		struct endpoint_settings *own = out_order[i];

		if (!text_equal(own->network, document->host.network_mode))
			continue;
		out_order[i] = out_order[0];
		out_order[0] = own;
		first = 1;
		break;
	}
	if (endpoints->count > first)
		qsort(out_order + first, endpoints->count - first, sizeof(struct endpoint_settings *), compare_names);
	return endpoints->count;
}
