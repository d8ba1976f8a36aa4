/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --link on the default bridge: the variables of the container that is linked to, and how a link goes. Its lines in
 * /etc/hosts are container_network_files.c's.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/container_network.h"

/* "db" -> "DB", "my-db" -> "MY_DB" */
static char *variable_prefix(const char *alias)
{
	char *prefix = xstrdup(alias);

	for (char *c = prefix; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	return prefix;
}

static const char *default_address(const struct container_document *document)
{
	for (size_t i = 0; i < document->networking.endpoints.count; i++)
		if (text_equal(document->networking.endpoints.items[i].network, "bridge"))
			return text_or_empty(document->networking.endpoints.items[i].ip_address);
	return "";
}

/* "PREFIX_PORT_80_TCP=tcp://172.17.0.2:80" and its parts. */
static void add_port(struct text_list *out, const char *prefix, const char *port, const char *address, bool first)
{
	const char *slash = strchr(port, '/');
	const char *protocol = slash ? slash + 1 : "tcp";
	AUTO_FREE char *number = xstrndup(port, strcspn(port, "/"));
	AUTO_FREE char *upper = variable_prefix(protocol);
	AUTO_FREE char *name = xasprintf("%s_PORT_%s_%s", prefix, number, upper);

	if (first)
		text_list_addf(out, "%s_PORT=%s://%s:%s", prefix, protocol, address, number);
	text_list_addf(out, "%s=%s://%s:%s", name, protocol, address, number);
	text_list_addf(out, "%s_ADDR=%s", name, address);
	text_list_addf(out, "%s_PORT=%s", name, number);
	text_list_addf(out, "%s_PROTO=%s", name, protocol);
}

static void add_linked(struct text_list *out, const struct container *container, struct container *other,
		       const char *alias)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&other->mutex);
	const struct container_document *document = &other->document;
	const char *address = default_address(document);
	AUTO_FREE char *prefix = variable_prefix(alias);
	AUTO(text_list_fini) struct text_list ports = { 0 };

	if (!*address)
		return;
	for (size_t i = 0; i < document->config.exposed_ports.count; i++)
		text_list_add(&ports, document->config.exposed_ports.items[i].key);
	text_list_sort(&ports);
	for (size_t i = 0; i < ports.count; i++)
		add_port(out, prefix, ports.items[i], address, i == 0);
	text_list_addf(out, "%s_NAME=/%s/%s", prefix, text_or_empty(container->document.name), alias);
	for (size_t i = 0; i < document->config.env.count; i++) {
		const char *pair = document->config.env.items[i];

		if (strchr(pair, '=') && !text_has_prefix(pair, "HOME=") && !text_has_prefix(pair, "PATH="))
			text_list_addf(out, "%s_ENV_%s", prefix, pair);
	}
}

static const char *alias_of(const char *link)
{
	const char *colon = strchr(link, ':');

	return colon ? colon + 1 : link;
}

void container_link_environment(struct text_list *out_env, struct container *container)
{
	const struct host_config *host = &container->document.host;

	for (size_t i = 0; i < host->links.count && text_equal(host->network_mode, "bridge"); i++) {
		const char *link = host->links.items[i];
		AUTO_FREE char *name = xstrndup(link, strcspn(link, ":"));
		AUTO(container_unrefp) struct container *other = NULL;
		AUTO(error_clear) struct error gone = { 0 };

		if (container_find(&other, container->engine, name, &gone) == 0 && other != container)
			add_linked(out_env, container, other, alias_of(link));
	}
}

/* ---- removal ---- */

static bool take_link(struct container *container, const char *alias)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	struct text_list *links = &container->document.host.links;

	for (size_t i = 0; i < links->count; i++)
		if (text_equal(alias_of(links->items[i]), alias)) {
			text_list_remove(links, i);
			return true;
		}
	return false;
}

int container_remove_link(struct engine *engine, const char *name, struct error *err)
{
	const char *start = *name == '/' ? name + 1 : name;
	const char *slash = strrchr(start, '/');
	AUTO_FREE char *parent = slash ? xstrndup(start, (size_t)(slash - start)) : NULL;
	AUTO(container_unrefp) struct container *container = NULL;
	int r;

	if (!parent)
		return error_set(err, ERR_INVALID, "Conflict, cannot remove the default link name of the container");
	if (container_find(&container, engine, parent, err) < 0 || container_acquire(container, -1, err) < 0)
		return -1;
	if (!take_link(container, slash + 1)) {
		container_release(container);
		return error_set(err, ERR_NOT_FOUND, "Cannot get parent /%s for link %s", parent, name);
	}
	r = container_store(container, err);
	if (r == 0 && container_is_running(container))
		r = container_network_files(container, err);
	container_release(container);
	return r;
}
