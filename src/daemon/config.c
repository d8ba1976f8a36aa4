/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/options.h"
#include "base/path.h"
#include "daemon/collection.h"
#include "daemon/known.h"
#include "daemon/runtimes.h"
#include "logs/options.h"
#include "store/driver.h"
#include "json/json.h"
#include "json/value.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define TLS_FOLDER "/etc/kist/tls"

struct daemon_flags {
	const char *config_file;
	const char *data_root;
	const char *exec_root;
	const char *storage_driver;
	const char *pidfile;
	const char *group;
	const char *bridge;
	const char *address_pool;
	const char *cgroup_parent;
	const char *init_path;
	const char *cni_config_dir;
	const char *cni_plugin_dirs;
	const char *plugin_dirs;
	const char *firewall_table;
	const char *default_shm_size;
	const char *log_driver;
	const char *userns_remap;
	struct text_list cdi_folders;
	struct text_list storage_options;
	const char *log_level;
	const char *log_format;
	const char *tls_authorities;
	const char *tls_certificate;
	const char *tls_key;
	struct text_list hosts;
	struct text_list log_options;
	struct text_list insecure_registries;
	struct text_list address_pools;
	struct text_list registry_mirrors;
	struct text_list serve;
	const char *serve_certificate;
	const char *serve_key;
	const char *serve_authorities;
	struct text_list peers;
	struct optional_bool tls;
	struct optional_bool tls_verify;
	struct optional_bool debug;
	struct optional_bool live_restore;
	struct optional_i64 shutdown_timeout_s;
	struct optional_i64 max_concurrent_downloads;
	struct optional_i64 max_concurrent_uploads;
	struct optional_i64 stop_timeout_s;
	struct optional_i64 oom_score_adjust;
	struct optional_i64 mtu;
	struct text_list labels;
	struct text_list authorization_plugins;
	const char *metrics_address;
	const char *socket_policy;
	const char *host_ip;
	const char *fixed_range;
	const char *address_pool6;
	const char *fixed_range6;
	struct optional_bool ipv6;
	const char *host_gateway;
	const char *http_proxy;
	const char *https_proxy;
	const char *no_proxy;
	struct optional_bool experimental;
	struct optional_bool inter_container;
	struct optional_bool masquerade;
	struct optional_bool userland_proxy;
	struct text_list dns;
	struct text_list dns_options;
	struct text_list dns_search;
	struct text_list ulimits;
	const char *cgroupns_mode;
	const char *ipc_mode;
	struct optional_bool init;
	struct optional_bool no_new_privileges;
	struct text_list runtimes;
	const char *default_runtime;
	const char *known_values[KNOWN_OPTIONS_MAX];
	struct optional_bool known_bools[KNOWN_OPTIONS_MAX];
	bool validate;
	bool recover;
	bool version;
	bool help;
};

