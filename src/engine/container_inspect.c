/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/container_view.h"
#include "store/snapshot.h"

static const struct json_field state_fields[] = {
	JSON_TEXT("Status", struct inspect_state, status, 0),
	JSON_BOOL("Running", struct inspect_state, running, 0),
	JSON_BOOL("Paused", struct inspect_state, paused, 0),
	JSON_BOOL("Restarting", struct inspect_state, restarting, 0),
	JSON_BOOL("OOMKilled", struct inspect_state, oom_killed, 0),
	JSON_BOOL("Dead", struct inspect_state, dead, 0),
	JSON_I64("Pid", struct inspect_state, pid, 0),
	JSON_I64("ExitCode", struct inspect_state, exit_code, 0),
	JSON_TEXT("Error", struct inspect_state, error, 0),
	JSON_TEXT("StartedAt", struct inspect_state, started_at, 0),
	JSON_TEXT("FinishedAt", struct inspect_state, finished_at, 0),
	JSON_POINTER("Health", struct inspect_state, health, state_health_fields, JSON_OMIT_EMPTY),
	JSON_END,
};

const struct json_field mount_point_fields[] = {
	JSON_TEXT("Type", struct mount_point, type, 0),
	JSON_TEXT("Name", struct mount_point, name, JSON_OMIT_EMPTY),
	JSON_TEXT("Source", struct mount_point, source, 0),
	JSON_TEXT("Destination", struct mount_point, destination, 0),
	JSON_TEXT("Driver", struct mount_point, driver, JSON_OMIT_EMPTY),
	JSON_TEXT("Mode", struct mount_point, mode, 0),
	JSON_BOOL("RW", struct mount_point, rw, 0),
	JSON_TEXT("Propagation", struct mount_point, propagation, 0),
	JSON_END,
};

static const struct json_field address_fields[] = {
	JSON_TEXT("Addr", struct address_item, address, 0),
	JSON_I64("PrefixLen", struct address_item, prefix_length, 0),
	JSON_END,
};

#define N struct inspect_network
static const struct json_field network_fields[] = {
	JSON_TEXT("Bridge", N, bridge, 0),
	JSON_TEXT("SandboxID", N, sandbox_id, 0),
	JSON_TEXT("SandboxKey", N, sandbox_key, 0),
	JSON_MAP("Ports", N, ports, port_bindings_fields, 0),
	JSON_BOOL("HairpinMode", N, hairpin_mode, 0),
	JSON_TEXT("LinkLocalIPv6Address", N, link_local_ipv6_address, 0),
	JSON_I64("LinkLocalIPv6PrefixLen", N, link_local_ipv6_prefix_length, 0),
	JSON_ARRAY("SecondaryIPAddresses", N, secondary_ip_addresses, address_fields, JSON_EMPTY_NULL),
	JSON_ARRAY("SecondaryIPv6Addresses", N, secondary_ipv6_addresses, address_fields, JSON_EMPTY_NULL),
	JSON_TEXT("EndpointID", N, endpoint_id, 0),
	JSON_TEXT("Gateway", N, gateway, 0),
	JSON_TEXT("GlobalIPv6Address", N, global_ipv6_address, 0),
	JSON_I64("GlobalIPv6PrefixLen", N, global_ipv6_prefix_length, 0),
	JSON_TEXT("IPAddress", N, ip_address, 0),
	JSON_I64("IPPrefixLen", N, ip_prefix_length, 0),
	JSON_TEXT("IPv6Gateway", N, ipv6_gateway, 0),
	JSON_TEXT("MacAddress", N, mac_address, 0),
	JSON_MAP("Networks", N, networks, endpoint_settings_fields, 0),
	JSON_END,
};
#undef N

static const struct json_field graph_driver_fields[] = {
	JSON_TEXT_MAP("Data", struct graph_driver, data, 0),
	JSON_TEXT("Name", struct graph_driver, name, 0),
	JSON_END,
};

