/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_network.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "engine/engine_private.h"
#include "engine/network_cni.h"
#include "engine/network_options.h"

/* ---- tables ---- */

static const struct json_field ipam_config_fields[] = {
	JSON_TEXT("Subnet", struct ipam_config, subnet, JSON_OMIT_EMPTY),
	JSON_TEXT("IPRange", struct ipam_config, ip_range, JSON_OMIT_EMPTY),
	JSON_TEXT("Gateway", struct ipam_config, gateway, JSON_OMIT_EMPTY),
	JSON_TEXT_MAP("AuxiliaryAddresses", struct ipam_config, auxiliary, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field ipam_fields[] = {
	JSON_TEXT("Driver", struct ipam, driver, 0),
	JSON_TEXT_MAP("Options", struct ipam, options, JSON_EMPTY_NULL),
	JSON_ARRAY("Config", struct ipam, config, ipam_config_fields, 0),
	JSON_END,
};

static const struct json_field config_from_fields[] = {
	JSON_TEXT("Network", struct config_from, network, 0),
	JSON_END,
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

#define N struct engine_network
const struct json_field engine_network_fields[] = {
	JSON_TEXT("Name", N, name, 0),
	JSON_TEXT("Id", N, id, 0),
	JSON_TEXT("Created", N, created, 0),
	JSON_TEXT("Scope", N, scope, 0),
	JSON_TEXT("Driver", N, driver, 0),
	JSON_BOOL("EnableIPv4", N, enable_ipv4, 0),
	JSON_BOOL("EnableIPv6", N, enable_ipv6, 0),
	JSON_OBJECT("IPAM", N, ipam, ipam_fields, 0),
	JSON_BOOL("Internal", N, internal, 0),
	JSON_BOOL("Attachable", N, attachable, 0),
	JSON_BOOL("Ingress", N, ingress, 0),
	JSON_OBJECT("ConfigFrom", N, config_from, config_from_fields, 0),
	JSON_BOOL("ConfigOnly", N, config_only, 0),
	JSON_MAP("Containers", N, containers, network_member_fields, 0),
	JSON_TEXT_MAP("Options", N, options, 0),
	JSON_TEXT_MAP("Labels", N, labels, 0),
	JSON_END,
};
#undef N

#define R struct network_create_request
const struct json_field network_create_request_fields[] = {
	JSON_TEXT("Name", R, name, 0),
	JSON_TEXT("Driver", R, driver, 0),
	JSON_TEXT("Scope", R, scope, 0),
	JSON_BOOL("Internal", R, internal, 0),
	JSON_BOOL("Attachable", R, attachable, 0),
	JSON_BOOL("Ingress", R, ingress, 0),
	JSON_BOOL("ConfigOnly", R, config_only, 0),
	JSON_POINTER("ConfigFrom", R, config_from, config_from_fields, 0),
	JSON_OPT_BOOL("EnableIPv4", R, enable_ipv4, 0),
	JSON_OPT_BOOL("EnableIPv6", R, enable_ipv6, 0),
	JSON_POINTER("IPAM", R, ipam, ipam_fields, 0),
	JSON_TEXT_MAP("Options", R, options, 0),
	JSON_TEXT_MAP("Labels", R, labels, 0),
	JSON_END,
};
#undef R

const struct json_field network_connect_request_fields[] = {
	JSON_TEXT("Container", struct network_connect_request, container, 0),
	JSON_POINTER("EndpointConfig", struct network_connect_request, endpoint, endpoint_settings_fields, 0),
	JSON_END,
};

const struct json_field network_disconnect_request_fields[] = {
	JSON_TEXT("Container", struct network_disconnect_request, container, 0),
	JSON_BOOL("Force", struct network_disconnect_request, force, 0),
	JSON_END,
};

const struct json_field network_prune_report_fields[] = {
	JSON_TEXT_LIST("NetworksDeleted", struct network_prune_report, deleted, JSON_EMPTY_NULL),
	JSON_END,
};

const char *const network_filter_keys[] = { "dangling", "driver", "id", "label", "name", "scope", "type", NULL };
const char *const network_prune_filter_keys[] = { "label", "label!", "until", NULL };

void engine_network_fini(struct engine_network *network)
{
	json_free_fields(network, engine_network_fields);
}

void engine_networks_fini(struct engine_networks *networks)
{
	json_free_array(networks, engine_network_fields, sizeof(*networks->items));
}

bool engine_network_is_user_defined(const struct engine_network *network)
{
	return !text_equal(network->name, "bridge") && !text_equal(network->name, "host") &&
	       !text_equal(network->name, "none");
}

bool engine_network_has_links(const struct engine_network *network)
{
	return !text_equal(network->driver, "host") && !text_equal(network->driver, "null");
}

void engine_network_bridge(char out_name[16], const struct engine *engine, const struct engine_network *network)
{
	const char *chosen = text_map_get(&network->options, "com.docker.network.bridge.name");

	if (text_equal(network->name, "bridge"))
		snprintf(out_name, 16, "%s", engine->bridge);
	else if (text_equal(network->driver, "macvlan"))
		snprintf(out_name, 16, "dm-%.12s", network->id);
	else if (text_equal(network->driver, "ipvlan"))
		snprintf(out_name, 16, "di-%.12s", network->id);
	else if (network_is_cni(network))
		snprintf(out_name, 16, "cn-%.12s", network->id);
	else if (!text_empty(chosen))
		snprintf(out_name, 16, "%s", chosen);
	else
		snprintf(out_name, 16, "br-%.12s", network->id);
}

void engine_network_event(struct engine *engine, const struct engine_network *network, const char *action,
			  const char *container_id)
{
	struct text_map attributes = { 0 };

	if (container_id)
		text_map_set(&attributes, "container", container_id);
	text_map_set(&attributes, "name", network->name);
	text_map_set(&attributes, "type", network->driver);
	event_publish(engine->events, "network", action, network->id, &attributes);
	text_map_fini(&attributes);
}

/* ---- built-in ---- */

static void add_subnet(struct engine_network *network, const char *subnet, const char *gateway)
{
	struct ipam_config *config;

	if (text_empty(subnet))
		return;
	config = json_array_add(&network->ipam.config, sizeof(*config));
	config->subnet = xstrdup(subnet);
	config->gateway = text_empty(gateway) ? NULL : xstrdup(gateway);
}

static void fill_common(struct engine_network *network, const char *name, const char *id, const char *driver)
{
	network->name = xstrdup(name);
	network->id = xstrdup(id);
	network->scope = xstrdup("local");
	network->driver = xstrdup(driver);
	network->ipam.driver = xstrdup("default");
	network->config_from.network = xstrdup("");
}

static void fill_builtin(struct engine_network *network, const struct engine *engine, enum engine_network_kind kind)
{
	static const char *const names[] = { "bridge", "host", "none" };
	static const char *const drivers[] = { "bridge", "host", "null" };
	const struct network_bridge *bridge = &engine->default_bridge;
	AUTO_FREE char *mtu = xasprintf("%u", bridge->mtu ? bridge->mtu : 1500);
	char created[CLOCK_TEXT_MAX];

	fill_common(network, names[kind], engine->network_ids[kind], drivers[kind]);
	network->created = xstrdup(clock_format(created, engine->opened_ns));
	network->enable_ipv4 = true;
	if (kind != ENGINE_NETWORK_BRIDGE)
		return;
	network->enable_ipv6 = engine->bridge_info.subnet6[0] != '\0';
	text_map_set(&network->options, "com.docker.network.bridge.default_bridge", "true");
	text_map_set(&network->options, "com.docker.network.bridge.enable_icc",
		     bridge->no_inter_container ? "false" : "true");
	text_map_set(&network->options, "com.docker.network.bridge.enable_ip_masquerade",
		     bridge->no_masquerade ? "false" : "true");
	text_map_set(&network->options, "com.docker.network.bridge.host_binding_ipv4",
		     bridge->host_ip ? bridge->host_ip : "0.0.0.0");
	text_map_set(&network->options, "com.docker.network.bridge.name", engine->bridge);
	text_map_set(&network->options, "com.docker.network.driver.mtu", mtu);
	add_subnet(network, engine->bridge_info.subnet, engine->bridge_info.gateway);
	add_subnet(network, engine->bridge_info.subnet6, engine->bridge_info.gateway6);
}

static bool has_builtin(const struct engine *engine, int kind)
{
	return kind != ENGINE_NETWORK_BRIDGE || engine->network;
}

/* ---- rows ---- */

/* A network and what is not shown of it. */
struct stored_network {
	struct engine_network network;
	bool chosen4;
	bool chosen6;
};

static const struct json_field stored_network_fields[] = {
	JSON_OBJECT("network", struct stored_network, network, engine_network_fields, 0),
	JSON_BOOL("chosenIPv4", struct stored_network, chosen4, 0),
	JSON_BOOL("chosenIPv6", struct stored_network, chosen6, 0),
	JSON_END,
};

static int load_document(struct engine_network *network, const char *text, struct error *err)
{
	struct stored_network stored = { 0 };

	if (json_decode(&stored, stored_network_fields, text, strlen(text), err) < 0)
		return -1;
	*network = stored.network;
	network->chosen4 = stored.chosen4;
	network->chosen6 = stored.chosen6;
	return 0;
}

/* All of them, built-in ones first. */
static int load_all(struct engine_networks *networks, struct engine *engine, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	for (int kind = 0; kind < ENGINE_NETWORK_COUNT; kind++)
		if (has_builtin(engine, kind))
			fill_builtin(json_array_add(networks, sizeof(*networks->items)), engine,
				     (enum engine_network_kind)kind);
	if (query_new(&query, store_database(engine->store), "SELECT document FROM networks ORDER BY created", err) < 0)
		return -1;
	while ((r = query_next(query, err)) > 0) {
		AUTO(error_clear) struct error problem = { 0 };
		struct engine_network network = { 0 };

		/* One broken row must not keep all others from working. */
		if (load_document(&network, query_text(query, 0), &problem) < 0)
			engine_log_error(engine, "a stored network cannot be read", "", &problem);
		else
			memcpy(json_array_add(networks, sizeof(network)), &network, sizeof(network));
	}
	return r;
}

static int insert(struct engine *engine, const struct engine_network *network, struct error *err)
{
	AUTO(transaction_freep) struct transaction *transaction = NULL;
	AUTO(query_freep) struct query *query = NULL;
	const struct stored_network stored = { *network, network->chosen4, network->chosen6 };
	AUTO_FREE char *text = json_encode(&stored, stored_network_fields);

	if (transaction_begin(&transaction, store_database(engine->store), FILE_SYNC_ALL, err) < 0 ||
	    query_new(&query, store_database(engine->store),
		      "INSERT INTO networks (id, name, created, document) VALUES (?1, ?2, ?3, ?4)", err) < 0)
		return -1;
	query_bind_text(query, 1, network->id);
	query_bind_text(query, 2, network->name);
	query_bind_i64(query, 3, clock_wall_ns());
	query_bind_text(query, 4, text);
	if (query_run(query, err) < 0)
		return -1;
	query_reset(query);
	return transaction_commit(transaction, err);
}

static int delete_row(struct engine *engine, const char *id, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;

	if (query_new(&query, store_database(engine->store), "DELETE FROM networks WHERE id = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, id);
	return query_run(query, err) < 0 ? -1 : 0;
}

/* ---- looking ---- */

static int find_stored(struct engine_network *out_network, struct engine *engine, const char *name, struct error *err)
{
	AUTO(query_freep) struct query *query = NULL;
	int r;

	if (query_new(&query, store_database(engine->store), "SELECT document FROM networks WHERE name = ?1", err) < 0)
		return -1;
	query_bind_text(query, 1, name);
	r = query_next(query, err);
	if (r > 0 && load_document(out_network, query_text(query, 0), err) < 0)
		return error_prefix(err, "network %s", name);
	return r;
}

static int find_by_id(struct engine_network *out_network, struct engine *engine, const char *name, struct error *err)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };
	struct engine_network *found = NULL;
	size_t matches = 0;

	if (load_all(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.count; i++) {
		if (!text_has_prefix(all.items[i].id, name))
			continue;
		found = &all.items[i];
		matches++;
	}
	if (matches > 1)
		return error_set(err, ERR_INVALID, "network %s is ambiguous (%zu matches found on ID prefix)", name,
				 matches);
	if (!found)
		return error_set(err, ERR_NOT_FOUND, "network %s not found", name);
	*out_network = *found;
	memset(found, 0, sizeof(*found));
	return 0;
}

int engine_network_find(struct engine_network *out_network, struct engine *engine, const char *name, struct error *err)
{
	static const char *const names[] = { "bridge", "host", "none" };
	int r;

	if (text_empty(name))
		return error_set(err, ERR_NOT_FOUND, "network  not found");
	if (text_equal(name, "default"))
		name = "bridge";
	for (int kind = 0; kind < ENGINE_NETWORK_COUNT; kind++) {
		if (!has_builtin(engine, kind) ||
		    (!text_equal(name, names[kind]) && !text_equal(name, engine->network_ids[kind])))
			continue;
		fill_builtin(out_network, engine, (enum engine_network_kind)kind);
		return 0;
	}
	r = find_stored(out_network, engine, name, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	return find_by_id(out_network, engine, name, err);
}

static void add_member(struct engine_network *network, const struct container *container,
		       const struct endpoint_settings *endpoint)
{
	struct network_member *member = json_array_add(&network->containers, sizeof(*member));

	member->id = xstrdup(container->id);
	member->name = xstrdup(container->document.name);
	member->endpoint_id = xstrdup(text_or_empty(endpoint->endpoint_id));
	member->mac_address = xstrdup(text_or_empty(endpoint->mac_address));
	member->ipv4_address = text_empty(endpoint->ip_address)
				       ? xstrdup("")
				       : xasprintf("%s/%lld", endpoint->ip_address, (long long)endpoint->ip_prefix_len);
	member->ipv6_address = text_empty(endpoint->global_ipv6_address)
				       ? xstrdup("")
				       : xasprintf("%s/%lld", endpoint->global_ipv6_address,
						   (long long)endpoint->global_ipv6_prefix_len);
}

static bool is_on(const struct endpoint_settings *endpoint, const struct engine_network *network)
{
	return text_empty(endpoint->network_id) ? text_equal(endpoint->network, network->name)
						: text_equal(endpoint->network_id, network->id);
}

/* The containers that are on it; all, or those that run. */
static void add_members(struct engine_network *network, struct engine *engine, bool all)
{
	struct container **items;
	size_t count = container_all(&items, engine);

	for (size_t i = 0; i < count; i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&items[i]->mutex);
		const struct endpoint_map *endpoints = &items[i]->document.networking.endpoints;

		if (!all && !items[i]->document.state.running)
			continue;
		for (size_t j = 0; j < endpoints->count; j++)
			if (is_on(&endpoints->items[j], network))
				add_member(network, items[i], &endpoints->items[j]);
	}
	container_all_free(items, count);
}

int engine_network_inspect(struct engine_network *out_network, struct engine *engine, const char *name,
			   struct error *err)
{
	if (engine_network_find(out_network, engine, name, err) < 0)
		return -1;
	add_members(out_network, engine, false);
	return 0;
}

static bool fits(const struct engine_network *network, const struct filter_set *filters)
{
	const char *type = engine_network_is_user_defined(network) ? "custom" : "builtin";

	return filter_match_exact(filters, "driver", network->driver) &&
	       filter_match_prefix(filters, "id", network->id) &&
	       filter_match_pattern(filters, "name", network->name) &&
	       filter_match_exact(filters, "scope", network->scope) && filter_match_exact(filters, "type", type) &&
	       filter_match_labels(filters, "label", &network->labels);
}

/* Built-in networks always count as used. */
static bool is_dangling(const struct engine_network *network, struct engine *engine)
{
	struct engine_network copy = { 0 };
	bool dangling;

	if (!engine_network_is_user_defined(network))
		return false;
	json_copy_fields(&copy, network, engine_network_fields);
	add_members(&copy, engine, true);
	dangling = copy.containers.count == 0;
	engine_network_fini(&copy);
	return dangling;
}

static int check_type_filter(const struct filter_set *filters, struct error *err)
{
	const struct text_list *types = filter_values(filters, "type");

	for (size_t i = 0; types && i < types->count; i++)
		if (!text_equal(types->items[i], "custom") && !text_equal(types->items[i], "builtin"))
			return error_set(err, ERR_INVALID, "invalid filter: 'type'='%s'", types->items[i]);
	return 0;
}

int engine_network_list(struct engine_networks *out_networks, struct engine *engine, const struct filter_set *filters,
			struct error *err)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };
	bool dangling = false;

	if (filter_bool(&dangling, filters, "dangling", false, err) < 0 || check_type_filter(filters, err) < 0 ||
	    load_all(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.count; i++) {
		if (!fits(&all.items[i], filters) ||
		    (filter_has(filters, "dangling") && is_dangling(&all.items[i], engine) != dangling))
			continue;
		json_copy_fields(json_array_add(out_networks, sizeof(*out_networks->items)), &all.items[i],
				 engine_network_fields);
	}
	return 0;
}

/* ---- one change at a time ---- */

static void begin_change(struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->networks_mutex);

	while (engine->networks_change)
		condition_wait(&engine->networks_changed, &engine->networks_mutex);
	engine->networks_change = true;
}

static void end_change(struct engine *engine)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&engine->networks_mutex);

	engine->networks_change = false;
	condition_broadcast(&engine->networks_changed);
}