#define T struct daemon_flags
/* clang-format off */
static const struct option_spec flag_table[] = {
	OPTION_LIST("add-runtime", 0, T, runtimes, "runtime", "An OCI runtime for docker run --runtime: name=path"),
	OPTION_LIST("authorization-plugin", 0, T, authorization_plugins, "list", "Plugins that are asked about every request, in order"),
	OPTION_TEXT("bip", 0, T, address_pool, "string", "Address and subnet of the default bridge, e.g. 172.20.0.1/16"),
	OPTION_TEXT("bridge", 'b', T, bridge, "string", "Default bridge for containers (default \"kist0\"); none disables it"),
	OPTION_LIST("cdi-spec-dir", 0, T, cdi_folders, "list", "Where descriptions of CDI devices are (default /etc/cdi and /var/run/cdi)"),
	OPTION_TEXT("cgroup-parent", 0, T, cgroup_parent, "string", "Parent cgroup of all containers (default \"kist\")"),
	OPTION_TEXT("config-file", 0, T, config_file, "string", "Configuration file (default \"" CONFIG_FILE_DEFAULT "\")"),
	OPTION_TEXT("data-root", 0, T, data_root, "string", "Directory of persistent state (default \"/var/lib/kist\")"),
	OPTION_OPT_BOOL("debug", 'D', T, debug, "Enable debug mode"),
	OPTION_LIST("default-address-pool", 0, T, address_pools, "pool-options", "Where networks get subnets: base=10.10.0.0/16,size=24"),
	OPTION_TEXT("default-cgroupns-mode", 0, T, cgroupns_mode, "string", "Control group namespace of containers: host or private"),
	OPTION_TEXT("default-ipc-mode", 0, T, ipc_mode, "string", "IPC namespace of containers: shareable or private (default private)"),
	OPTION_TEXT("default-runtime", 0, T, default_runtime, "string", "OCI runtime of containers that name none (default \"runc\": kist's own)"),
	OPTION_TEXT("default-shm-size", 0, T, default_shm_size, "bytes", "Size of /dev/shm of containers (default 64MiB)"),
	OPTION_OPT_I64("default-stop-timeout", 0, T, stop_timeout_s, "Seconds until a container that shall stop is killed (default 10)"),
	OPTION_LIST("default-ulimit", 0, T, ulimits, "ulimit", "Limits of containers' processes: name=soft[:hard]"),
	OPTION_LIST("dns", 0, T, dns, "list", "Name servers of containers"),
	OPTION_LIST("dns-opt", 0, T, dns_options, "list", "Resolver options of containers"),
	OPTION_LIST("dns-search", 0, T, dns_search, "list", "Search domains of containers"),
	OPTION_TEXT("exec-root", 0, T, exec_root, "string", "Directory of run-time state and sockets (default \"/run/kist\")"),
	OPTION_OPT_BOOL("experimental", 0, T, experimental, "Enable experimental features"),
	OPTION_TEXT("bip6", 0, T, address_pool6, "string", "IPv6 address and subnet of the default bridge, e.g. fd00:1::1/64"),
	OPTION_TEXT("fixed-cidr-v6", 0, T, fixed_range6, "string", "IPv6 subnet of the default bridge, or the part of --bip6 that containers get addresses from"),
	OPTION_OPT_BOOL("ipv6", 0, T, ipv6, "The default bridge has IPv6 too (its subnet is chosen if none is named)"),
	OPTION_TEXT("fixed-cidr", 0, T, fixed_range, "string", "Part of the default bridge's subnet that containers get addresses from"),
	OPTION_TEXT("group", 'G', T, group, "string", "Group of the unix socket (default \"docker\")"),
	OPTION_FLAG("help", 'h', T, help, "Print usage"),
	OPTION_LIST("host", 'H', T, hosts, "list", "Listen on unix://PATH, tcp://HOST:PORT or fd://"),
	OPTION_TEXT("host-gateway-ip", 0, T, host_gateway, "ip", "What host-gateway means in --add-host (default: the bridge's address)"),
	OPTION_TEXT("http-proxy", 0, T, http_proxy, "string", "Proxy for http:// registries"),
	OPTION_TEXT("https-proxy", 0, T, https_proxy, "string", "Proxy for registries"),
	OPTION_OPT_BOOL("icc", 0, T, inter_container, "Containers of the default bridge reach each other (default true)"),
	OPTION_OPT_BOOL("init", 0, T, init, "Run an init in every container"),
	OPTION_TEXT("cni-bin-dir", 0, T, cni_plugin_dirs, "path", "Folders of CNI plugins, separated by colons (default our own, \"/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni\")"),
	OPTION_TEXT("cni-conf-dir", 0, T, cni_config_dir, "path", "Lists of CNI plugins for networks of driver cni (default \"/etc/cni/net.d\")"),
	OPTION_TEXT("plugin-dir", 0, T, plugin_dirs, "path", "Folders of sockets and addresses of volume and authorization plugins, separated by colons (default docker's, \"/run/docker/plugins:/etc/docker/plugins:/usr/lib/docker/plugins\")"),
	OPTION_TEXT("init-path", 0, T, init_path, "string", "Program for docker run --init"),
	OPTION_LIST("insecure-registry", 0, T, insecure_registries, "list", "Registry (host[:port] or CIDR) to use without verified TLS"),
	OPTION_TEXT("ip", 0, T, host_ip, "ip", "Address at which ports are published (default 0.0.0.0)"),
	OPTION_OPT_BOOL("ip-masq", 0, T, masquerade, "Containers of the default bridge go out with the host's address (default true)"),
	OPTION_LIST("label", 0, T, labels, "list", "Labels of this engine, for info"),
	OPTION_OPT_BOOL("live-restore", 0, T, live_restore, "Containers live on while the daemon is down (always so)"),
	OPTION_TEXT("log-driver", 0, T, log_driver, "string", "Default log driver of containers (default json-file)"),
	OPTION_TEXT("log-format", 0, T, log_format, "string", "Format of the daemon's own log: text or json (default text)"),
	OPTION_TEXT("log-level", 'l', T, log_level, "string", "debug, info, warn, error (default info)"),
	OPTION_LIST("log-opt", 0, T, log_options, "map", "Options of the default log driver"),
	OPTION_OPT_I64("max-concurrent-downloads", 0, T, max_concurrent_downloads, "Layers fetched at a time (default 3)"),
	OPTION_OPT_I64("max-concurrent-uploads", 0, T, max_concurrent_uploads, "Layers pushed at a time (default 5)"),
	OPTION_TEXT("metrics-addr", 0, T, metrics_address, "string", "Serve figures for Prometheus at HOST:PORT/metrics"),
	OPTION_OPT_I64("mtu", 0, T, mtu, "MTU of the default bridge's containers (default 1500)"),
	OPTION_OPT_BOOL("no-new-privileges", 0, T, no_new_privileges, "Containers' processes gain no privileges by execve"),
	OPTION_TEXT("no-proxy", 0, T, no_proxy, "string", "Hosts that are reached without a proxy"),
	OPTION_OPT_I64("oom-score-adjust", 0, T, oom_score_adjust, "The daemon's own OOM score (-1000 to 1000)"),
	OPTION_TEXT("firewall-table", 0, T, firewall_table, "string", "nftables table of our rules (default \"kist\")"),
	OPTION_TEXT("pidfile", 'p', T, pidfile, "string", "Path of the PID file (default EXEC-ROOT/kistd.pid)"),
	OPTION_FLAG("recover", 0, T, recover, "Make a new database of what can be read of an unreadable one, and exit"),
	OPTION_LIST("registry-mirror", 0, T, registry_mirrors, "list", "Mirror tried first for docker.io"),
	OPTION_LIST("serve", 0, T, serve, "host:port", "Serve our images to peers, read-only"),
	OPTION_TEXT("serve-tls-certificate", 0, T, serve_certificate, "path", "Serve them with TLS and this certificate (PEM)"),
	OPTION_TEXT("serve-tls-key", 0, T, serve_key, "path", "and this key"),
	OPTION_TEXT("serve-tls-client-authorities", 0, T, serve_authorities, "path", "and only to peers with a certificate signed by these"),
	OPTION_LIST("peer", 0, T, peers, "[https://]host:port", "Ask this kistd --serve for layers before any registry"),
	OPTION_OPT_I64("shutdown-timeout", 0, T, shutdown_timeout_s, "Seconds that requests get to end at a shutdown (default 15)"),
	OPTION_TEXT("socket-policy", 0, T, socket_policy, "file", "What clients of each socket may ask for"),
	OPTION_LIST("storage-opt", 0, T, storage_options, "list", "overlay2.size=10G: what a container's own files may take, if it does not say (by project quotas of the file system)"),
	OPTION_TEXT("storage-driver", 's', T, storage_driver, "string", "How images are kept: overlay2, erofs or copy (default: as before, else overlay2 where it can be had)"),
	OPTION_OPT_BOOL("tls", 0, T, tls, "Speak TLS on tcp:// sockets; implied by --tlsverify; --tls=false: plain, to everybody"),
	OPTION_TEXT("tlscacert", 0, T, tls_authorities, "path", "Trust client certificates signed by these (default \"" TLS_FOLDER "/ca.pem\")"),
	OPTION_TEXT("tlscert", 0, T, tls_certificate, "path", "TLS certificate (default \"" TLS_FOLDER "/cert.pem\")"),
	OPTION_TEXT("tlskey", 0, T, tls_key, "path", "TLS key (default \"" TLS_FOLDER "/key.pem\")"),
	OPTION_OPT_BOOL("tlsverify", 0, T, tls_verify, "Speak TLS, and only with clients that have a certificate"),
	OPTION_OPT_BOOL("userland-proxy", 0, T, userland_proxy, "Ports that the kernel cannot turn to a container are carried by a program (default true)"),
	OPTION_TEXT("userns-remap", 0, T, userns_remap, "string", "User (and group) whose subordinate ids containers get: default, user or user:group"),
	OPTION_FLAG("validate", 0, T, validate, "Check the configuration and exit"),
	OPTION_FLAG("version", 'v', T, version, "Print version information and quit"),
	OPTION_END,
};
#undef T

