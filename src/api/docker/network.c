/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three networks every engine has: bridge, host, none. They are not stored: what there is to know about them is
 * the bridge's link and the containers.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "api/docker/docker.h"
#include "api/docker/handlers.h"
#include "api/docker/request.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "engine/container.h"

struct ipam_config {
	char *subnet;
	char *gateway;
};

static const struct json_field ipam_config_fields[] = {
	JSON_TEXT("Subnet", struct ipam_config, subnet, 0),
	JSON_TEXT("Gateway", struct ipam_config, gateway, 0),
	JSON_END,
};

struct ipam {
	char *driver;
	struct text_map options;
	JSON_ARRAY_OF(struct ipam_config) config;
};

static const struct json_field ipam_fields[] = {
	JSON_TEXT("Driver", struct ipam, driver, 0),
	JSON_TEXT_MAP("Options", struct ipam, options, JSON_EMPTY_NULL),
	JSON_ARRAY("Config", struct ipam, config, ipam_config_fields, 0),
	JSON_END,
};

struct config_from {
	char *network;
};

static const struct json_field config_from_fields[] = {
	JSON_TEXT("Network", struct config_from, network, 0),
	JSON_END,
};

struct network_member {
	char *id;
	char *name;
	char *endpoint_id;
	char *mac_address;
	char *ipv4_address;
	char *ipv6_address;
};

static const struct json_field network_member_fields[] = {
	JSON_KEY(struct network_member, id),
	JSON_TEXT("Name", struct network_member, name, 0),
	JSON_TEXT("EndpointID", struct network_member, endpoint_id, 0),
	JSON_TEXT("MacAddress", struct network_member, mac_address, 0),
	JSON_TEXT("IPv4Address", struct network_member, ipv4_address, 0),
	JSON_TEXT("IPv6Address", struct network_member, ipv6_address, 0),
	JSON_END,
};

struct network_view {
	char *name;
	char *id;
	char *created;
	char *scope;
	char *driver;
	bool enable_ipv4;
	bool enable_ipv6;
	struct ipam ipam;
	bool internal;
	bool attachable;
	bool ingress;
	struct config_from config_from;
	bool config_only;
	JSON_ARRAY_OF(struct network_member) containers;
	struct text_map options;
	struct text_map labels;
};

static const struct json_field network_view_fields[] = {
	JSON_TEXT("Name", struct network_view, name, 0),
	JSON_TEXT("Id", struct network_view, id, 0),
	JSON_TEXT("Created", struct network_view, created, 0),
	JSON_TEXT("Scope", struct network_view, scope, 0),
	JSON_TEXT("Driver", struct network_view, driver, 0),
	JSON_BOOL("EnableIPv4", struct network_view, enable_ipv4, 0),
	JSON_BOOL("EnableIPv6", struct network_view, enable_ipv6, 0),
	JSON_OBJECT("IPAM", struct network_view, ipam, ipam_fields, 0),
	JSON_BOOL("Internal", struct network_view, internal, 0),
	JSON_BOOL("Attachable", struct network_view, attachable, 0),
	JSON_BOOL("Ingress", struct network_view, ingress, 0),
	JSON_OBJECT("ConfigFrom", struct network_view, config_from, config_from_fields, 0),
	JSON_BOOL("ConfigOnly", struct network_view, config_only, 0),
	JSON_MAP("Containers", struct network_view, containers, network_member_fields, 0),
	JSON_TEXT_MAP("Options", struct network_view, options, 0),
	JSON_TEXT_MAP("Labels", struct network_view, labels, 0),
	JSON_END,
};

struct network_views {
	struct network_view *items;
	size_t count;
};

static void network_views_fini(struct network_views *views)
{
	json_free_array(views, network_view_fields, sizeof(*views->items));
}

static struct network_view *add_view(struct network_views *views, struct docker_api *api, const char *name,
				     const char *driver)
{
	struct network_view *view = json_array_add(views, sizeof(*view));
	char created[CLOCK_TEXT_MAX];

	view->name = xstrdup(name);
	view->id = xstrdup(engine_network_id(api->engine, name));
	view->created = xstrdup(clock_format(created, api->started_ns));
	view->scope = xstrdup("local");
	view->driver = xstrdup(driver);
	view->enable_ipv4 = true;
	view->ipam.driver = xstrdup("default");
	view->config_from.network = xstrdup("");
	return view;
}

static void add_subnet(struct network_view *view, const struct ifaddrs *link)
{
	const struct sockaddr_in *address = (const struct sockaddr_in *)(const void *)link->ifa_addr;
	const struct sockaddr_in *mask = (const struct sockaddr_in *)(const void *)link->ifa_netmask;
	struct in_addr subnet = { .s_addr = address->sin_addr.s_addr & mask->sin_addr.s_addr };
	struct ipam_config *config = json_array_add(&view->ipam.config, sizeof(*config));
	char text[INET_ADDRSTRLEN];

	config->subnet = xasprintf("%s/%d", inet_ntop(AF_INET, &subnet, text, sizeof(text)),
				   __builtin_popcount(mask->sin_addr.s_addr));
	config->gateway = xstrdup(inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)));
}