/* ---- bridges ---- */

/* A network keeps its subnets also while it is not set up: nobody else's are chosen from them. */
static int read_taken(struct text_list *out_subnets, struct engine *engine, struct error *err)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };

	if (load_all(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.count; i++) {
		const struct ipam *ipam = &all.items[i].ipam;

		for (size_t j = 0; j < ipam->config.count && !all.items[i].config_only; j++)
			if (!text_empty(ipam->config.items[j].subnet))
				text_list_add(out_subnets, ipam->config.items[j].subnet);
	}
	return 0;
}

static int add_bridge(struct network_bridge_info *out_info, struct engine *engine, struct network_bridge *bridge,
		      struct error *err)
{
	AUTO(text_list_fini) struct text_list taken = { 0 };

	if (network_bridge_chooses(bridge) && read_taken(&taken, engine, err) < 0)
		return -1;
	bridge->taken = (const char *const *)taken.items;
	bridge->taken_count = taken.count;
	return network_bridge_add(engine->network, bridge, out_info, err);
}

int engine_network_raise_default(struct engine *engine, struct error *err)
{
	struct network_bridge bridge = engine->default_bridge;

	return add_bridge(&engine->bridge_info, engine, &bridge, err);
}

static int raise(struct network_bridge_info *out_info, struct engine *engine, const struct engine_network *network,
		 struct error *err)
{
	struct network_bridge bridge;
	char name[16];
	const char *reserved[NETWORK_RESERVED_MAX];