static const struct json_field pool_fields[] = {
	JSON_TEXT("base", struct daemon_pool, base, JSON_REQUIRED),
	JSON_I64("size", struct daemon_pool, size, JSON_REQUIRED),
	JSON_END,
};

static const struct json_field ulimit_fields[] = {
	JSON_KEY(struct daemon_ulimit, name),
	JSON_I64("Hard", struct daemon_ulimit, hard, 0),
	JSON_I64("Soft", struct daemon_ulimit, soft, 0),
	JSON_END,
};

static const struct json_field proxies_fields[] = {
	JSON_TEXT("http-proxy", struct daemon_proxies, http, 0),
	JSON_TEXT("https-proxy", struct daemon_proxies, https, 0),
	JSON_TEXT("no-proxy", struct daemon_proxies, no, 0),
	JSON_END,
};

#define T struct daemon_config
static const struct json_field config_fields[] = {
	JSON_TEXT_LIST("authorization-plugins", T, authorization_plugins, 0),
	JSON_TEXT("bip", T, address_pool, 0),
	JSON_TEXT("bridge", T, bridge, 0),
	JSON_TEXT("cgroup-parent", T, cgroup_parent, 0),
	JSON_TEXT("data-root", T, data_root, 0),
	JSON_OPT_BOOL("debug", T, debug, 0),
	JSON_TEXT("default-cgroupns-mode", T, cgroupns_mode, 0),
	JSON_TEXT("default-ipc-mode", T, ipc_mode, 0),
	JSON_OPT_I64("default-stop-timeout", T, stop_timeout_s, 0),
	JSON_MAP("default-ulimits", T, ulimits, ulimit_fields, 0),
	JSON_TEXT_LIST("dns", T, dns, 0),
	JSON_TEXT_LIST("dns-opts", T, dns_options, 0),
	JSON_TEXT_LIST("dns-search", T, dns_search, 0),
	JSON_OPT_BOOL("experimental", T, experimental, 0),
	JSON_TEXT("bip6", T, address_pool6, 0),
	JSON_TEXT("fixed-cidr-v6", T, fixed_range6, 0),
	JSON_OPT_BOOL("ipv6", T, ipv6, 0),
	JSON_TEXT("fixed-cidr", T, fixed_range, 0),
	JSON_TEXT("host-gateway-ip", T, host_gateway, 0),
	JSON_TEXT_LIST("host-gateway-ips", T, host_gateways, 0),
	JSON_OPT_BOOL("icc", T, inter_container, 0),
	JSON_OPT_BOOL("init", T, init, 0),
	JSON_TEXT("ip", T, host_ip, 0),
	JSON_OPT_BOOL("ip-masq", T, masquerade, 0),
	JSON_OPT_BOOL("userland-proxy", T, userland_proxy, 0),
	JSON_TEXT_LIST("labels", T, labels, 0),
	JSON_OPT_I64("max-concurrent-uploads", T, max_concurrent_uploads, 0),
	JSON_TEXT("metrics-addr", T, metrics_address, 0),
	JSON_TEXT("min-api-version", T, min_api_version, 0),
	JSON_OPT_I64("mtu", T, mtu, 0),
	JSON_OPT_BOOL("no-new-privileges", T, no_new_privileges, 0),
	JSON_OPT_I64("oom-score-adjust", T, oom_score_adjust, 0),
	JSON_OBJECT("proxies", T, proxies, proxies_fields, 0),
	JSON_TEXT("socket-policy", T, socket_policy, 0),
	JSON_ARRAY("default-address-pools", T, address_pools, pool_fields, 0),
	JSON_TEXT("default-shm-size", T, default_shm_size, 0),
	JSON_OBJECT("builder", T, builder, daemon_builder_fields, 0),
	JSON_TEXT("default-runtime", T, default_runtime, 0),
	JSON_OBJECT("image-gc", T, image_gc, daemon_image_gc_fields, 0),
	JSON_TEXT("exec-root", T, exec_root, 0),
	JSON_TEXT("storage-driver", T, storage_driver, 0),
	JSON_TEXT_LIST("storage-opts", T, storage_options, 0),
	JSON_TEXT("group", T, group, 0),
	JSON_TEXT_LIST("hosts", T, hosts, 0),
	JSON_TEXT("cni-bin-dir", T, cni_plugin_dirs, 0),
	JSON_TEXT("cni-conf-dir", T, cni_config_dir, 0),
	JSON_TEXT("plugin-dir", T, plugin_dirs, 0),
	JSON_TEXT("init-path", T, init_path, 0),
	JSON_TEXT_LIST("insecure-registries", T, insecure_registries, 0),
	JSON_OPT_BOOL("live-restore", T, live_restore, 0),
	JSON_TEXT("log-driver", T, log_driver, 0),
	JSON_TEXT_LIST("cdi-spec-dirs", T, cdi_folders, 0),
	JSON_TEXT("userns-remap", T, userns_remap, 0),
	JSON_TEXT("log-format", T, log_format, 0),
	JSON_TEXT("log-level", T, log_level, 0),
	JSON_TEXT_MAP("log-opts", T, log_options, 0),
	JSON_OPT_I64("max-concurrent-downloads", T, max_concurrent_downloads, 0),
	JSON_TEXT("firewall-table", T, firewall_table, 0),
	JSON_TEXT("pidfile", T, pidfile, 0),
	JSON_TEXT_LIST("registry-mirrors", T, registry_mirrors, 0),
	JSON_TEXT_LIST("serve", T, serve, 0),
	JSON_TEXT("serve-tls-certificate", T, serve_certificate, 0),
	JSON_TEXT("serve-tls-key", T, serve_key, 0),
	JSON_TEXT("serve-tls-client-authorities", T, serve_authorities, 0),
	JSON_TEXT_LIST("peers", T, peers, 0),
	JSON_MAP("runtimes", T, runtimes, daemon_runtime_fields, 0),
	JSON_OPT_I64("shutdown-timeout", T, shutdown_timeout_s, 0),
	JSON_OPT_BOOL("tls", T, tls, 0),
	JSON_TEXT("tlscacert", T, tls_authorities, 0),
	JSON_TEXT("tlscert", T, tls_certificate, 0),
	JSON_TEXT("tlskey", T, tls_key, 0),
	JSON_OPT_BOOL("tlsverify", T, tls_verify, 0),
	JSON_END,
};
#undef T
/* clang-format on */

