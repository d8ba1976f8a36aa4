/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "engine/spec.h"
#include "sys/capability.h"

static const char *const default_capabilities[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_FSETID",
	"CAP_FOWNER",
	"CAP_MKNOD",
	"CAP_NET_RAW",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETFCAP",
	"CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE",
	"CAP_SYS_CHROOT",
	"CAP_KILL",
	"CAP_AUDIT_WRITE",
	NULL,
};

static char *upper_case(const char *text)
{
	char *copy = xstrdup(text);

	for (char *c = copy; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return copy;
}

/* "net_admin" and "CAP_NET_ADMIN" are one; "ALL" stays. Yours. */
static char *full_name(const char *text)
{
	AUTO_FREE char *upper = upper_case(text);

	if (text_equal(upper, "ALL") || text_equal(upper, "CAP_ALL"))
		return xstrdup("ALL");
	return text_has_prefix(upper, "CAP_") ? take_ptr(upper) : xasprintf("CAP_%s", upper);
}

static int normalize(struct text_list *out_names, const struct text_list *names, const char *which, struct error *err)
{
	for (size_t i = 0; i < names->count; i++) {
		AUTO_FREE char *name = full_name(names->items[i]);

		if (!text_equal(name, "ALL") && capability_parse(name) < 0)
			return error_set(err, ERR_INVALID, "invalid %s: unknown capability: \"%s\"", which, name);
		text_list_add(out_names, name);
	}
	return 0;
}

static void add_available(struct text_list *names, const char *name, uint64_t available)
{
	int bit = capability_parse(name);

	if (bit >= 0 && (available >> bit & 1) && !text_list_contains(names, name))
		text_list_add(names, name);
}

static void add_all_but(struct text_list *names, const struct text_list *without, uint64_t available)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = capability_name(bit);

		if (name && (!without || !text_list_contains(without, name)))
			add_available(names, name, available);
	}
}

static void combine(struct text_list *out_names, const struct text_list *add, const struct text_list *drop,
		    uint64_t available)
{
	if (text_list_contains(add, "ALL")) {
		add_all_but(out_names, drop, available);
		return;
	}
	for (size_t i = 0; default_capabilities[i] && !text_list_contains(drop, "ALL"); i++)
		if (!text_list_contains(drop, default_capabilities[i]))
			add_available(out_names, default_capabilities[i], available);
	for (size_t i = 0; i < add->count; i++)
		add_available(out_names, add->items[i], available);
}

int spec_capability_names(struct text_list *out_names, const struct host_config *host, uint64_t available,
			  struct error *err)
{
	AUTO(text_list_fini) struct text_list add = { 0 };
	AUTO(text_list_fini) struct text_list drop = { 0 };

	if (normalize(&add, &host->cap_add, "CapAdd", err) < 0 || normalize(&drop, &host->cap_drop, "CapDrop", err) < 0)
		return -1;
	if (host->privileged)
		add_all_but(out_names, NULL, available);
	else
		combine(out_names, &add, &drop, available);
	return 0;
}

int spec_check_capabilities(const struct host_config *host, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	return spec_capability_names(&names, host, UINT64_MAX, err);
}