	engine_network_bridge(name, engine, network);
	if (network_options_read(&bridge, reserved, network, err) < 0)
		return -1;
	bridge.name = name;
	return add_bridge(out_info, engine, &bridge, err);
}

int engine_network_raise(struct engine *engine, const struct engine_network *network, struct error *err)
{
	struct network_bridge_info info;
	int r;

	if (!engine->network)
		return error_set(err, ERR_UNSUPPORTED, "this engine runs without a bridge");
	begin_change(engine);
	r = raise(&info, engine, network, err);
	end_change(engine);
	return r;
}

int engine_networks_raise_all(struct engine *engine, struct error *err)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };

	if (!engine->network)
		return 0;
	if (load_all(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.count; i++) {
		AUTO(error_clear) struct error problem = { 0 };
		struct network_bridge_info info;

		if (engine_network_is_user_defined(&all.items[i]) && engine_network_has_links(&all.items[i]) &&
		    !all.items[i].config_only && raise(&info, engine, &all.items[i], &problem) < 0)
			engine_log_error(engine, "a network could not be set up", all.items[i].name, &problem);
	}
	return 0;
}

/* ---- create ---- */

static int check_name(const char *name, struct error *err)
{
	bool blank = true;
	bool legal = true;

	for (const char *c = text_or_empty(name); *c; c++) {
		blank = blank && isspace((unsigned char)*c);
		legal = legal && !iscntrl((unsigned char)*c) && *c != '/';
	}
	if (blank)
		return error_set(err, ERR_INVALID, "invalid network name: name is empty");
	if (!legal || strlen(name) > 255)
		return error_set(err, ERR_INVALID,
				 "invalid network name (%s): slashes and control characters are not allowed, nor more "
				 "than 255 bytes",
				 name);
	if (text_equal(name, "bridge") || text_equal(name, "host") || text_equal(name, "none") ||
	    text_equal(name, "default"))
		return error_set(err, ERR_FORBIDDEN, "operation is not permitted on predefined %s network", name);
	return 0;
}