static bool is_known(const char *key)
{
	for (const struct json_field *field = config_fields; field->kind != JSON_KIND_END; field++)
		if (text_equal(field->name, key))
			return true;
	return false;
}

/* A value as a command line would have it: words and numbers as they are, all else as JSON. */
static char *value_text(const struct json_value *value)
{
	struct text text = { 0 };

	if (json_value_type(value) == JSON_TYPE_TEXT)
		return xstrdup(json_value_text(value));
	json_value_encode(&text, value, NULL);
	return text_take(&text);
}

static int judge_known_keys(struct daemon_config *config, const struct json_value *root, const struct text_list *keys,
			    struct error *err)
{
	for (size_t i = 0; i < keys->count; i++) {
		const struct known_option *option = known_option_find(keys->items[i]);
		AUTO_FREE char *value = option ? value_text(json_value_get(root, keys->items[i])) : NULL;

		if (option && known_option_judge(option, keys->items[i], value, &config->warnings, err) < 0)
			return -1;
	}
	return 0;
}

static int judge_keys(struct daemon_config *config, const char *text, size_t size, struct error *err)
{
	AUTO(json_value_freep) struct json_value *root = NULL;
	AUTO(text_list_fini) struct text_list keys = { 0 };
	AUTO(text_list_fini) struct text_list unknown = { 0 };
	AUTO_FREE char *joined = NULL;

	if (json_value_parse(&root, text, size, err) < 0)
		return -1;
	if (json_value_type(root) != JSON_TYPE_OBJECT)
		return error_set(err, ERR_INVALID, "expected a JSON object");
	json_value_keys(&keys, root, true);
	for (size_t i = 0; i < keys.count; i++)
		if (!is_known(keys.items[i]) && !known_option_find(keys.items[i]))
			text_list_add(&unknown, keys.items[i]);
	if (unknown.count == 0 && daemon_collection_check_keys(root, err) < 0)
		return -1;
	if (unknown.count == 0)
		return judge_known_keys(config, root, &keys, err);
	joined = text_list_join(&unknown, ", ");
	return error_set(err, ERR_INVALID, "the following directives don't match any configuration option: %s", joined);
}

/* 1 read, 0 there is none. */
static int read_file(struct daemon_config *config, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, CONFIG_FILE_MAX);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "read %s", path);
	if (judge_keys(config, text, size, err) < 0 || json_decode(config, config_fields, text, size, err) < 0)
		return error_prefix(err, "unable to configure kistd with file %s", path);
	return 1;
}

/* ---- flags over file ---- */

static void merge_text(char **value, const char *flag, const char *name, struct text_list *conflicts)
{
	if (!flag)
		return;
	if (*value)
		text_list_addf(conflicts, "%s: (from flag: %s, from file: %s)", name, flag, *value);
	free(*value);
	*value = xstrdup(flag);
}

static void merge_list(struct text_list *value, const struct text_list *flag, const char *name,
		       struct text_list *conflicts)
{
	if (flag->count == 0)
		return;
	if (value->count > 0) {
		AUTO_FREE char *ours = text_list_join(flag, " ");
		AUTO_FREE char *theirs = text_list_join(value, " ");

		text_list_addf(conflicts, "%s: (from flag: [%s], from file: [%s])", name, ours, theirs);
	}
	text_list_add_all(value, flag);
}

static void merge_bool(struct optional_bool *value, struct optional_bool flag, const char *name,
		       struct text_list *conflicts)
{
	if (flag.set && value->set)
		text_list_addf(conflicts, "%s: (from flag: %s, from file: %s)", name, flag.value ? "true" : "false",
			       value->value ? "true" : "false");
	if (flag.set)
		*value = flag;
}

static void merge_i64(struct optional_i64 *value, struct optional_i64 flag, const char *name,
		      struct text_list *conflicts)
{
	if (flag.set && value->set)
		text_list_addf(conflicts, "%s: (from flag: %lld, from file: %lld)", name, (long long)flag.value,
			       (long long)value->value);
	if (flag.set)
		*value = flag;
}

static int merge_log_options(struct text_map *value, const struct text_list *flag, struct text_list *conflicts,
			     struct error *err)
{
	if (flag->count > 0 && value->count > 0)
		text_list_add(conflicts, "log-opts: (from flag and from file)");
	for (size_t i = 0; i < flag->count; i++) {
		const char *equals = strchr(flag->items[i], '=');
		AUTO_FREE char *key = NULL;

		if (!equals || equals == flag->items[i])
			return error_set(err, ERR_INVALID, "invalid --log-opt %s: expected key=value", flag->items[i]);
		key = xstrndup(flag->items[i], (size_t)(equals - flag->items[i]));
		text_map_set(value, key, equals + 1);
	}
	return 0;
}

