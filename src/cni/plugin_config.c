/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cni/plugin.h"

/* clang-format off */
static const struct json_field range_fields[] = {
	JSON_TEXT("subnet", struct ipam_range, subnet, 0),
	JSON_TEXT("rangeStart", struct ipam_range, first, 0),
	JSON_TEXT("rangeEnd", struct ipam_range, last, 0),
	JSON_TEXT("gateway", struct ipam_range, gateway, 0),
	JSON_END,
};

static const struct json_field set_fields[] = {
	JSON_ARRAY("", struct ipam_range_set, ranges, range_fields, 0),
	JSON_END,
};

static const struct json_field ipam_fields[] = {
	JSON_TEXT("type", struct ipam_config, type, 0),
	JSON_TEXT("subnet", struct ipam_config, range.subnet, 0),
	JSON_TEXT("rangeStart", struct ipam_config, range.first, 0),
	JSON_TEXT("rangeEnd", struct ipam_config, range.last, 0),
	JSON_TEXT("gateway", struct ipam_config, range.gateway, 0),
	JSON_ARRAY("ranges", struct ipam_config, sets, set_fields, 0),
	JSON_ARRAY("routes", struct ipam_config, routes, cni_route_fields, 0),
	JSON_TEXT("dataDir", struct ipam_config, folder, 0),
	JSON_TEXT("resolvConf", struct ipam_config, resolv_conf, 0),
	JSON_END,
};

static const struct json_field port_fields[] = {
	JSON_U32("hostPort", struct port_mapping, host_port, 0),
	JSON_U32("containerPort", struct port_mapping, container_port, 0),
	JSON_TEXT("protocol", struct port_mapping, protocol, 0),
	JSON_TEXT("hostIP", struct port_mapping, host_ip, 0),
	JSON_END,
};

static const struct json_field runtime_fields[] = {
	JSON_ARRAY("portMappings", struct runtime_config, ports, port_fields, 0),
	JSON_TEXT_LIST("ips", struct runtime_config, ips, 0),
	JSON_TEXT("mac", struct runtime_config, mac, 0),
	JSON_ARRAY("ipRanges", struct runtime_config, sets, set_fields, 0),
	JSON_END,
};

static const struct json_field attachment_fields[] = {
	JSON_TEXT("containerID", struct plugin_attachment, container, JSON_REQUIRED),
	JSON_TEXT("ifname", struct plugin_attachment, interface, JSON_REQUIRED),
	JSON_END,
};

#define T struct plugin_config
const struct json_field plugin_config_fields[] = {
	JSON_TEXT("cniVersion", T, version, 0),
	JSON_TEXT("name", T, name, 0),
	JSON_TEXT("type", T, type, 0),
	JSON_TEXT("bridge", T, bridge, 0),
	JSON_BOOL("isGateway", T, is_gateway, 0),
	JSON_BOOL("isDefaultGateway", T, is_default_gateway, 0),
	JSON_BOOL("forceAddress", T, force_address, 0),
	JSON_BOOL("ipMasq", T, masquerade, 0),
	JSON_BOOL("hairpinMode", T, hairpin, 0),
	JSON_BOOL("portIsolation", T, isolated, 0),
	JSON_BOOL("promiscMode", T, promiscuous, 0),
	JSON_I64("mtu", T, mtu, 0),
	JSON_I64("vlan", T, vlan, 0),
	JSON_BOOL("macspoofchk", T, check_mac, 0),
	JSON_TEXT("ingressPolicy", T, ingress_policy, 0),
	JSON_OPT_BOOL("snat", T, snat, 0),
	JSON_OBJECT("ipam", T, ipam, ipam_fields, 0),
	JSON_OBJECT("dns", T, dns, cni_dns_fields, 0),
	JSON_OBJECT("runtimeConfig", T, runtime, runtime_fields, 0),
	JSON_POINTER("prevResult", T, previous, cni_result_fields, 0),
	JSON_ARRAY("cni.dev/valid-attachments", T, valid, attachment_fields, 0),
	JSON_END,
};
#undef T
/* clang-format on */

bool attachment_is_valid(const struct plugin_config *config, const char *container, const char *interface)
{
	for (size_t i = 0; i < config->valid.count; i++)
		if (text_equal(config->valid.items[i].container, container) &&
		    text_equal(config->valid.items[i].interface, interface))
			return true;
	return false;
}

char *call_argument(const struct plugin_call *call, const char *key)
{
	AUTO(text_list_fini) struct text_list pairs = { 0 };
	const char *value;

	text_list_split(&pairs, call->arguments, ';');
	value = text_list_env(&pairs, key);
	return value ? xstrdup(value) : NULL;
}

int need_previous(const struct plugin_config *config, struct error *err)
{
	if (config->previous)
		return 0;
	return error_set(err, ERR_INVALID, "%s must be called in a chain, behind a plugin that makes an interface",
			 config->type);
}

int plugin_always_ready(const struct plugin_call *call, const struct plugin_config *config,
			struct cni_result *out_result, struct error *err)
{
	(void)call;
	(void)config;
	(void)out_result;
	(void)err;
	return 0;
}