static int check_driver(const struct network_create_request *request, struct error *err)
{
	const char *driver = request->driver;

	if (text_empty(driver) || text_equal(driver, "bridge") || text_equal(driver, "macvlan") ||
	    text_equal(driver, "ipvlan") || text_equal(driver, "vxlan") || text_equal(driver, "cni"))
		return 0;
	if (text_equal(driver, "host") || text_equal(driver, "null"))
		return error_set(err, ERR_FORBIDDEN, "only one instance of \"%s\" network is allowed", driver);
	if (text_equal(driver, "overlay"))
		return text_map_get(&request->options, "peers")
			       ? 0
			       : error_set(err, ERR_UNAVAILABLE,
					   "This node is not a swarm manager. Use \"docker swarm init\" or "
					   "\"docker swarm join\" to connect this node to swarm and try again. (An "
					   "overlay between hosts without a swarm: options vni and peers.)");
	return error_set(err, ERR_NOT_FOUND, "could not resolve driver %s in v2 plugin: plugin \"%s\" not found",
			 driver, driver);
}

/* What was asked for, as it will be stored; subnets are chosen later. */
static void fill_created(struct engine_network *network, const struct network_create_request *request)
{
	char created[CLOCK_TEXT_MAX], id[65];

	random_hex(id, 32);
	fill_common(network, request->name, id, text_empty(request->driver) ? "bridge" : request->driver);
	network->created = xstrdup(clock_format(created, clock_wall_ns()));
	network->enable_ipv4 = optional_bool_or(request->enable_ipv4, true);
	network->enable_ipv6 = optional_bool_or(request->enable_ipv6, false);
	network->internal = request->internal;
	network->attachable = request->attachable;
	network->config_only = request->config_only;
	text_map_copy(&network->options, &request->options);
	text_map_copy(&network->labels, &request->labels);
	if (!request->ipam)
		return;
	free(network->ipam.driver);
	memset(&network->ipam, 0, sizeof(network->ipam));
	json_copy_fields(&network->ipam, request->ipam, ipam_fields);
	if (text_empty(network->ipam.driver)) {
		free(network->ipam.driver);
		network->ipam.driver = xstrdup("default");
	}
}