/* "base=10.10.0.0/16,size=24" */
static int parse_pool(struct daemon_pool *out_pool, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list fields = { 0 };
	const char *base;
	const char *size;

	text_list_split(&fields, text, ',');
	base = text_list_env(&fields, "base");
	size = text_list_env(&fields, "size");
	if (!base || !size || fields.count != 2 || text_parse_i64(&out_pool->size, size, 1, 128) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid default-address-pool \"%s\": base=ADDRESS/BITS,size=BITS is wanted", text);
	out_pool->base = xstrdup(base);
	return 0;
}

static int merge_pools(struct daemon_config *config, const struct text_list *flags, struct text_list *conflicts,
		       struct error *err)
{
	if (flags->count && config->address_pools.count)
		text_list_add(conflicts, "default-address-pools");
	for (size_t i = 0; i < flags->count && !conflicts->count; i++)
		if (parse_pool(json_array_add(&config->address_pools, sizeof(struct daemon_pool)), flags->items[i],
			       err) < 0)
			return -1;
	return 0;
}

/* "nofile=1024:2048" */
static int parse_ulimit(struct daemon_ulimit *out_limit, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	AUTO_FREE char *soft = xstrdup(equals ? equals + 1 : "");
	char *colon = strchr(soft, ':');

	if (colon)
		*colon = '\0';
	if (!equals || text_parse_i64(&out_limit->soft, soft, -1, INT64_MAX) < 0 ||
	    text_parse_i64(&out_limit->hard, colon ? colon + 1 : soft, -1, INT64_MAX) < 0)
		return error_set(err, ERR_INVALID, "invalid ulimit argument: %s: name=soft[:hard] is wanted", text);
	out_limit->name = xstrndup(text, (size_t)(equals - text));
	return 0;
}

static int merge_ulimits(struct daemon_config *config, const struct text_list *flags, struct text_list *conflicts,
			 struct error *err)
{
	if (flags->count && config->ulimits.count)
		text_list_add(conflicts, "default-ulimits");
	for (size_t i = 0; i < flags->count && !conflicts->count; i++)
		if (parse_ulimit(json_array_add(&config->ulimits, sizeof(struct daemon_ulimit)), flags->items[i], err) <
		    0)
			return -1;
	return 0;
}

static int judge_known_flags(struct daemon_config *config, const struct daemon_flags *flags, struct error *err)
{
	for (size_t i = 0; i < known_option_count(); i++) {
		const struct known_option *option = &known_options[i];
		const char *value = flags->known_values[i];
		AUTO_FREE char *name = NULL;

		if (flags->known_bools[i].set)
			value = flags->known_bools[i].value ? "true" : "false";
		if (!value)
			continue;
		name = xasprintf("--%s", option->flag);
		if (known_option_judge(option, name, value, &config->warnings, err) < 0)
			return -1;
	}
	return 0;
}

static void merge_more(struct daemon_config *config, const struct daemon_flags *flags, struct text_list *conflicts)
{
	merge_text(&config->metrics_address, flags->metrics_address, "metrics-addr", conflicts);
	merge_text(&config->socket_policy, flags->socket_policy, "socket-policy", conflicts);
	merge_text(&config->default_runtime, flags->default_runtime, "default-runtime", conflicts);
	merge_text(&config->host_ip, flags->host_ip, "ip", conflicts);
	merge_text(&config->fixed_range, flags->fixed_range, "fixed-cidr", conflicts);
	merge_text(&config->address_pool6, flags->address_pool6, "bip6", conflicts);
	merge_text(&config->fixed_range6, flags->fixed_range6, "fixed-cidr-v6", conflicts);
	merge_bool(&config->ipv6, flags->ipv6, "ipv6", conflicts);
	merge_text(&config->host_gateway, flags->host_gateway, "host-gateway-ip", conflicts);
	merge_text(&config->proxies.http, flags->http_proxy, "http-proxy", conflicts);
	merge_text(&config->proxies.https, flags->https_proxy, "https-proxy", conflicts);
	merge_text(&config->proxies.no, flags->no_proxy, "no-proxy", conflicts);
	merge_text(&config->cgroupns_mode, flags->cgroupns_mode, "default-cgroupns-mode", conflicts);
	merge_text(&config->ipc_mode, flags->ipc_mode, "default-ipc-mode", conflicts);
	merge_list(&config->labels, &flags->labels, "labels", conflicts);
	merge_list(&config->authorization_plugins, &flags->authorization_plugins, "authorization-plugins", conflicts);
	merge_list(&config->dns, &flags->dns, "dns", conflicts);
	merge_list(&config->dns_options, &flags->dns_options, "dns-opts", conflicts);
	merge_list(&config->dns_search, &flags->dns_search, "dns-search", conflicts);
	merge_bool(&config->experimental, flags->experimental, "experimental", conflicts);
	merge_bool(&config->inter_container, flags->inter_container, "icc", conflicts);
	merge_bool(&config->masquerade, flags->masquerade, "ip-masq", conflicts);
	merge_bool(&config->userland_proxy, flags->userland_proxy, "userland-proxy", conflicts);
	merge_bool(&config->init, flags->init, "init", conflicts);
	merge_bool(&config->no_new_privileges, flags->no_new_privileges, "no-new-privileges", conflicts);
	merge_i64(&config->max_concurrent_uploads, flags->max_concurrent_uploads, "max-concurrent-uploads", conflicts);
	merge_i64(&config->stop_timeout_s, flags->stop_timeout_s, "default-stop-timeout", conflicts);
	merge_i64(&config->oom_score_adjust, flags->oom_score_adjust, "oom-score-adjust", conflicts);
	merge_i64(&config->mtu, flags->mtu, "mtu", conflicts);
}

