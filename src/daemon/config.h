/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - how this kistd shall run: dockerd's flags, and the same things in
 * daemon.json under dockerd's names. What is said in both places is refused, as
 * dockerd does, and so is a key nobody knows.
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

/* default-address-pools: {"base":"10.10.0.0/16","size":24} */
struct daemon_pool {
	char *base;
	int64_t size;
};

struct daemon_config {
	char *data_root;
	char *exec_root;
	struct text_list hosts;
	char *pidfile;
	char *group;
	char *bridge;
	char *address_pool; /* bip */
	JSON_ARRAY_OF(struct daemon_pool) address_pools;
	char *cgroup_parent;
	char *init_path;
	char *firewall_table;
	char *default_shm_size;
	char *log_driver;
	struct text_map log_options;
	char *log_level;
	char *log_format;
	struct text_list insecure_registries;
	struct text_list registry_mirrors;
	char *tls_authorities; /* tlscacert, tlscert, tlskey: set whenever tls or tlsverify is */
	char *tls_certificate;
	char *tls_key;
	struct optional_bool tls;
	struct optional_bool tls_verify;
	struct optional_bool debug;
	struct optional_bool live_restore;
	struct optional_i64 shutdown_timeout_s;
	struct optional_i64 max_concurrent_downloads;
};

enum config_action { CONFIG_RUN, CONFIG_VALIDATE, CONFIG_VERSION, CONFIG_HELP };

/*
 * Command line, then file; defaults filled, values judged. *out_file (yours; NULL: none was read) is what SIGHUP
 * reads again.
 */
int daemon_config_load(struct daemon_config *out_config, enum config_action *out_action, char **out_file, int argc,
		       char *const *argv, struct error *err);
/* Only what SIGHUP may change, from the file alone: debug. */
int daemon_config_reload_debug(struct optional_bool *out_debug, const char *file, struct error *err);
void daemon_config_fini(struct daemon_config *config);
enum log_level daemon_config_log_level(const struct daemon_config *config);
int64_t daemon_config_shm_size(const struct daemon_config *config);
/* A tcp:// address that only this machine reaches. */
bool daemon_config_is_loopback(const char *address);
/* tcp:// sockets speak TLS. */
bool daemon_config_uses_tls(const struct daemon_config *config);
/* The text of --help. */
char *daemon_config_help(void);