/* --config-from: what another network was made to lend. */
static int take_config(struct engine_network *network, struct engine *engine, const char *from, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network source = { 0 };

	if (engine_network_find(&source, engine, from, err) < 0)
		return -1;
	if (!source.config_only)
		return error_set(err, ERR_FORBIDDEN, "network %s is not a configuration network", from);
	if (network->options.count || network->ipam.config.count)
		return error_set(err, ERR_FORBIDDEN,
				 "user specified configurations are not supported if the network depends on a "
				 "configuration network");
	free(network->config_from.network);
	network->config_from.network = xstrdup(source.name);
	text_map_copy(&network->options, &source.options);
	json_free_fields(&network->ipam, ipam_fields);
	json_copy_fields(&network->ipam, &source.ipam, ipam_fields);
	network->enable_ipv4 = source.enable_ipv4;
	network->enable_ipv6 = source.enable_ipv6;
	network->internal |= source.internal;
	return 0;
}

static struct ipam_config *config_of(struct engine_network *network, bool ipv6)
{
	for (size_t i = 0; i < network->ipam.config.count; i++) {
		const char *subnet = network->ipam.config.items[i].subnet;

		if (!text_empty(subnet) && (strchr(subnet, ':') != NULL) == ipv6)
			return &network->ipam.config.items[i];
	}
	for (size_t i = 0; i < network->ipam.config.count; i++)
		if (text_empty(network->ipam.config.items[i].subnet))
			return &network->ipam.config.items[i];
	return json_array_add(&network->ipam.config, sizeof(struct ipam_config));
}

