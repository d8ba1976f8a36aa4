/* SPDX-License-Identifier: Apache-2.0 */
#include "network/network.h"
#include "network/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "network/pool.h"
#include "network/state.h"
#include "network/watch.h"

static const char *const protocol_names[] = { "tcp", "udp", "sctp" };

const char *network_protocol_name(enum network_protocol protocol)
{
	return protocol_names[protocol];
}

int network_protocol_parse(enum network_protocol *out_protocol, const char *name)
{
	for (int i = 0; i < 3; i++) {
		if (!text_equal_ignoring_case(name, protocol_names[i]))
			continue;
		*out_protocol = (enum network_protocol)i;
		return 0;
	}
	return -EINVAL;
}

/* ---- open and close ---- */

void endpoint_free(struct endpoint *endpoint)
{
	endpoint_record_fini(&endpoint->record);
	free(endpoint->holds);
	free(endpoint);
}

static void free_endpoint(void *value)
{
	struct endpoint *endpoint = value;

	for (size_t i = 0; i < endpoint->hold_count; i++)
		if (endpoint->holds[i].fd >= 0)
			close(endpoint->holds[i].fd);
	endpoint_free(endpoint);
}

static int load_endpoints(struct network *network, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	if (record_names(&names, network->endpoints_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
		AUTO(error_clear) struct error ignored = { 0 };

		/* Half a file cannot be (they are renamed into place); a foreign one is no reason not to start. */
		if (record_load(&endpoint->record, endpoint_record_fields, network->endpoints_dir, names.items[i],
				&ignored) != 1) {
			endpoint_free(endpoint);
			continue;
		}
		map_set(&network->endpoints, endpoint->record.id, endpoint);
		if (!text_empty(endpoint->record.address))
			map_set(&network->addresses, endpoint->record.address, endpoint);
		if (!text_empty(endpoint->record.address6))
			map_set(&network->addresses, endpoint->record.address6, endpoint);
	}
	return 0;
}

static int add_space(struct network *network, const char *base, uint8_t size, struct error *err)
{
	struct pool_space *space = &network->spaces[network->space_count];

	if (net_address_parse(&space->base, base) < 0 || !strchr(base, '/') || size < space->base.prefix ||
	    size > (space->base.family == AF_INET ? 30 : 126))
		return error_set(err, ERR_INVALID, "invalid address pool: base %s, size %u", base, size);
	space->base = pool_network(&space->base);
	space->size = size;
	network->space_count++;
	return 0;
}

/* The administrator's, or docker's; and for IPv6 a network of this host's own if none was named. */
static int fill_spaces(struct network *network, const struct network_options *options, struct error *err)
{
	static const struct network_pool defaults[] = { { "172.17.0.0/16", 16 },
							{ "172.18.0.0/15", 16 },
							{ "172.20.0.0/14", 16 },
							{ "172.24.0.0/13", 16 },
							{ "192.168.0.0/16", 20 } };
	const struct network_pool *pools = options->pool_count ? options->pools : defaults;
	size_t count = options->pool_count ? options->pool_count : sizeof(defaults) / sizeof(defaults[0]);
	bool has6 = false;

	network->spaces = xcalloc(count + 1, sizeof(*network->spaces));
	for (size_t i = 0; i < count; i++) {
		if (add_space(network, pools[i].base, pools[i].size, err) < 0)
			return -1;
		has6 |= network->spaces[i].base.family == AF_INET6;
	}
	if (!has6 && options->host_seed)
		network->spaces[network->space_count++] = pool_private6(options->host_seed);
	return 0;
}

int network_open(struct network **out_network, const struct network_options *options, struct error *err)
{
	AUTO(network_closep) struct network *network = xcalloc(1, sizeof(*network));
	int failed;

	network->watch_fd = network->stop_fd = network->nft_fd = -1;
	mutex_init(&network->nft_mutex);
	mutex_init(&network->mutex);
	map_init(&network->bridges, free);
	map_init(&network->endpoints, free_endpoint);
	map_init(&network->addresses, NULL);
	port_table_init(&network->ports);
	network->no_proxy = options->no_proxy;
	condition_init(&network->left);
	network->table = xstrdup(options->table ? options->table : "kist");
	network->nft = xstrdup(options->nft ? options->nft : "nft");
	network->endpoints_dir = path_join(options->state_dir, "endpoints");
	network->bridges_dir = path_join(options->state_dir, "bridges");
	if (fill_spaces(network, options, err) < 0)
		return -1;
	if (!record_name_is_valid(network->table))
		return error_set(err, ERR_INVALID, "invalid nft table name \"%s\"", network->table);
	failed = mkdir_all(AT_FDCWD, network->endpoints_dir, 0700);
	if (failed == 0)
		failed = mkdir_all(AT_FDCWD, network->bridges_dir, 0700);
	if (failed < 0)
		return error_set_errno(err, ERR_INTERNAL, failed, "make network state folder %s", options->state_dir);
	if (load_endpoints(network, err) < 0)
		return -1;
	*out_network = take_ptr(network);
	return 0;
}

void network_close(struct network *network)
{
	if (!network)
		return;
	watch_end(network);
	overlays_free(network->overlays);
	network_settle(network);
	condition_fini(&network->left);
	map_fini(&network->addresses);
	map_fini(&network->endpoints);
	map_fini(&network->bridges);
	port_table_fini(&network->ports);
	free(network->spaces);
	mutex_fini(&network->mutex);
	mutex_fini(&network->nft_mutex);
	if (network->nft_fd >= 0)
		close(network->nft_fd);
	free(network->table);
	free(network->nft);
	free(network->endpoints_dir);
	free(network->bridges_dir);
	free(network);
}

int network_find(struct network *network, const char *id, struct network_endpoint *out_endpoint)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&network->mutex);
	const struct endpoint *endpoint = map_get(&network->endpoints, id);

	if (!endpoint)
		return 0;
	if (out_endpoint)
		describe_locked(network, out_endpoint, &endpoint->record);
	return 1;
}

void network_endpoint_fini(struct network_endpoint *endpoint)
{
	free(endpoint->bindings);
	*endpoint = (struct network_endpoint){ 0 };
}