#define I struct container_inspect
const struct json_field container_inspect_fields[] = {
	JSON_TEXT("Id", I, id, 0),
	JSON_TEXT("Created", I, created, 0),
	JSON_TEXT("Path", I, path, 0),
	JSON_TEXT_LIST("Args", I, args, 0),
	JSON_OBJECT("State", I, state, state_fields, 0),
	JSON_TEXT("Image", I, image, 0),
	JSON_TEXT("ResolvConfPath", I, resolv_conf_path, 0),
	JSON_TEXT("HostnamePath", I, hostname_path, 0),
	JSON_TEXT("HostsPath", I, hosts_path, 0),
	JSON_TEXT("LogPath", I, log_path, 0),
	JSON_TEXT("Name", I, name, 0),
	JSON_I64("RestartCount", I, restart_count, 0),
	JSON_TEXT("Driver", I, driver, 0),
	JSON_TEXT("Platform", I, platform, 0),
	JSON_TEXT("MountLabel", I, mount_label, 0),
	JSON_TEXT("ProcessLabel", I, process_label, 0),
	JSON_TEXT("AppArmorProfile", I, apparmor_profile, 0),
	JSON_TEXT_LIST("ExecIDs", I, exec_ids, JSON_EMPTY_NULL),
	JSON_OBJECT("HostConfig", I, host, host_config_fields, 0),
	JSON_OBJECT("GraphDriver", I, graph_driver, graph_driver_fields, 0),
	JSON_OPT_I64("SizeRw", I, size_rw, JSON_OMIT_EMPTY),
	JSON_OPT_I64("SizeRootFs", I, size_root_fs, JSON_OMIT_EMPTY),
	JSON_ARRAY("Mounts", I, mounts, mount_point_fields, 0),
	JSON_OBJECT("Config", I, config, container_config_fields, 0),
	JSON_OBJECT("NetworkSettings", I, network, network_fields, 0),
	JSON_END,
};
#undef I

static char *time_text(int64_t wall_ns)
{
	char text[CLOCK_TEXT_MAX];

	return xstrdup(clock_format(text, wall_ns));
}

static void view_state(struct inspect_state *to, const struct container_state *from)
{
	to->status = xstrdup(container_status(from));
	to->running = from->running;
	to->paused = from->paused;
	to->restarting = from->restarting;
	to->oom_killed = from->oom_killed;
	to->dead = from->dead;
	to->pid = from->pid;
	to->exit_code = from->exit_code;
	to->error = xstrdup(text_or_empty(from->error));
	to->started_at = time_text(from->started_ns);
	to->finished_at = time_text(from->finished_ns);
	if (!from->health)
		return;
	to->health = xcalloc(1, sizeof(*to->health));
	json_copy_fields(to->health, from->health, state_health_fields);
}

void container_view_mount(struct mount_point *to, const struct container_mount *from)
{
	to->type = xstrdup(from->type);
	to->name = from->name ? xstrdup(from->name) : NULL;
	to->source = xstrdup(text_or_empty(from->source));
	to->destination = xstrdup(from->destination);
	to->driver = from->driver ? xstrdup(from->driver) : NULL;
	to->mode = xstrdup(text_or_empty(from->mode));
	to->rw = from->rw;
	to->propagation = xstrdup(text_or_empty(from->propagation));
}

static void view_network(struct inspect_network *to, const struct container *container)
{
	const struct container_document *document = &container->document;
	const struct endpoint_map *endpoints = &document->networking.endpoints;

	json_copy_fields(&to->networks, &document->networking, networking_config_fields);
	/* What it will have, as long as it has none. */
	for (size_t i = 0; i < to->networks.count; i++) {
		struct endpoint_settings *endpoint = &to->networks.items[i];
		const char *wanted = text_map_get(&document->wanted_macs, endpoint->network);

		if (wanted && text_empty(endpoint->mac_address)) {
			free(endpoint->mac_address);
			endpoint->mac_address = xstrdup(wanted);
		}
	}
	for (size_t i = 0; i < document->bound_ports.count; i++)
		json_copy_fields(json_array_add(&to->ports, sizeof(struct port_bindings)),
				 &document->bound_ports.items[i], port_bindings_fields);
	if (document->state.pid) {
		to->sandbox_id = xstrdup(container->id);
		to->sandbox_key = xasprintf("/proc/%lld/ns/net", (long long)document->state.pid);
	}
	/* The old places for the address on the default bridge. */
	for (size_t i = 0; i < endpoints->count; i++) {
		const struct endpoint_settings *endpoint = &endpoints->items[i];

		if (!text_equal(endpoint->network, "bridge"))
			continue;
		to->endpoint_id = xstrdup(text_or_empty(endpoint->endpoint_id));
		to->gateway = xstrdup(text_or_empty(endpoint->gateway));
		to->ip_address = xstrdup(text_or_empty(endpoint->ip_address));
		to->ip_prefix_length = endpoint->ip_prefix_len;
		to->mac_address = xstrdup(text_or_empty(endpoint->mac_address));
	}
}