/* What was chosen stays with the network for ever. */
static void keep_choice(struct engine_network *network, bool ipv6, const char *subnet, const char *gateway)
{
	struct ipam_config *config;

	if (text_empty(subnet))
		return;
	config = config_of(network, ipv6);
	if (text_empty(config->subnet)) {
		free(config->subnet);
		config->subnet = xstrdup(subnet);
		*(ipv6 ? &network->chosen6 : &network->chosen4) = true;
	}
	if (text_empty(config->gateway) && !network->internal) {
		free(config->gateway);
		config->gateway = xstrdup(gateway);
	}
}

static int check_free_name(struct engine *engine, const char *name, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network existing = { 0 };
	int r = find_stored(&existing, engine, name, err);

	if (r > 0)
		return error_set(err, ERR_CONFLICT, "network with name %s already exists", name);
	return r;
}

static int check_free_bridge(struct engine *engine, const struct engine_network *network, struct error *err)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };
	char wanted[16], taken[16];

	engine_network_bridge(wanted, engine, network);
	if (load_all(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.count; i++) {
		engine_network_bridge(taken, engine, &all.items[i]);
		if (engine_network_has_links(&all.items[i]) && text_equal(taken, wanted))
			return error_set(err, ERR_FORBIDDEN,
					 "cannot create network %s (%s): conflicts with network %s (%s): networks have "
					 "same bridge name",
					 network->id, wanted, all.items[i].id, all.items[i].name);
	}
	return 0;
}