static int merge(struct daemon_config *config, const struct daemon_flags *flags, const char *file, struct error *err)
{
	AUTO(text_list_fini) struct text_list conflicts = { 0 };
	AUTO_FREE char *joined = NULL;

	merge_text(&config->data_root, flags->data_root, "data-root", &conflicts);
	merge_text(&config->exec_root, flags->exec_root, "exec-root", &conflicts);
	merge_text(&config->storage_driver, flags->storage_driver, "storage-driver", &conflicts);
	merge_text(&config->pidfile, flags->pidfile, "pidfile", &conflicts);
	merge_text(&config->group, flags->group, "group", &conflicts);
	merge_text(&config->bridge, flags->bridge, "bridge", &conflicts);
	merge_text(&config->address_pool, flags->address_pool, "bip", &conflicts);
	merge_text(&config->cgroup_parent, flags->cgroup_parent, "cgroup-parent", &conflicts);
	merge_text(&config->init_path, flags->init_path, "init-path", &conflicts);
	merge_text(&config->cni_plugin_dirs, flags->cni_plugin_dirs, "cni-bin-dir", &conflicts);
	merge_text(&config->plugin_dirs, flags->plugin_dirs, "plugin-dir", &conflicts);
	merge_text(&config->cni_config_dir, flags->cni_config_dir, "cni-conf-dir", &conflicts);
	merge_text(&config->firewall_table, flags->firewall_table, "firewall-table", &conflicts);
	merge_text(&config->default_shm_size, flags->default_shm_size, "default-shm-size", &conflicts);
	merge_list(&config->storage_options, &flags->storage_options, "storage-opts", &conflicts);
	merge_list(&config->cdi_folders, &flags->cdi_folders, "cdi-spec-dirs", &conflicts);
	merge_text(&config->userns_remap, flags->userns_remap, "userns-remap", &conflicts);
	merge_text(&config->log_driver, flags->log_driver, "log-driver", &conflicts);
	merge_text(&config->log_level, flags->log_level, "log-level", &conflicts);
	merge_text(&config->log_format, flags->log_format, "log-format", &conflicts);
	merge_list(&config->hosts, &flags->hosts, "hosts", &conflicts);
	merge_list(&config->insecure_registries, &flags->insecure_registries, "insecure-registries", &conflicts);
	merge_list(&config->registry_mirrors, &flags->registry_mirrors, "registry-mirrors", &conflicts);
	merge_list(&config->serve, &flags->serve, "serve", &conflicts);
	merge_text(&config->serve_certificate, flags->serve_certificate, "serve-tls-certificate", &conflicts);
	merge_text(&config->serve_key, flags->serve_key, "serve-tls-key", &conflicts);
	merge_text(&config->serve_authorities, flags->serve_authorities, "serve-tls-client-authorities", &conflicts);
	merge_list(&config->peers, &flags->peers, "peers", &conflicts);
	merge_text(&config->tls_authorities, flags->tls_authorities, "tlscacert", &conflicts);
	merge_text(&config->tls_certificate, flags->tls_certificate, "tlscert", &conflicts);
	merge_text(&config->tls_key, flags->tls_key, "tlskey", &conflicts);
	merge_bool(&config->tls, flags->tls, "tls", &conflicts);
	merge_bool(&config->tls_verify, flags->tls_verify, "tlsverify", &conflicts);
	merge_bool(&config->debug, flags->debug, "debug", &conflicts);
	merge_bool(&config->live_restore, flags->live_restore, "live-restore", &conflicts);
	merge_i64(&config->shutdown_timeout_s, flags->shutdown_timeout_s, "shutdown-timeout", &conflicts);
	merge_i64(&config->max_concurrent_downloads, flags->max_concurrent_downloads, "max-concurrent-downloads",
		  &conflicts);
	merge_more(config, flags, &conflicts);
	if (merge_pools(config, &flags->address_pools, &conflicts, err) < 0 ||
	    merge_ulimits(config, &flags->ulimits, &conflicts, err) < 0 ||
	    daemon_runtimes_add(config, &flags->runtimes, err) < 0 || judge_known_flags(config, flags, err) < 0)
		return -1;
	if (merge_log_options(&config->log_options, &flags->log_options, &conflicts, err) < 0)
		return -1;
	if (conflicts.count == 0)
		return 0;
	joined = text_list_join(&conflicts, ", ");
	return error_set(err, ERR_INVALID,
			 "unable to configure kistd with file %s: the following directives are specified both as a "
			 "flag and in the configuration file: %s",
			 file, joined);
}

static void default_text(char **value, const char *otherwise)
{
	if (text_empty(*value)) {
		free(*value);
		*value = xstrdup(otherwise);
	}
}

static int make_absolute(char **path, struct error *err)
{
	char *absolute = path_absolute(*path);

	if (!absolute)
		return error_set(err, ERR_INVALID, "path %s: there is no current directory", *path);
	free(*path);
	*path = absolute;
	return 0;
}

static void fill_as_dockerd(struct daemon_config *config)
{
	if (config->hosts.count == 0 && text_empty(getenv("LISTEN_FDS")))
		text_list_add(&config->hosts, "unix:///var/run/docker.sock");
	default_text(&config->pidfile, "/var/run/docker.pid");
}

static int fill_defaults(struct daemon_config *config, bool as_dockerd, struct error *err)
{
	AUTO_FREE char *pidfile = NULL;

	if (as_dockerd)
		fill_as_dockerd(config);

	default_text(&config->data_root, "/var/lib/kist");
	default_text(&config->exec_root, "/run/kist");
	default_text(&config->bridge, "kist0");
	default_text(&config->cgroup_parent, "kist");
	default_text(&config->firewall_table, "kist");
	default_text(&config->log_driver, "json-file");
	default_text(&config->log_level, "info");
	default_text(&config->log_format, "text");
	default_text(&config->default_shm_size, "64m");
	if (daemon_config_uses_tls(config)) {
		default_text(&config->tls_authorities, TLS_FOLDER "/ca.pem");
		default_text(&config->tls_certificate, TLS_FOLDER "/cert.pem");
		default_text(&config->tls_key, TLS_FOLDER "/key.pem");
	}
	if (make_absolute(&config->data_root, err) < 0 || make_absolute(&config->exec_root, err) < 0)
		return -1;
	pidfile = path_join(config->exec_root, "kistd.pid");
	default_text(&config->pidfile, pidfile);
	return make_absolute(&config->pidfile, err);
}

bool daemon_config_is_loopback(const char *address)
{
	return text_has_prefix(address, "tcp://127.") || text_has_prefix(address, "tcp://localhost:") ||
	       text_has_prefix(address, "tcp://[::1]:");
}

