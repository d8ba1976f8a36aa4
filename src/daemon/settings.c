/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/quote.h"
#include "daemon/collection.h"
#include "daemon/runtimes.h"

static void fill_containers(struct container_defaults *defaults, const struct daemon_config *config)
{
	defaults->dns = config->dns;
	defaults->dns_options = config->dns_options;
	defaults->dns_search = config->dns_search;
	defaults->cgroupns_mode = config->cgroupns_mode;
	defaults->ipc_mode = config->ipc_mode;
	defaults->host_gateway = config->host_gateways.count ? config->host_gateways.items[0] : config->host_gateway;
	defaults->init = optional_bool_or(config->init, false);
	defaults->no_new_privileges = optional_bool_or(config->no_new_privileges, false);
	for (size_t i = 0; i < config->ulimits.count; i++) {
		const struct daemon_ulimit *from = &config->ulimits.items[i];
		struct ulimit *to = json_array_add(&defaults->ulimits, sizeof(*to));

		*to = (struct ulimit){ .name = from->name, .hard = from->hard, .soft = from->soft };
	}
}

static void fill_runtimes(struct engine_settings *settings, const struct daemon_config *config)
{
	settings->default_runtime = config->default_runtime;
	for (size_t i = 0; i < config->runtimes.count; i++) {
		const struct daemon_runtime *from = &config->runtimes.items[i];
		struct engine_runtime *to = json_array_add(&settings->runtimes, sizeof(*to));

		*to = (struct engine_runtime){ .name = from->name, .path = from->path, .arguments = from->arguments };
	}
}

/* A rule for a socket nobody listens on is a mistake that would leave another one open. */
static int load_policies(struct daemon_settings *settings, struct error *err)
{
	const struct daemon_config *config = &settings->config;
	AUTO(text_list_fini) struct text_list addresses = { 0 };

	if (text_empty(config->socket_policy))
		return 0;
	if (policy_set_load(&settings->policies, config->socket_policy, err) < 0)
		return -1;
	policy_set_addresses(&addresses, settings->policies);
	for (size_t i = 0; i < addresses.count; i++)
		if (!text_list_contains(&config->hosts, addresses.items[i]))
			return error_set(err, ERR_INVALID, "socket policy %s: %s is none of the --host addresses",
					 config->socket_policy, addresses.items[i]);
	return 0;
}

int daemon_settings_fill(struct daemon_settings *settings, struct error *err)
{
	const struct daemon_config *config = &settings->config;

	settings->engine = (struct engine_settings){
		.debug = optional_bool_or(config->debug, false),
		.experimental = optional_bool_or(config->experimental, false),
		.parallel_uploads = optional_i64_or(config->max_concurrent_uploads, 0),
		.labels = config->labels,
		.authorization = config->authorization_plugins,
		.registry = { .insecure = config->insecure_registries,
			      .mirrors = config->registry_mirrors,
			      .peers = config->peers,
			      .parallel = optional_i64_or(config->max_concurrent_downloads, 0) },
	};
	fill_containers(&settings->engine.containers, config);
	fill_runtimes(&settings->engine, config);
	if (daemon_collection_parse(&settings->collector, config, err) < 0)
		return -1;
	return load_policies(settings, err);
}

void daemon_settings_free(struct daemon_settings *settings)
{
	while (settings) {
		struct daemon_settings *older = settings->older;

		/* What the items hold is the configuration's. */
		free(settings->engine.containers.ulimits.items);
		free(settings->engine.runtimes.items);
		free((void *)(uintptr_t)settings->collector.rules);
		policy_set_free(settings->policies);
		daemon_config_fini(&settings->config);
		free(settings);
		settings = older;
	}
}

struct network_bridge daemon_settings_bridge(const struct daemon_config *config)
{
	return (struct network_bridge){
		.v4.ip_range = config->fixed_range,
		.v4.names_gateway = true,
		.v6.names_gateway = true,
		.ipv6 = optional_bool_or(config->ipv6, false),
		/* With --bip6 the other is a part of it. */
		.v6.subnet = config->address_pool6 ? config->address_pool6 : config->fixed_range6,
		.v6.ip_range = config->address_pool6 ? config->fixed_range6 : NULL,
		.host_ip = config->host_ip,
		.mtu = (uint32_t)optional_i64_or(config->mtu, 0),
		.no_masquerade = !optional_bool_or(config->masquerade, true),
		.no_inter_container = !optional_bool_or(config->inter_container, true),
	};
}

