/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/network_sysctl.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define PARTS 5 /* net.X.Y.IFNAME.Z */

static bool is_one_of(const char *text, const char *const *words)
{
	while (*words && !text_equal(text, *words))
		words++;
	return *words != NULL;
}

/* A name of the kernel's, which leads nowhere else. */
static bool is_name(const char *text)
{
	return *text && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

static int read_one(struct text_map *sysctls, const char *item, struct error *err)
{
	static const char *const kinds[] = { "ipv4", "ipv6", "mpls", NULL };
	static const char *const places[] = { "IFNAME", "ifname", NULL }; /* docker's CLI makes it small */
	AUTO(text_list_fini) struct text_list parts = { 0 };
	const char *value = strchr(item, '=');
	AUTO_FREE char *key = value ? xstrndup(item, (size_t)(value - item)) : xstrdup(item);
	AUTO_FREE char *path = NULL;

	text_list_split(&parts, key, '.');
	if (parts.count != PARTS || !text_equal(parts.items[0], "net") || !is_one_of(parts.items[1], kinds) ||
	    !is_name(parts.items[2]) || !is_one_of(parts.items[3], places) || !is_name(parts.items[4]))
		return error_set(err, ERR_INVALID,
				 "unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as "
				 "'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
				 item);
	if (!value)
		return error_set(err, ERR_INVALID, "expected sysctl '%s' to have format name=value", item);
	path = xasprintf("net/%s/%s/IFNAME/%s", parts.items[1], parts.items[2], parts.items[4]);
	text_map_set(sysctls, path, value + 1);
	return 0;
}

int network_sysctls_read(struct text_map *out_sysctls, const struct endpoint_settings *endpoint, struct error *err)
{
	AUTO(text_list_fini) struct text_list items = { 0 };
	const char *text = text_map_get(&endpoint->driver_opts, SYSCTLS);
	int r = 0;

	if (!text)
		return 0;
	text_list_split(&items, text, ',');
	if (!items.count)
		text_list_add(&items, "");
	for (size_t i = 0; r == 0 && i < items.count; i++)
		r = read_one(out_sysctls, items.items[i], err);
	return r;
}
