/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system.h - what this engine and its host are: GET /info, /version, /system/df.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"
#include "json/json.h"

struct engine;

#define ENGINE_SERVER_VERSION "28.5.2" /* the dockerd whose behaviour we give */
#define ENGINE_API_VERSION "1.51"
#define ENGINE_MIN_API_VERSION "1.24"

/* In `warnings`, and in the log once: what isolation of our own helpers this kernel lacks. */
#define SYSTEM_NO_LANDLOCK                                                                                             \
	"WARNING: No Landlock support: kist-transfer, which talks to registries, is confined by its user and seccomp " \
	"only, and could read world-readable files"

/* The same: what the data root's file system lacks; %s: its name. */
#define SYSTEM_NO_OVERLAY                                                                                              \
	"WARNING: The data root is on %s, which cannot hold containers' layers (overlay): images can be kept, pulled " \
	"and pushed, but no container starts"
#define SYSTEM_COPIES                                                                                                  \
	"WARNING: The data root is on %s, which cannot hold overlays: each container is a copy of its image (storage " \
	"driver copy)"

struct store;
/* One of the two, yours, or NULL. */
char *system_storage_warning(struct store *store);

struct version_component {
	char *name;
	char *version;
	struct text_map details;
};

struct platform_name {
	char *name;
};

struct system_version {
	struct platform_name platform;
	JSON_ARRAY_OF(struct version_component) components;
	char *version;
	char *api_version;
	char *min_api_version;
	char *git_commit;
	char *go_version;
	char *os;
	char *arch;
	char *kernel_version;
	bool experimental;
	char *build_time;
};
extern const struct json_field system_version_fields[];
int system_version(struct system_version *out_version, struct engine *engine, struct error *err);

struct info_pair {
	struct text_list values; /* two */
};
struct info_plugins {
	struct text_list volume;
	struct text_list network;
	struct text_list authorization;
	struct text_list log;
};
struct info_index {
	char *key;
	char *name;
	struct text_list mirrors;
	bool secure;
	bool official;
};
struct info_registry {
	struct text_list insecure_cidrs;
	JSON_ARRAY_OF(struct info_index) indexes;
	struct text_list mirrors;
};
struct info_runtime {
	char *key;
	char *path;
	struct text_list arguments;
};
struct info_swarm {
	char *node_id;
	char *node_addr;
	char *local_node_state;
	bool control_available;
	char *error;
	struct text_list remote_managers;
};
struct info_commit {
	char *id;
};

/* 59 keys at API 1.51. */
struct system_info {
	char *id;
	int64_t containers;
	int64_t containers_running;
	int64_t containers_paused;
	int64_t containers_stopped;
	int64_t images;
	char *driver;
	JSON_ARRAY_OF(struct info_pair) driver_status;
	struct info_plugins plugins;
	bool memory_limit;
	bool swap_limit;
	bool cpu_cfs_period;
	bool cpu_cfs_quota;
	bool cpu_shares;
	bool cpu_set;
	bool pids_limit;
	bool ipv4_forwarding;
	bool debug;
	int64_t file_descriptors;
	bool oom_kill_disable;
	int64_t goroutines; /* threads */
	char *system_time;
	char *logging_driver;
	char *cgroup_driver;
	char *cgroup_version;
	int64_t event_listeners;
	char *kernel_version;
	char *operating_system;
	char *os_version;
	char *os_type;
	char *architecture;
	char *index_server_address;
	struct info_registry registry;
	int64_t cpu_count;
	int64_t memory_total;
	char *docker_root_dir;
	char *http_proxy;
	char *https_proxy;
	char *no_proxy;
	char *name;
	struct text_list labels;
	bool experimental;
	char *server_version;
	JSON_ARRAY_OF(struct info_runtime) runtimes;
	char *default_runtime;
	struct info_swarm swarm;
	bool live_restore;
	char *isolation;
	char *init_binary;
	struct info_commit containerd_commit;
	struct info_commit runc_commit;
	struct info_commit init_commit;
	struct text_list security_options;
	struct text_list cdi_spec_dirs;
	struct text_list warnings;
};
extern const struct json_field system_info_fields[];
int system_info(struct system_info *out_info, struct engine *engine, struct error *err);
