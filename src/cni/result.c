/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sys/netlink.h"

#define ITEMS_MAX 256

const struct json_field cni_interface_fields[] = {
	JSON_TEXT("name", struct cni_interface, name, 0),
	JSON_TEXT("mac", struct cni_interface, mac, JSON_OMIT_EMPTY),
	JSON_TEXT("sandbox", struct cni_interface, sandbox, JSON_OMIT_EMPTY),
	JSON_END,
};

static const struct json_field ip_fields[] = {
	JSON_TEXT("version", struct cni_ip, version, JSON_OMIT_EMPTY),
	JSON_TEXT("address", struct cni_ip, address, JSON_REQUIRED),
	JSON_TEXT("gateway", struct cni_ip, gateway, JSON_OMIT_EMPTY),
	JSON_OPT_I64("interface", struct cni_ip, interface, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field cni_route_fields[] = {
	JSON_TEXT("dst", struct cni_route, destination, JSON_REQUIRED),
	JSON_TEXT("gw", struct cni_route, gateway, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field cni_dns_fields[] = {
	JSON_TEXT_LIST("nameservers", struct cni_dns, servers, JSON_OMIT_EMPTY),
	JSON_TEXT("domain", struct cni_dns, domain, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("search", struct cni_dns, search, JSON_OMIT_EMPTY),
	JSON_TEXT_LIST("options", struct cni_dns, options, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field cni_result_fields[] = {
	JSON_TEXT("cniVersion", struct cni_result, version, 0),
	JSON_ARRAY("interfaces", struct cni_result, interfaces, cni_interface_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("ips", struct cni_result, ips, ip_fields, JSON_OMIT_EMPTY),
	JSON_ARRAY("routes", struct cni_result, routes, cni_route_fields, JSON_OMIT_EMPTY),
	JSON_OBJECT("dns", struct cni_result, dns, cni_dns_fields, 0),
	JSON_END,
};

const struct json_field cni_failure_fields[] = {
	JSON_TEXT("cniVersion", struct cni_failure, version, 0),
	JSON_I64("code", struct cni_failure, code, 0),
	JSON_TEXT("msg", struct cni_failure, message, 0),
	JSON_TEXT("details", struct cni_failure, details, JSON_OMIT_EMPTY),
	JSON_END,
};

void cni_result_fini(struct cni_result *result)
{
	json_free_fields(result, cni_result_fields);
}

static int check_address(const char *text, bool with_prefix, const char *what, struct error *err)
{
	struct net_address address;

	if (net_address_parse(&address, text_or_empty(text)) < 0 || (strchr(text, '/') != NULL) != with_prefix)
		return error_set(err, ERR_INVALID, "%s \"%.64s\" is no %s", what, text_or_empty(text),
				 with_prefix ? "address with a prefix" : "address");
	return 0;
}

int cni_result_check(const struct cni_result *result, struct error *err)
{
	if (result->interfaces.count > ITEMS_MAX || result->ips.count > ITEMS_MAX || result->routes.count > ITEMS_MAX)
		return error_set(err, ERR_INVALID, "more than %d interfaces, addresses or routes", ITEMS_MAX);
	for (size_t i = 0; i < result->ips.count; i++) {
		const struct cni_ip *ip = &result->ips.items[i];

		if (check_address(ip->address, true, "address", err) < 0 ||
		    (!text_empty(ip->gateway) && check_address(ip->gateway, false, "gateway", err) < 0))
			return -1;
		if (ip->interface.set &&
		    (ip->interface.value < 0 || (uint64_t)ip->interface.value >= result->interfaces.count))
			return error_set(err, ERR_INVALID, "address %s is on interface %lld of %zu", ip->address,
					 (long long)ip->interface.value, result->interfaces.count);
	}
	for (size_t i = 0; i < result->routes.count; i++) {
		const struct cni_route *route = &result->routes.items[i];

		if (check_address(route->destination, true, "route", err) < 0 ||
		    (!text_empty(route->gateway) && check_address(route->gateway, false, "gateway", err) < 0))
			return -1;
	}
	return 0;
}

int cni_result_parse(struct cni_result *out_result, const char *text, size_t size, struct error *err)
{
	struct cni_result result = { 0 };

	while (size && strchr(" \t\r\n", text[size - 1]))
		size--;
	if (size > 0 && json_decode(&result, cni_result_fields, text, size, err) < 0)
		return -1;
	if (cni_result_check(&result, err) < 0) {
		cni_result_fini(&result);
		return -1;
	}
	*out_result = result;
	return 0;
}

char *cni_failure_text(const char *text, size_t size)
{
	AUTO(error_clear) struct error ignored = { 0 };
	struct cni_failure failure = { 0 };
	struct text sentence = { 0 };

	if (json_decode(&failure, cni_failure_fields, text, size, &ignored) < 0)
		return NULL;
	if (!text_empty(failure.message))
		text_add(&sentence, failure.message);
	if (!text_empty(failure.details))
		text_addf(&sentence, "%s%s", sentence.size ? "; " : "", failure.details);
	json_free_fields(&failure, cni_failure_fields);
	return sentence.size ? text_take(&sentence) : NULL;
}

static const char *const versions[] = { CNI_VERSION_OLDEST, "0.3.1", "0.4.0", "1.0.0", CNI_VERSION, NULL };

bool cni_version_is_known(const char *version)
{
	for (size_t i = 0; versions[i]; i++)
		if (text_equal(version, versions[i]))
			return true;
	return false;
}

bool cni_version_has_families(const char *version)
{
	return text_has_prefix(text_or_empty(version), "0.");
}