/* Whoever reaches the API is root here: to serve it to everybody takes more than a forgotten option. */
static int check_hosts(const struct daemon_config *config, struct error *err)
{
	if (config->tls.set && !config->tls.value && optional_bool_or(config->tls_verify, false))
		return error_set(err, ERR_INVALID, "tlsverify needs TLS, and tls is false");
	for (size_t i = 0; i < config->hosts.count; i++) {
		const char *host = config->hosts.items[i];

		if (!text_has_prefix(host, "unix://") && !text_has_prefix(host, "tcp://") &&
		    !text_has_prefix(host, "fd://"))
			return error_set(err, ERR_INVALID, "invalid host %s: expected unix://, tcp:// or fd://", host);
		if (text_has_prefix(host, "tcp://") && !daemon_config_is_loopback(host) && !config->tls.set &&
		    !optional_bool_or(config->tls_verify, false))
			return error_set(err, ERR_INVALID,
					 "host %s: whoever reaches it would be root on this machine: use --tlsverify "
					 "with certificates, or say --tls=false to serve everybody",
					 host);
	}
	return 0;
}

static int check_serve(const struct daemon_config *config, struct error *err)
{
	if (!config->serve_certificate != !config->serve_key)
		return error_set(err, ERR_INVALID, "serve-tls-certificate and serve-tls-key belong together");
	if (config->serve_authorities && !config->serve_certificate)
		return error_set(err, ERR_INVALID, "serve-tls-client-authorities needs serve-tls-certificate");
	if (config->serve_certificate && config->serve.count == 0)
		return error_set(err, ERR_INVALID, "serve-tls-certificate is for serve, and serve names no address");
	for (size_t i = 0; i < config->peers.count; i++) {
		const char *peer = config->peers.items[i];
		const char *scheme = strstr(peer, "://");
		const char *host = scheme ? scheme + strlen("://") : peer;

		if ((scheme && !text_has_prefix(peer, "https://") && !text_has_prefix(peer, "http://")) || !*host ||
		    strpbrk(host, "/ @?#"))
			return error_set(err, ERR_INVALID,
					 "invalid peer %s: expected host:port, http://host:port or https://host:port",
					 peer);
	}
	return 0;
}

static int check_range(struct optional_i64 value, int64_t min, int64_t max, const char *name, struct error *err)
{
	if (value.set && (value.value < min || value.value > max))
		return error_set(err, ERR_INVALID, "invalid %s %lld: expected %lld to %lld", name,
				 (long long)value.value, (long long)min, (long long)max);
	return 0;
}

static int check_ranges(const struct daemon_config *config, struct error *err)
{
	if (check_range(config->max_concurrent_downloads, 1, 64, "max-concurrent-downloads", err) < 0 ||
	    check_range(config->max_concurrent_uploads, 1, 64, "max-concurrent-uploads", err) < 0 ||
	    check_range(config->stop_timeout_s, 1, INT32_MAX, "default-stop-timeout", err) < 0 ||
	    check_range(config->oom_score_adjust, -1000, 1000, "oom-score-adjust", err) < 0)
		return -1;
	return check_range(config->mtu, 68, 65535, "mtu", err);
}

int daemon_config_storage_size(int64_t *out_bytes, const struct daemon_config *config, struct error *err)
{
	*out_bytes = 0;
	for (size_t i = 0; i < config->storage_options.count; i++) {
		const char *option = config->storage_options.items[i];
		const char *size = text_after(option, "overlay2.size=");

		if (!strchr(option, '='))
			return error_set(err, ERR_INVALID, "unable to parse storage-opt \"%s\": key=value is wanted",
					 option);
		if (!size)
			return error_set(err, ERR_INVALID, "overlay2: unknown option %.*s", (int)strcspn(option, "="),
					 option);
		if (text_parse_size(out_bytes, size) < 0 || *out_bytes < 0)
			return error_set(err, ERR_INVALID, "storage-opt %s: invalid size: '%s'", option, size);
	}
	return 0;
}

static int check_words(const struct daemon_config *config, struct error *err)
{
	const char *cgroupns = config->cgroupns_mode;
	const char *ipc = config->ipc_mode;
	enum store_driver driver;
	int64_t storage_size;

	if (cgroupns && !text_equal(cgroupns, "host") && !text_equal(cgroupns, "private"))
		return error_set(err, ERR_INVALID,
				 "default cgroup namespace mode (%s) is invalid; use \"host\" or "
				 "\"private\"",
				 cgroupns);
	if (ipc && !text_equal(ipc, "shareable") && !text_equal(ipc, "private"))
		return error_set(err, ERR_INVALID,
				 "IPC mode (%s) is not supported as default value; use \"shareable\" or "
				 "\"private\"",
				 ipc);
	if (config->storage_driver && store_driver_parse(&driver, config->storage_driver, err) < 0)
		return -1;
	if (daemon_config_storage_size(&storage_size, config, err) < 0)
		return -1;
	for (size_t i = 0; i < config->labels.count; i++)
		if (!strchr(config->labels.items[i], '='))
			return error_set(err, ERR_INVALID, "bad attribute format: %s: key=value is wanted",
					 config->labels.items[i]);
	return check_serve(config, err) < 0 ? -1 : check_ranges(config, err);
}

static int check_tables(const struct daemon_config *config, struct error *err)
{
	struct collector_settings settings;

	if (daemon_runtimes_check(config, err) < 0 || daemon_collection_parse(&settings, config, err) < 0)
		return -1;
	free((void *)(uintptr_t)settings.rules);
	return 0;
}

