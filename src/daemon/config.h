/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - how this kistd shall run: dockerd's flags, and the same things in
 * daemon.json under dockerd's names. What is said in both places is refused, as
 * dockerd does, and so is a key nobody knows. Options of dockerd's that kistd does
 * not have are judged by known.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/optional.h"
#include "base/text.h"
#include "json/json.h"

#define CONFIG_FILE_DEFAULT "/etc/kist/daemon.json"

#define CONFIG_FILE_DOCKERD "/etc/docker/daemon.json"

/* default-ulimits: {"nofile":{"Hard":64000,"Soft":32000}} */
struct daemon_ulimit {
	char *name;
	int64_t hard;
	int64_t soft;
};

struct daemon_proxies {
	char *http;
	char *https;
	char *no;
};

/* default-address-pools: {"base":"10.10.0.0/16","size":24} */
struct daemon_pool {
	char *base;
	int64_t size;
};

/* runtimes: {"crun":{"path":"/usr/bin/crun","runtimeArgs":["--debug"]}} */
struct daemon_runtime {
	char *name;
	char *path;
	struct text_list arguments;
	char *type;
	char *options; /* JSON */
};

/* builder.gc: {"enabled":true,"policy":[{"keepStorage":"10GB","filter":["unused-for=48h"]}]} */
struct daemon_gc_rule {
	char *keep_storage;
	char *reserved_space; /* its name from dockerd 28 on */
	struct text_list filter;
	bool all;
};

struct daemon_gc {
	bool enabled;
	char *keep_storage;
	char *reserved_space;
	JSON_ARRAY_OF(struct daemon_gc_rule) rules;
};

struct daemon_builder {
	struct daemon_gc gc;
};

/* image-gc: {"enabled":true,"unused-for":"720h","keep-storage":"20GB","interval":"10m"} */
struct daemon_image_gc {
	bool enabled;
	char *unused_for;
	char *keep_storage;
	char *interval;
};

struct daemon_config {
	char *data_root;
	char *exec_root;
	char *storage_driver;
	struct text_list storage_options; /* storage-opts */
	struct text_list hosts;
	char *pidfile;
	char *group;
	char *bridge;
	char *address_pool; /* bip */
	JSON_ARRAY_OF(struct daemon_pool) address_pools;
	char *cgroup_parent;
	char *init_path;
	char *cni_config_dir;
	char *cni_plugin_dirs;
	char *plugin_dirs;
	char *firewall_table;
	char *default_shm_size;
	char *userns_remap;
	struct text_list cdi_folders;
	char *log_driver;
	struct text_map log_options;
	char *log_level;
	char *log_format;
	struct text_list insecure_registries;
	struct text_list registry_mirrors;
	struct text_list serve;	 /* host:port: our store for peers */
	char *serve_certificate; /* with serve_key: TLS there; NULL: plain */
	char *serve_key;
	char *serve_authorities; /* NULL: peers need no certificate */
	struct text_list peers;	 /* [http[s]://]host:port of theirs */
	char *tls_authorities;	 /* tlscacert, tlscert, tlskey: set whenever tls or tlsverify is */
	char *tls_certificate;
	char *tls_key;
	struct optional_bool tls;
	struct optional_bool tls_verify;
	struct optional_bool debug;
	struct optional_bool live_restore;
	struct optional_i64 shutdown_timeout_s;
	struct optional_i64 max_concurrent_downloads;
	struct optional_i64 max_concurrent_uploads;
	struct optional_i64 stop_timeout_s; /* default-stop-timeout */
	struct optional_i64 oom_score_adjust;
	struct optional_i64 mtu;
	struct text_list labels;
	struct text_list authorization_plugins;
	char *metrics_address;
	char *socket_policy;
	char *min_api_version;
	char *host_ip;	     /* ip: where ports are published */
	char *fixed_range;   /* fixed-cidr */
	char *address_pool6; /* bip6 */
	char *fixed_range6;  /* fixed-cidr-v6 */
	struct optional_bool ipv6;
	char *host_gateway;
	struct text_list host_gateways; /* the same in the file */
	struct optional_bool experimental;
	struct optional_bool inter_container; /* icc */
	struct optional_bool masquerade;      /* ip-masq */
	struct optional_bool userland_proxy;  /* userland-proxy */
	struct daemon_proxies proxies;
	/* of containers that do not say themselves */
	struct text_list dns;
	struct text_list dns_options;
	struct text_list dns_search;
	JSON_ARRAY_OF(struct daemon_ulimit) ulimits;
	char *cgroupns_mode;
	char *ipc_mode;
	struct optional_bool init;
	struct optional_bool no_new_privileges;
	JSON_ARRAY_OF(struct daemon_runtime) runtimes;
	char *default_runtime;
	struct daemon_builder builder;
	struct daemon_image_gc image_gc;
	struct text_list warnings; /* what was taken, but has no effect */
};

enum config_action { CONFIG_RUN, CONFIG_VALIDATE, CONFIG_RECOVER, CONFIG_VERSION, CONFIG_HELP };

/*
 * Command line, then file; defaults filled, values judged. *out_file (yours; NULL: none was read) is what SIGHUP
 * reads again.
 */
int daemon_config_load(struct daemon_config *out_config, enum config_action *out_action, char **out_file, int argc,
		       char *const *argv, struct error *err);
/* Started by the name of dockerd: with its files and its socket. */
bool daemon_config_is_dockerd(const char *program);
void daemon_config_fini(struct daemon_config *config);
enum log_level daemon_config_log_level(const struct daemon_config *config);
/* overlay2.size of storage-opts; 0: no limit. */
int daemon_config_storage_size(int64_t *out_bytes, const struct daemon_config *config, struct error *err);
int64_t daemon_config_shm_size(const struct daemon_config *config);
/* A tcp:// address that only this machine reaches. */
bool daemon_config_is_loopback(const char *address);
/* tcp:// sockets speak TLS. */
bool daemon_config_uses_tls(const struct daemon_config *config);
/* The text of --help. */
char *daemon_config_help(const char *program);
