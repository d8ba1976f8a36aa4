/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts, /etc/hostname, /etc/resolv.conf of a container. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "engine/container_network.h"
#include "network/files.h"

#define HOST_FILE_MAX (1024 * 1024)

static int write_file(const struct container *container, const char *name, const char *content, struct error *err)
{
	AUTO_FREE char *path = container_path(container, name);
	/* In place: a running container has this inode mounted. */
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : write_full(fd, content, strlen(content));

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write %s", path) : 0;
}

static char *host_hostname(void)
{
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	return xstrdup(name);
}

/* The address of another container on the default bridge, while it runs; "" otherwise. Yours. */
static char *bridge_address(struct container *other)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&other->mutex);
	const struct endpoint_map *endpoints = &other->document.networking.endpoints;

	for (size_t i = 0; i < endpoints->count; i++)
		if (text_equal(endpoints->items[i].network, "bridge"))
			return xstrdup(text_or_empty(endpoints->items[i].ip_address));
	return xstrdup("");
}

/* "172.17.0.2	alias 0123456789ab name" for each --link on the default bridge. */
static char *add_links(char *hosts, const struct container *container)
{
	const struct text_list *links = &container->document.host.links;
	struct text out = { 0 };

	text_add(&out, hosts);
	free(hosts);
	for (size_t i = 0; i < links->count && text_equal(container->document.host.network_mode, "bridge"); i++) {
		const char *colon = strchr(links->items[i], ':');
		AUTO_FREE char *name = xstrndup(links->items[i], strcspn(links->items[i], ":"));
		AUTO_FREE char *address = NULL;
		AUTO(container_unrefp) struct container *other = NULL;
		AUTO(error_clear) struct error gone = { 0 };

		if (container_find(&other, container->engine, name, &gone) < 0)
			continue;
		address = bridge_address(other);
		if (*address)
			text_addf(&out, "%s\t%s %.12s %s\n", address, colon ? colon + 1 : name, other->id, name);
	}
	return text_take(&out);
}

static char *hosts_text(const struct container *container, const char *hostname)
{
	const struct container_document *document = &container->document;
	const struct container_defaults *defaults = &engine_settings(container->engine)->containers;
	struct text_list addresses = { 0 };
	struct network_hosts hosts = {
		.hostname = hostname,
		.domainname = document->config.domainname,
		.addresses = &addresses,
		.extra = &document->host.extra_hosts,
		.host_gateway = defaults->host_gateway	     ? defaults->host_gateway
				: container->engine->network ? container->engine->bridge_info.gateway
							     : NULL,
	};
	char *text;

	for (size_t i = 0; i < document->networking.endpoints.count; i++) {
		const struct endpoint_settings *endpoint = &document->networking.endpoints.items[i];

		if (!text_empty(endpoint->ip_address))
			text_list_add(&addresses, endpoint->ip_address);
		if (!text_empty(endpoint->global_ipv6_address))
			text_list_add(&addresses, endpoint->global_ipv6_address);
	}
	text = network_hosts_text(&hosts);
	text_list_fini(&addresses);
	return add_links(text, container);
}

/* With the host's network, the host's own names hold. */
static char *host_hosts_text(const struct container *container)
{
	const struct text_list *extra = &container->document.host.extra_hosts;
	struct text text = { 0 };
	AUTO_FREE char *base = NULL;

	if (file_read(&base, NULL, AT_FDCWD, "/etc/hosts", HOST_FILE_MAX) == 0)
		text_add(&text, base);
	for (size_t i = 0; i < extra->count; i++) {
		const char *separator = strpbrk(extra->items[i], "=:");

		if (separator)
			text_addf(&text, "%s\t%.*s\n",
				  text_equal(separator + 1, "host-gateway") ? "127.0.0.1" : separator + 1,
				  (int)(separator - extra->items[i]), extra->items[i]);
	}
	return text_take(&text);
}

/* On a user-defined network. */
static bool has_own_resolver(const struct container_document *document)
{
	for (size_t i = 0; i < document->networking.endpoints.count; i++) {
		const struct endpoint_settings *endpoint = &document->networking.endpoints.items[i];

		if (endpoint->dns_names.count && !text_empty(endpoint->endpoint_id))
			return true;
	}
	return false;
}

int container_network_files(struct container *container, struct error *err)
{
	const struct container_document *document = &container->document;
	bool host_mode = text_equal(document->host.network_mode, "host");
	AUTO_FREE char *own_name = text_equal(document->host.uts_mode, "host")
					   ? host_hostname()
					   : xstrdup(text_or_empty(document->config.hostname));
	AUTO_FREE char *hostname = network_hostname_text(own_name);
	AUTO_FREE char *hosts = host_mode ? host_hosts_text(container) : hosts_text(container, own_name);
	AUTO_FREE char *host_resolver = NULL;
	AUTO_FREE char *resolver_text = NULL;
	struct network_resolver resolver = {
		.servers = &document->host.dns,
		.search = &document->host.dns_search,
		.options = &document->host.dns_options,
		.host_namespace = host_mode,
		.internal = has_own_resolver(document),
	};

	if (file_read(&host_resolver, NULL, AT_FDCWD,
		      host_mode || resolver.internal ? "/etc/resolv.conf" : network_host_resolv_conf(),
		      HOST_FILE_MAX) == 0)
		resolver.host_text = host_resolver;
	resolver_text = network_resolv_conf_text(&resolver);
	if (write_file(container, "hostname", hostname, err) < 0 || write_file(container, "hosts", hosts, err) < 0 ||
	    write_file(container, "resolv.conf", resolver_text, err) < 0)
		return -1;
	return 0;
}
