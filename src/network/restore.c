/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "network/firewall.h"
#include "network/proxy.h"
#include "network/rate.h"
#include "network/state.h"
#include "network/watch.h"

static bool is_alive(const char *id, char *const *alive, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *rest = text_after(id, alive[i]);

		if (rest && (*rest == '\0' || *rest == '.'))
			return true;
	}
	return false;
}

static void retake_ports_locked(struct network *network, struct endpoint *endpoint)
{
	const struct endpoint_record *record = &endpoint->record;

	if (endpoint->hold_count)
		return;
	endpoint->holds = xcalloc(record->bindings.count + 1, sizeof(*endpoint->holds));
	for (size_t i = 0; i < record->bindings.count; i++) {
		const struct binding_record *binding = &record->bindings.items[i];
		enum network_protocol protocol;

		if (binding->host_port && network_protocol_parse(&protocol, binding->protocol) == 0)
			port_retake(&network->ports, &endpoint->holds[endpoint->hold_count++], protocol,
				    binding->host_ip, (uint16_t)binding->host_port);
	}
}

/* Takes the dead out of memory and disk; their links' names are collected. */
static void forget_dead_locked(struct network *network, char *const *alive, size_t alive_count,
			       struct text_list *out_links)
{
	AUTO(text_list_fini) struct text_list dead = { 0 };
	struct endpoint *endpoint;
	const char *id;
	size_t at = 0;

	while ((endpoint = map_next(&network->endpoints, &at, &id))) {
		if (is_alive(id, alive, alive_count))
			retake_ports_locked(network, endpoint);
		else
			text_list_add(&dead, id);
	}
	for (size_t i = 0; i < dead.count; i++) {
		endpoint = map_get(&network->endpoints, dead.items[i]);
		forget_addresses_locked(network, endpoint);
		if (!text_empty(endpoint->record.link))
			text_list_add(out_links, endpoint->record.link);
		give_back_ports_locked(network, endpoint);
		record_remove(network->endpoints_dir, dead.items[i]);
		map_remove(&network->endpoints, dead.items[i]);
	}
	network->generation++;
}

static bool has_link_locked(const struct network *network, const char *name)
{
	const struct endpoint *endpoint;
	size_t at = 0;

	while ((endpoint = map_next(&network->endpoints, &at, NULL)))
		if (text_equal(endpoint->record.link, name))
			return true;
	return false;
}

/* Whether a link is a port of one of our bridges and nobody's. */
static bool is_stray_locked(const struct network *network, const struct link_info *link)
{
	const struct bridge *bridge;
	bool ours = false;
	size_t at = 0;

	if (!text_equal(link->kind, "veth") || !text_has_prefix(link->name, LINK_PREFIX) || !link->master)
		return false;
	while ((bridge = map_next(&network->bridges, &at, NULL)))
		ours |= bridge->index == link->master;
	return ours && !has_link_locked(network, link->name);
}

/* An ifb link whose container's link is gone. Not ours alone: other engines have some here too. */
static bool is_lonely(const struct link_info *link, int socket_fd)
{
	struct link_info other;
	char name[16];

	return rate_is_ours(link, name) && link_find(socket_fd, name, &other) == -ENODEV;
}

static int remove_stray_links(struct network *network, struct error *err)
{
	AUTO_CLOSE int socket_fd = netlink_open();
	AUTO_FREE struct link_info *links = NULL;
	size_t count = 0;
	int failed = socket_fd < 0 ? socket_fd : link_dump(socket_fd, &links, &count);

	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "list links");
	for (size_t i = 0; i < count; i++) {
		bool stray;

		mutex_lock(&network->mutex);
		stray = is_stray_locked(network, &links[i]);
		mutex_unlock(&network->mutex);
		if (stray || is_lonely(&links[i], socket_fd))
			link_delete(socket_fd, links[i].index);
	}
	return 0;
}

/* Made for a network whose creation was cut short, or that is gone. */
static int remove_stray_bridges(struct network *network, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (record_names(&names, network->bridges_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		bool known;

		mutex_lock(&network->mutex);
		known = map_get(&network->bridges, names.items[i]) != NULL;
		mutex_unlock(&network->mutex);
		if (!known && bridge_unmake(network, names.items[i], err) < 0)
			return -1;
	}
	return 0;
}

static void forget_dead(struct network *network, char *const *alive, size_t alive_count)
{
	AUTO(text_list_fini) struct text_list links = { 0 };

	mutex_lock(&network->mutex);
	forget_dead_locked(network, alive, alive_count, &links);
	mutex_unlock(&network->mutex);
	for (size_t i = 0; i < links.count; i++)
		remove_link(links.items[i]);
}

/* Those that are gone: the others hold their ports themselves. */
static void start_proxies(struct network *network)
{
	AUTO(text_list_fini) struct text_list ids = { 0 };
	const char *id;
	size_t at = 0;

	mutex_lock(&network->mutex);
	while (map_next(&network->endpoints, &at, &id))
		text_list_add(&ids, id);
	mutex_unlock(&network->mutex);
	for (size_t i = 0; i < ids.count; i++)
		proxy_start_all(network, ids.items[i]);
}

int network_restore(struct network *network, char *const *alive, size_t alive_count, struct error *err)
{
	forget_dead(network, alive, alive_count);
	if (remove_stray_links(network, err) < 0 || remove_stray_bridges(network, err) < 0)
		return -1;
	start_proxies(network);
	return firewall_rebuild(network, err);
}

int network_teardown(struct network *network, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	/* It would write the rules again that go here. */
	watch_end(network);
	network_settle(network);
	forget_dead(network, NULL, 0);
	if (remove_stray_links(network, err) < 0 || record_names(&names, network->bridges_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		if (bridge_unmake(network, names.items[i], err) < 0)
			return -1;
		mutex_lock(&network->mutex);
		map_remove(&network->bridges, names.items[i]);
		mutex_unlock(&network->mutex);
	}
	return firewall_delete(network, err);
}

int network_retire(struct network *network, struct error *err)
{
	bool used;

	mutex_lock(&network->mutex);
	used = network->endpoints.count > 0;
	mutex_unlock(&network->mutex);
	return used ? 0 : network_teardown(network, err);
}