static int check_values(const struct daemon_config *config, struct error *err)
{
	if ((config->address_pool6 || config->fixed_range6) && !optional_bool_or(config->ipv6, false))
		return error_set(err, ERR_INVALID, "%s is given, but the default bridge has IPv6 only with ipv6",
				 config->address_pool6 ? "bip6" : "fixed-cidr-v6");
	enum log_level level;
	int64_t size;

	if (log_level_parse(&level, config->log_level) < 0)
		return error_set(err, ERR_INVALID, "invalid log-level %s: expected debug, info, warn or error",
				 config->log_level);
	if (!text_equal(config->log_format, "text") && !text_equal(config->log_format, "json"))
		return error_set(err, ERR_INVALID, "invalid log-format %s: expected text or json", config->log_format);
	if (text_parse_size(&size, config->default_shm_size) < 0 || size <= 0)
		return error_set(err, ERR_INVALID, "invalid default-shm-size %s", config->default_shm_size);
	if (config->live_restore.set && !config->live_restore.value)
		return error_set(err, ERR_INVALID,
				 "live-restore cannot be turned off: containers always outlive kistd");
	if (check_hosts(config, err) < 0 || check_words(config, err) < 0 || check_tables(config, err) < 0)
		return -1;
	return log_options_check(config->log_driver, &config->log_options, err);
}

static void flags_fini(struct daemon_flags *flags)
{
	text_list_fini(&flags->labels);
	text_list_fini(&flags->authorization_plugins);
	text_list_fini(&flags->dns);
	text_list_fini(&flags->dns_options);
	text_list_fini(&flags->dns_search);
	text_list_fini(&flags->ulimits);
	text_list_fini(&flags->hosts);
	text_list_fini(&flags->log_options);
	text_list_fini(&flags->cdi_folders);
	text_list_fini(&flags->storage_options);
	text_list_fini(&flags->insecure_registries);
	text_list_fini(&flags->address_pools);
	text_list_fini(&flags->registry_mirrors);
	text_list_fini(&flags->serve);
	text_list_fini(&flags->peers);
	text_list_fini(&flags->runtimes);
}

static const char *default_file(bool as_dockerd)
{
	return as_dockerd ? CONFIG_FILE_DOCKERD : CONFIG_FILE_DEFAULT;
}

static int load_file(struct daemon_config *config, char **out_file, const struct daemon_flags *flags, bool as_dockerd,
		     struct error *err)
{
	const char *path = flags->config_file ? flags->config_file : default_file(as_dockerd);
	int r = read_file(config, path, err);

	if (r < 0)
		return -1;
	if (r == 0 && flags->config_file)
		return error_set(err, ERR_INVALID, "unable to configure kistd with file %s: it does not exist", path);
	*out_file = r ? xstrdup(path) : NULL;
	return 0;
}

static enum config_action action_of(const struct daemon_flags *flags)
{
	if (flags->help)
		return CONFIG_HELP;
	if (flags->version)
		return CONFIG_VERSION;
	if (flags->recover)
		return CONFIG_RECOVER;
	return flags->validate ? CONFIG_VALIDATE : CONFIG_RUN;
}

static int load(struct daemon_config *config, const struct daemon_flags *flags, char **out_file, bool as_dockerd,
		struct error *err)
{
	if (load_file(config, out_file, flags, as_dockerd, err) < 0 ||
	    merge(config, flags, *out_file ? *out_file : default_file(as_dockerd), err) < 0 ||
	    fill_defaults(config, as_dockerd, err) < 0)
		return -1;
	return check_values(config, err);
}

bool daemon_config_is_dockerd(const char *program)
{
	const char *slash = strrchr(text_or_empty(program), '/');

	return text_equal(slash ? slash + 1 : program, "dockerd");
}

/* Our options and those of dockerd's that we only judge, as one table; yours. */
static struct option_spec *all_options(void)
{
	size_t count = sizeof(flag_table) / sizeof(flag_table[0]) - 1;
	struct option_spec *all = xcalloc(count + known_option_count() + 1, sizeof(*all));

	memcpy(all, flag_table, count * sizeof(*all));
	for (size_t i = 0; i < known_option_count(); i++) {
		const struct known_option *known = &known_options[i];

		if (!known->flag)
			continue;
		all[count++] = (struct option_spec){
			.name = known->flag,
			.kind = known->is_bool ? OPTION_KIND_OPT_BOOL : OPTION_KIND_TEXT,
			.offset = known->is_bool ? offsetof(struct daemon_flags, known_bools) +
							   i * sizeof(struct optional_bool)
						 : offsetof(struct daemon_flags, known_values) + i * sizeof(char *),
			.value_name = known->is_bool ? NULL : "value",
			.call_is_flag = known->is_bool,
		};
	}
	return all;
}

int daemon_config_load(struct daemon_config *out_config, enum config_action *out_action, char **out_file, int argc,
		       char *const *argv, struct error *err)
{
	AUTO(flags_fini) struct daemon_flags flags = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO_FREE struct option_spec *options = all_options();
	bool as_dockerd = daemon_config_is_dockerd(argv[0]);

	*out_file = NULL;
	if (options_parse(options, &flags, argc, argv, 0, &operands, err) < 0)
		return -1;
	if (operands.count > 0)
		return error_set(err, ERR_INVALID, "\"%s\" accepts no arguments: %s", as_dockerd ? "dockerd" : "kistd",
				 operands.items[0]);
	*out_action = action_of(&flags);
	if (*out_action == CONFIG_HELP || *out_action == CONFIG_VERSION)
		return 0;
	if (load(out_config, &flags, out_file, as_dockerd, err) == 0)
		return 0;
	daemon_config_fini(out_config);
	free(*out_file);
	*out_file = NULL;
	return -1;
}

void daemon_config_fini(struct daemon_config *config)
{
	json_free_fields(config, config_fields);
	text_list_fini(&config->warnings);
}

enum log_level daemon_config_log_level(const struct daemon_config *config)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (optional_bool_or(config->debug, false))
		return LOG_LEVEL_DEBUG;
	log_level_parse(&level, config->log_level);
	return level;
}

int64_t daemon_config_shm_size(const struct daemon_config *config)
{
	int64_t size = 0;

	text_parse_size(&size, config->default_shm_size);
	return size;
}

bool daemon_config_uses_tls(const struct daemon_config *config)
{
	return optional_bool_or(config->tls, false) || optional_bool_or(config->tls_verify, false);
}

char *daemon_config_help(const char *program)
{
	AUTO_FREE char *options = options_help(flag_table);

	return xasprintf("\nUsage:  %s [OPTIONS]\n\nThe kist engine: runs containers, speaks the Docker API.\n\n"
			 "Options:\n%s",
			 program, options);
}