static void describe_list(struct text_map *out, const char *name, const struct text_list *list)
{
	AUTO(text_fini) struct text json = { 0 };

	text_add_char(&json, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			text_add_char(&json, ',');
		quote_json(&json, list->items[i], strlen(list->items[i]));
	}
	text_add_char(&json, ']');
	text_map_set(out, name, json.data);
}

static void describe_number(struct text_map *out, const char *name, int64_t value)
{
	AUTO_FREE char *text = xasprintf("%lld", (long long)value);

	text_map_set(out, name, text);
}

void daemon_settings_describe(struct text_map *out, const struct daemon_config *config)
{
	AUTO_FREE char *runtimes = daemon_runtimes_describe(config);
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	text_map_set(out, "name", host);
	describe_list(out, "authorization-plugins", &config->authorization_plugins);
	text_map_set(out, "debug", optional_bool_or(config->debug, false) ? "true" : "false");
	text_map_set(out, "default-ipc-mode", config->ipc_mode ? config->ipc_mode : "private");
	text_map_set(out, "default-runtime", config->default_runtime ? config->default_runtime : "runc");
	text_map_set(out, "default-shm-size", config->default_shm_size);
	describe_list(out, "insecure-registries", &config->insecure_registries);
	describe_list(out, "labels", &config->labels);
	text_map_set(out, "live-restore", "true");
	describe_number(out, "max-concurrent-downloads", optional_i64_or(config->max_concurrent_downloads, 3));
	describe_number(out, "max-concurrent-uploads", optional_i64_or(config->max_concurrent_uploads, 5));
	describe_list(out, "registry-mirrors", &config->registry_mirrors);
	describe_list(out, "peers", &config->peers);
	text_map_set(out, "runtimes", runtimes);
	describe_number(out, "shutdown-timeout", optional_i64_or(config->shutdown_timeout_s, 15));
}

void daemon_settings_unchanged(struct text_list *out_names, const struct daemon_config *before,
			       const struct daemon_config *after)
{
	const struct {
		const char *name;
		const char *before;
		const char *after;
	} fixed[] = {
		{ "data-root", before->data_root, after->data_root },
		{ "storage-driver", before->storage_driver, after->storage_driver },
		{ "exec-root", before->exec_root, after->exec_root },
		{ "pidfile", before->pidfile, after->pidfile },
		{ "bridge", before->bridge, after->bridge },
		{ "bip", before->address_pool, after->address_pool },
		{ "cgroup-parent", before->cgroup_parent, after->cgroup_parent },
		{ "init-path", before->init_path, after->init_path },
		{ "cni-bin-dir", before->cni_plugin_dirs, after->cni_plugin_dirs },
		{ "plugin-dir", before->plugin_dirs, after->plugin_dirs },
		{ "cni-conf-dir", before->cni_config_dir, after->cni_config_dir },
		{ "firewall-table", before->firewall_table, after->firewall_table },
		{ "serve-tls-certificate", before->serve_certificate, after->serve_certificate },
		{ "serve-tls-key", before->serve_key, after->serve_key },
		{ "serve-tls-client-authorities", before->serve_authorities, after->serve_authorities },
		{ "metrics-addr", before->metrics_address, after->metrics_address },
		{ "default-shm-size", before->default_shm_size, after->default_shm_size },
		{ "log-format", before->log_format, after->log_format },
		{ "ip", before->host_ip, after->host_ip },
		{ "fixed-cidr", before->fixed_range, after->fixed_range },
		{ "bip6", before->address_pool6, after->address_pool6 },
		{ "fixed-cidr-v6", before->fixed_range6, after->fixed_range6 },
	};
	AUTO_FREE char *hosts_before = text_list_join(&before->hosts, " ");
	AUTO_FREE char *hosts_after = text_list_join(&after->hosts, " ");
	AUTO_FREE char *serve_before = text_list_join(&before->serve, " ");
	AUTO_FREE char *serve_after = text_list_join(&after->serve, " ");

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!text_equal(fixed[i].before, fixed[i].after))
			text_list_add(out_names, fixed[i].name);
	if (!text_equal(hosts_before, hosts_after))
		text_list_add(out_names, "hosts");
	if (!text_equal(serve_before, serve_after))
		text_list_add(out_names, "serve");
}