static void view_locked(struct container_inspect *to, struct container *container)
{
	const struct container_document *document = &container->document;

	mutex_assert_held(&container->mutex);
	to->id = xstrdup(container->id);
	to->created = time_text(document->state.created_ns);
	to->path = xstrdup(document->path);
	text_list_add_all(&to->args, &document->args);
	view_state(&to->state, &document->state);
	to->image = xstrdup(document->image_id);
	to->name = xasprintf("/%s", document->name);
	to->restart_count = document->restart_count;
	to->driver = xstrdup(store_driver_name(store_driver(container->engine->store)));
	to->platform = xstrdup("linux");
	container_exec_ids(container, &to->exec_ids);
	json_copy_fields(&to->host, &document->host, host_config_fields);
	json_copy_fields(&to->config, &document->config, container_config_fields);
	for (size_t i = 0; i < document->mounts.count; i++)
		if (!document->mounts.items[i].hidden)
			container_view_mount(json_array_add(&to->mounts, sizeof(struct mount_point)),
					     &document->mounts.items[i]);
	view_network(&to->network, container);
}

static void view_paths(struct container_inspect *to, const struct container *container)
{
	const char *other = text_after(text_or_empty(container->document.host.network_mode), "container:");
	const char *id = other ? other : container->id;

	if (container->document.state.started_ns) {
		to->resolv_conf_path = xasprintf("%s/containers/%s/resolv.conf", container->engine->data_root, id);
		to->hostname_path = xasprintf("%s/containers/%s/hostname", container->engine->data_root, id);
		to->hosts_path = xasprintf("%s/containers/%s/hosts", container->engine->data_root, id);
		if (text_equal(container->document.host.log_config.type, "json-file"))
			to->log_path = container_log_path(container);
	}
}

static void view_storage(struct container_inspect *to, struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	struct snapshot_mount mount = { 0 };

	to->graph_driver.name = xstrdup(store_driver_name(store_driver(container->engine->store)));
	text_map_set(&to->graph_driver.data, "ID", container->id);
	if (snapshot_mount(&mount, container->engine->store, container->id, &err) < 0)
		return;
	for (size_t i = 0; i < mount.options.count; i++) {
		const char *value = strchr(mount.options.items[i], '=');

		if (text_has_prefix(mount.options.items[i], "lowerdir="))
			text_map_set(&to->graph_driver.data, "LowerDir", value + 1);
		else if (text_has_prefix(mount.options.items[i], "upperdir="))
			text_map_set(&to->graph_driver.data, "UpperDir", value + 1);
		else if (text_has_prefix(mount.options.items[i], "workdir="))
			text_map_set(&to->graph_driver.data, "WorkDir", value + 1);
	}
	snapshot_mount_fini(&mount);
}

void container_view_size(struct optional_i64 *out_rw, struct optional_i64 *out_root, struct container *container)
{
	AUTO(error_clear) struct error err = { 0 };
	uint64_t own;
	uint64_t below;

	if (snapshot_size(&own, container->engine->store, container->id, &err) < 0 ||
	    snapshot_parent_size(&below, container->engine->store, container->id, &err) < 0)
		return;
	*out_rw = (struct optional_i64){ true, (int64_t)own };
	*out_root = (struct optional_i64){ true, (int64_t)(own + below) };
}

int container_inspect(struct container_inspect *out_inspect, struct engine *engine, const char *name, bool with_size,
		      struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	memset(out_inspect, 0, sizeof(*out_inspect));
	mutex_lock(&container->mutex);
	view_locked(out_inspect, container);
	view_paths(out_inspect, container);
	mutex_unlock(&container->mutex);
	view_storage(out_inspect, container);
	if (with_size)
		container_view_size(&out_inspect->size_rw, &out_inspect->size_root_fs, container);
	return 0;
}
