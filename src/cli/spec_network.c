/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/members.h"
#include "cli/spec.h"

void network_options_fini(struct network_options *networks)
{
	for (size_t i = 0; i < networks->count; i++) {
		struct network_option *network = &networks->items[i];

		free(network->target);
		text_list_fini(&network->aliases);
		text_list_fini(&network->links);
		text_list_fini(&network->link_local_ips);
		text_map_fini(&network->driver_options);
		free(network->ip);
		free(network->ip6);
		free(network->mac_address);
	}
	free(networks->items);
	*networks = (struct network_options){ 0 };
}

bool spec_network_is_user_defined(const char *name)
{
	return !text_equal(name, "default") && !text_equal(name, "bridge") && !text_equal(name, "host") &&
	       !text_equal(name, "none") && !text_has_prefix(name, "container:");
}

/* name=x,alias=y rather than a name: some word = some word. */
static bool is_long(const char *value)
{
	for (const char *at = value; (at = strchr(at, '=')); at++)
		if (at > value && (isalnum((unsigned char)at[-1]) || at[-1] == '_') &&
		    (isalnum((unsigned char)at[1]) || at[1] == '_'))
			return true;
	return false;
}

static int set_driver_option(struct network_option *network, const char *pair, struct error *err)
{
	const char *value;
	AUTO_FREE char *key = spec_cut(pair, &value);

	if (!value || *key == '\0')
		return error_set(err, ERR_INVALID, "invalid key value pair format in driver options");
	text_map_set(&network->driver_options, key, value);
	return 0;
}

static void set_owned(char **member, const char *value)
{
	free(*member);
	*member = xstrdup(value);
}

static int set_field(struct network_option *network, const char *field, struct error *err)
{
	AUTO_FREE char *lower = xstrdup(field);
	AUTO_FREE char *key = NULL;
	const char *value;

	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	key = spec_cut(lower, &value);
	if (!value || *key == '\0')
		return error_set(err, ERR_INVALID, "invalid field %s", field);
	if (text_equal(key, "name"))
		set_owned(&network->target, value);
	else if (text_equal(key, "alias"))
		text_list_add(&network->aliases, value);
	else if (text_equal(key, "ip"))
		set_owned(&network->ip, value);
	else if (text_equal(key, "ip6"))
		set_owned(&network->ip6, value);
	else if (text_equal(key, "mac-address"))
		set_owned(&network->mac_address, value);
	else if (text_equal(key, "link-local-ip"))
		text_list_add(&network->link_local_ips, value);
	else if (text_equal(key, "driver-opt"))
		return set_driver_option(network, value, err);
	else if (!text_equal(key, "gw-priority"))
		return error_set(err, ERR_INVALID, "invalid field key %s", key);
	else if (text_parse_i64(&network->gateway_priority, value, INT64_MIN, INT64_MAX) < 0)
		return error_set(err, ERR_INVALID, "invalid gw-priority (%s): invalid syntax", value);
	return 0;
}

int spec_network(struct network_options *networks, const char *value, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	struct network_option *network;

	networks->items = xgrow(networks->items, &networks->capacity, networks->count + 1, sizeof(*networks->items));
	network = &networks->items[networks->count++];
	*network = (struct network_option){ 0 };
	if (!is_long(value)) {
		network->target = xstrdup(value);
		return 0;
	}
	if (spec_csv(&fields, value, err) < 0)
		return -1;
	for (size_t i = 0; i < fields.count; i++)
		if (set_field(network, fields.items[i], err) < 0)
			return -1;
	if (text_empty(network->target))
		return error_set(err, ERR_INVALID, "network name/id is not specified");
	return 0;
}

static bool is_mac(const char *text)
{
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' && text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	return text[17] == '\0';
}

static void add_ipam(struct text *out, const struct network_option *network)
{
	if (text_empty(network->ip) && text_empty(network->ip6) && !network->link_local_ips.count)
		return;
	members_key(out, "IPAMConfig");
	text_add_char(out, '{');
	if (!text_empty(network->ip))
		members_text(out, "IPv4Address", network->ip);
	if (!text_empty(network->ip6))
		members_text(out, "IPv6Address", network->ip6);
	if (network->link_local_ips.count)
		members_list(out, "LinkLocalIPs", &network->link_local_ips);
	text_add_char(out, '}');
}

int spec_endpoint_json(struct text *out, const struct network_option *network, struct error *err)
{
	if (text_empty(network->target))
		return error_set(err, ERR_INVALID, "no name set for network");
	if (!spec_network_is_user_defined(network->target) && network->aliases.count)
		return error_set(err, ERR_INVALID,
				 "network-scoped aliases are only supported for user-defined networks");
	if (!spec_network_is_user_defined(network->target) && network->links.count)
		return error_set(err, ERR_INVALID, "links are only supported for user-defined networks");
	if (!text_empty(network->mac_address) && !is_mac(network->mac_address))
		return error_set(err, ERR_INVALID, "%s is not a valid mac address", network->mac_address);
	text_add_char(out, '{');
	add_ipam(out, network);
	if (network->links.count)
		members_list(out, "Links", &network->links);
	if (network->aliases.count)
		members_list(out, "Aliases", &network->aliases);
	if (!text_empty(network->mac_address))
		members_text(out, "MacAddress", network->mac_address);
	if (network->driver_options.count)
		members_map(out, "DriverOpts", &network->driver_options);
	if (network->gateway_priority)
		members_integer(out, "GwPriority", network->gateway_priority);
	text_add_char(out, '}');
	return 0;
}
