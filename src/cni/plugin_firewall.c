/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a FORWARD chain of another program that drops is asked to let the network's bridge through, as long as
 * the network has a container. With ingressPolicy "same-bridge" containers are reached from their own bridge, from
 * outside and by published ports, but not from other networks of this policy.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cni/plugin.h"
#include "cni/rules.h"
#include "network/foreign.h"
#include "sys/netlink.h"

#define NAME "firewall"

/* The first interface on the host: the bridge. */
static const char *find_bridge(const struct cni_result *result)
{
	for (size_t i = 0; result && i < result->interfaces.count; i++)
		if (text_empty(result->interfaces.items[i].sandbox) && !text_empty(result->interfaces.items[i].name))
			return result->interfaces.items[i].name;
	return NULL;
}

static void add_apart(struct rule_elements *elements, const struct cni_result *result, const char *bridge)
{
	for (size_t i = 0; i < result->ips.count; i++) {
		struct net_address address;
		char text[NET_ADDRESS_TEXT_MAX];
		bool v6;

		if (net_address_parse(&address, result->ips.items[i].address) < 0)
			continue;
		v6 = address.family == AF_INET6;
		net_address_format(text, &address);
		rule_elements_addf(elements, v6 ? "apart6" : "apart4", "%s", text);
		rule_elements_addf(elements, v6 ? "sealed6" : "sealed4", "%s . \"%s\"", text, bridge);
	}
}

static int add(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
	       struct error *err)
{
	AUTO(rule_elements_fini) struct rule_elements elements = { 0 };
	const char *policy = text_or_empty(config->ingress_policy);
	const char *bridge = find_bridge(config->previous);

	if (need_previous(config, err) < 0)
		return -1;
	if (*policy && !text_equal(policy, "open") && !text_equal(policy, "same-bridge"))
		return error_set(err, ERR_INVALID, "ingressPolicy \"%s\" is none of open, same-bridge", policy);
	if (text_equal(policy, "same-bridge") && !bridge)
		return error_set(err, ERR_INVALID, "ingressPolicy same-bridge, but no earlier plugin made a bridge");
	if (text_equal(policy, "same-bridge"))
		add_apart(&elements, config->previous, bridge);
	if (rules_add(call, config, NAME, &elements, err) < 0)
		return -1;
	if (bridge)
		foreign_admit(bridge);
	json_copy_fields(out_result, config->previous, cni_result_fields);
	return 0;
}

static int delete (const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	const char *bridge = find_bridge(config->previous);

	(void)out_result;
	if (rules_remove(call, NAME, err) < 0)
		return -1;
	if (bridge && !rules_has_record(config->name, NAME))
		foreign_withdraw(bridge);
	return 0;
}

static int check(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		 struct error *err)
{
	const char *bridge = find_bridge(config->previous);

	(void)out_result;
	if (need_previous(config, err) < 0 || rules_check(call, NAME, err) < 0)
		return -1;
	if (bridge && foreign_drops(bridge))
		return error_set(err, ERR_CONFLICT, "another firewall's FORWARD chain drops what %s forwards", bridge);
	return 0;
}

static int collect(const struct plugin_call *call, const struct plugin_config *config, struct cni_result *out_result,
		   struct error *err)
{
	(void)call;
	(void)out_result;
	return rules_collect(config, NAME, err);
}

const struct plugin plugin_firewall = { NAME, add, delete, check, collect, plugin_always_ready };