static int make_bridge(struct engine *engine, struct engine_network *network, struct error *err)
{
	struct network_bridge_info info;

	if (network->config_only)
		return 0;
	if (!engine->network)
		return error_set(err, ERR_UNSUPPORTED, "this engine runs without a bridge");
	if (check_free_bridge(engine, network, err) < 0 ||
	    (network_is_cni(network) && network_cni_check(engine, network, err) < 0))
		return -1;
	if (raise(&info, engine, network, err) < 0) {
		if (err->kind == ERR_FORBIDDEN && strstr(err->message, "Pool overlaps"))
			return error_prefix(err, "invalid pool request");
		if (err->kind == ERR_EXHAUSTED)
			err->kind = ERR_INVALID;
		return -1;
	}
	keep_choice(network, false, info.subnet, info.gateway);
	keep_choice(network, true, info.subnet6, info.gateway6);
	return 0;
}

static void undo_bridge(struct engine *engine, const struct engine_network *network)
{
	AUTO(error_clear) struct error ignored = { 0 };
	char name[16];

	engine_network_bridge(name, engine, network);
	if (engine->network && !network->config_only)
		network_bridge_remove(engine->network, name, &ignored);
}

static int create_alone(char **out_id, struct engine *engine, const struct network_create_request *request,
			struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };

	fill_created(&network, request);
	if (check_free_name(engine, request->name, err) < 0 ||
	    (request->config_from && !text_empty(request->config_from->network) &&
	     take_config(&network, engine, request->config_from->network, err) < 0) ||
	    make_bridge(engine, &network, err) < 0)
		return -1;
	if (insert(engine, &network, err) < 0) {
		undo_bridge(engine, &network);
		return -1;
	}
	engine_network_event(engine, &network, "create", NULL);
	*out_id = xstrdup(network.id);
	return 0;
}

