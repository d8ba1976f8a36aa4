/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ports.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct port {
	const char *ip;	  /* "" if not published (borrowed) */
	const char *type; /* borrowed */
	int64_t private_port;
	int64_t public_port;
};

struct group {
	const char *ip;
	const char *type;
	int64_t first;
	int64_t last;
};

static int compare(const void *a, const void *b)
{
	const struct port *x = a;
	const struct port *y = b;
	int ip = strcmp(x->ip, y->ip);

	if (x->private_port != y->private_port)
		return x->private_port < y->private_port ? -1 : 1;
	if (ip != 0)
		return ip;
	if (x->public_port != y->public_port)
		return x->public_port < y->public_port ? -1 : 1;
	return strcmp(x->type, y->type);
}

static char *address(const char *ip, const char *port)
{
	return strchr(ip, ':') ? xasprintf("[%s]:%s", ip, port) : xasprintf("%s:%s", ip, port);
}

static void add_group(struct text_list *out, const struct group *group)
{
	AUTO_FREE char *range = group->first == group->last
					? xasprintf("%lld", (long long)group->first)
					: xasprintf("%lld-%lld", (long long)group->first, (long long)group->last);
	AUTO_FREE char *host = *group->ip ? address(group->ip, range) : NULL;

	text_list_addf(out, "%s%s%s/%s", host ? host : "", host ? "->" : "", range, group->type);
}

static void add_mapping(struct text_list *out, const struct port *port)
{
	AUTO_FREE char *public_port = xasprintf("%lld", (long long)port->public_port);
	AUTO_FREE char *host = address(port->ip, public_port);

	text_list_addf(out, "%s->%lld/%s", host, (long long)port->private_port, port->type);
}

char *ports_format(const struct json_value *ports)
{
	AUTO(text_list_fini) struct text_list shown = { 0 };
	AUTO(text_list_fini) struct text_list mappings = { 0 };
	size_t count = json_value_count(ports);
	AUTO_FREE struct port *sorted = xcalloc(count + 1, sizeof(*sorted));
	AUTO_FREE struct group *groups = xcalloc(count + 1, sizeof(*groups));
	size_t group_count = 0;

	for (size_t i = 0; i < count; i++) {
		const struct json_value *port = json_value_at(ports, i);

		sorted[i].ip = text_or_empty(json_value_text(json_value_get(port, "IP")));
		sorted[i].type = text_or_empty(json_value_text(json_value_get(port, "Type")));
		sorted[i].private_port = json_value_integer(json_value_get(port, "PrivatePort"));
		sorted[i].public_port = json_value_integer(json_value_get(port, "PublicPort"));
	}
	qsort(sorted, count, sizeof(*sorted), compare);
	for (size_t i = 0; i < count; i++) {
		const struct port *port = &sorted[i];
		struct group *group = groups;

		if (*port->ip && port->public_port != port->private_port) {
			add_mapping(&mappings, port);
			continue;
		}
		while (group < groups + group_count &&
		       (!text_equal(group->ip, port->ip) || !text_equal(group->type, port->type)))
			group++;
		if (group < groups + group_count && port->private_port == group->last + 1) {
			group->last++;
			continue;
		}
		if (group < groups + group_count)
			add_group(&shown, group);
		else
			group_count++;
		*group = (struct group){ port->ip, port->type, port->private_port, port->private_port };
	}
	for (size_t i = 0; i < group_count; i++)
		add_group(&shown, &groups[i]);
	text_list_add_all(&shown, &mappings);
	return text_list_join(&shown, ", ");
}