static void describe_bridge(struct network_view *view, const char *bridge)
{
	struct ifaddrs *all;

	text_map_set(&view->options, "com.docker.network.bridge.default_bridge", "true");
	text_map_set(&view->options, "com.docker.network.bridge.name", bridge);
	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *link = all; link; link = link->ifa_next)
		if (text_equal(link->ifa_name, bridge) && link->ifa_addr && link->ifa_netmask &&
		    link->ifa_addr->sa_family == AF_INET)
			add_subnet(view, link);
	freeifaddrs(all);
}

static void add_member(struct network_view *view, const struct container_summary *container,
		       const struct endpoint_settings *endpoint)
{
	struct network_member *member = json_array_add(&view->containers, sizeof(*member));
	const char *name = container->names.count ? container->names.items[0] : "";
	bool addressed = !text_empty(endpoint->ip_address);

	member->id = xstrdup(container->id);
	member->name = xstrdup(*name == '/' ? name + 1 : name);
	member->endpoint_id = xstrdup(text_or_empty(endpoint->endpoint_id));
	member->mac_address = xstrdup(text_or_empty(endpoint->mac_address));
	member->ipv4_address = addressed
				       ? xasprintf("%s/%lld", endpoint->ip_address, (long long)endpoint->ip_prefix_len)
				       : xstrdup("");
	member->ipv6_address = xstrdup("");
}

static int add_members(struct network_view *view, struct docker_api *api, struct error *err)
{
	const struct list_options running = { 0 };
	struct container_summaries list = { 0 };

	if (container_list(&list, api->engine, &running, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++)
		for (size_t j = 0; j < list.items[i].network.networks.count; j++) {
			const struct endpoint_settings *endpoint = &list.items[i].network.networks.items[j];

			if (text_equal(endpoint->network, view->name))
				add_member(view, &list.items[i], endpoint);
		}
	json_free_array(&list, container_summary_fields, sizeof(*list.items));
	return 0;
}

static void make_views(struct network_views *views, struct docker_api *api)
{
	if (!text_equal(api->bridge, "none"))
		describe_bridge(add_view(views, api, "bridge", "bridge"), api->bridge);
	add_view(views, api, "host", "host");
	add_view(views, api, "none", "null");
}

static const char *const network_filter_keys[] = { "dangling", "driver", "id", "label", "name", "scope", "type", NULL };

/* Pre-defined networks are built in, have no labels and always count as used. */
static bool fits(const struct network_view *view, const struct filter_set *filters, bool dangling)
{
	return filter_match_exact(filters, "driver", view->driver) && filter_match_prefix(filters, "id", view->id) &&
	       filter_match_pattern(filters, "name", view->name) && filter_match_exact(filters, "scope", view->scope) &&
	       filter_match_exact(filters, "type", "builtin") && filter_match_labels(filters, "label", &view->labels) &&
	       !dangling;
}

DOCKER_HANDLER(docker_network_list)
{
	struct docker_api *api = context;
	AUTO(filter_set_fini) struct filter_set filters = { 0 };
	AUTO(network_views_fini) struct network_views views = { 0 };
	struct text out = { 0 };
	bool dangling;

	if (query_filters(&filters, request, network_filter_keys, err) < 0 ||
	    filter_bool(&dangling, &filters, "dangling", false, err) < 0)
		return -1;
	make_views(&views, api);
	text_add(&out, "[");
	for (size_t i = 0; i < views.count; i++) {
		if (!fits(&views.items[i], &filters, dangling))
			continue;
		if (out.size > 1)
			text_add(&out, ",");
		json_encode_to(&out, &views.items[i], network_view_fields);
	}
	text_add(&out, "]");
	reply_json_take(response, 200, text_take(&out));
	return 0;
}

static struct network_view *find_view(struct network_views *views, const char *name, struct error *err)
{
	for (size_t i = 0; i < views->count; i++)
		if (text_equal(views->items[i].name, name))
			return &views->items[i];
	for (size_t i = 0; i < views->count; i++)
		if (!text_empty(name) && text_has_prefix(views->items[i].id, name))
			return &views->items[i];
	error_set(err, ERR_NOT_FOUND, "network %s not found", name);
	return NULL;
}

DOCKER_HANDLER(docker_network_inspect)
{
	struct docker_api *api = context;
	AUTO(network_views_fini) struct network_views views = { 0 };
	struct network_view *view;

	make_views(&views, api);
	view = find_view(&views, http_param(request, "id"), err);
	if (!view || add_members(view, api, err) < 0)
		return -1;
	reply_json(response, 200, view, network_view_fields);
	return 0;
}

DOCKER_HANDLER(docker_network_remove)
{
	struct docker_api *api = context;
	AUTO(network_views_fini) struct network_views views = { 0 };
	const struct network_view *view;

	(void)response;
	make_views(&views, api);
	view = find_view(&views, http_param(request, "id"), err);
	if (!view)
		return -1;
	return error_set(err, ERR_FORBIDDEN, "%s is a pre-defined network and cannot be removed", view->name);
}

/* Pre-defined networks are never pruned, and there are no others. */
DOCKER_HANDLER(docker_network_prune)
{
	static const char *const allowed[] = { "label", "label!", "until", NULL };
	AUTO(filter_set_fini) struct filter_set filters = { 0 };

	(void)context;
	if (query_filters(&filters, request, allowed, err) < 0)
		return -1;
	reply_json_take(response, 200, xstrdup("{\"NetworksDeleted\":null}"));
	return 0;
}