int engine_network_create(char **out_id, struct engine *engine, const struct network_create_request *request,
			  struct error *err)
{
	int r;

	if (check_name(request->name, err) < 0 || check_driver(request, err) < 0)
		return -1;
	if (request->ingress || text_equal(request->scope, "swarm") || text_equal(request->scope, "global"))
		return error_set(err, ERR_UNAVAILABLE,
				 "This node is not a swarm manager. Use \"docker swarm init\" or "
				 "\"docker swarm join\" to connect this node to swarm and try again.");
	begin_change(engine);
	r = create_alone(out_id, engine, request, err);
	end_change(engine);
	return r;
}

/* ---- remove ---- */

/* docker's list: name:"web" id:"ed5.." */
static int refuse_used(const struct engine_network *network, struct error *err)
{
	AUTO(text_list_fini) struct text_list users = { 0 };
	AUTO_FREE char *joined = NULL;

	for (size_t i = 0; i < network->containers.count; i++)
		text_list_addf(&users, "name:\"%s\" id:\"%.12s\"", network->containers.items[i].name,
			       network->containers.items[i].endpoint_id);
	joined = text_list_join(&users, ", ");
	return error_set(err, ERR_FORBIDDEN, "error while removing network: network %s has active endpoints (%s)",
			 network->name, joined);
}

static int remove_alone(struct engine *engine, const char *name, struct error *err)
{
	AUTO(engine_network_fini) struct engine_network network = { 0 };
	char bridge[16];

	if (engine_network_inspect(&network, engine, name, err) < 0)
		return -1;
	if (!engine_network_is_user_defined(&network))
		return error_set(err, ERR_FORBIDDEN, "%s is a pre-defined network and cannot be removed", network.name);
	if (network.containers.count)
		return refuse_used(&network, err);
	engine_network_bridge(bridge, engine, &network);
	/* The bridge refuses while somebody starts on it; without it the row would only be in the way. */
	if (engine->network && !network.config_only && network_bridge_remove(engine->network, bridge, err) < 0) {
		if (err->kind == ERR_CONFLICT)
			err->kind = ERR_FORBIDDEN;
		return error_prefix(err, "error while removing network: network %s", network.name);
	}
	if (delete_row(engine, network.id, err) < 0)
		return -1;
	engine_network_event(engine, &network, "destroy", NULL);
	return 0;
}

int engine_network_remove(struct engine *engine, const char *name, struct error *err)
{
	int r;

	begin_change(engine);
	r = remove_alone(engine, name, err);
	end_change(engine);
	return r;
}

static bool is_pruned(const struct engine_network *network, struct engine *engine, const struct filter_set *filters,
		      int64_t until_ns)
{
	int64_t created_ns = 0;

	if (filter_has(filters, "label!") && filter_match_labels(filters, "label!", &network->labels))
		return false;
	if (until_ns && clock_parse(&created_ns, network->created) == 0 && created_ns > until_ns)
		return false;
	return filter_match_labels(filters, "label", &network->labels) && is_dangling(network, engine);
}

int engine_network_prune(struct network_prune_report *out_report, struct engine *engine,
			 const struct filter_set *filters, struct error *err)
{
	AUTO(engine_networks_fini) struct engine_networks all = { 0 };
	int64_t until_ns = 0;

	if (filter_until(&until_ns, filters, err) < 0 || load_all(&all, engine, err) < 0)
		return -1;
	for (size_t i = 0; i < all.count; i++) {
		AUTO(error_clear) struct error problem = { 0 };

		if (!is_pruned(&all.items[i], engine, filters, until_ns))
			continue;
		/* One in use, or gone meanwhile, is simply not pruned. */
		if (engine_network_remove(engine, all.items[i].id, &problem) == 0)
			text_list_add(&out_report->deleted, all.items[i].name);
	}
	return 0;
}
