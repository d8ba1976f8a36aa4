/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_config.h - what the user asked for, in the Docker API's own words:
 * Config, HostConfig and NetworkingConfig of API 1.51 as structs with their
 * JSON tables. The same tables decode a create body, store the container and
 * encode its inspect document. Plain values: free them with the table
 * (json_free_fields). Nothing here judges a value; container_check.c does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"
#include "json/json.h"

/* A member of a JSON object whose value is {}: ExposedPorts, Volumes. */
struct key_item {
	char *key;
};
struct key_set {
	struct key_item *items;
	size_t count;
};

struct health_config {
	struct text_list test;
	int64_t interval_ns;
	int64_t timeout_ns;
	int64_t start_period_ns;
	int64_t start_interval_ns;
	int64_t retries;
};

struct container_config {
	char *hostname;
	char *domainname;
	char *user;
	bool attach_stdin;
	bool attach_stdout;
	bool attach_stderr;
	struct key_set exposed_ports; /* "80/tcp" */
	bool tty;
	bool open_stdin;
	bool stdin_once;
	struct text_list env;
	struct text_list cmd;
	struct health_config *healthcheck;
	bool args_escaped;
	char *image; /* as the user wrote it */
	struct key_set volumes;
	char *working_dir;
	struct text_list entrypoint;
	bool network_disabled;
	char *mac_address;
	struct text_list on_build;
	struct text_map labels;
	char *stop_signal;
	struct optional_i64 stop_timeout;
	struct text_list shell;
};

struct port_binding {
	char *host_ip;
	char *host_port; /* "", "8080" or "8000-8010" */
};

struct port_bindings {
	char *port; /* "80/tcp" */
	JSON_ARRAY_OF(struct port_binding) bindings;
};
struct port_map {
	struct port_bindings *items;
	size_t count;
};

struct restart_policy {
	char *name; /* "", "no", "always", "on-failure", "unless-stopped" */
	int64_t maximum_retry_count;
};

struct log_config {
	char *type;
	struct text_map options;
};

struct u64_item {
	uint64_t value;
};

struct weight_device {
	char *path;
	int64_t weight;
};

struct throttle_device {
	char *path;
	uint64_t rate;
};
struct throttle_devices {
	struct throttle_device *items;
	size_t count;
};

struct device_mapping {
	char *path_on_host;
	char *path_in_container;
	char *cgroup_permissions;
};

struct text_list_item {
	struct text_list values;
};

struct device_request {
	char *driver;
	int64_t count;
	struct text_list device_ids;
	JSON_ARRAY_OF(struct text_list_item) capabilities;
	struct text_map options;
};

struct ulimit {
	char *name;
	int64_t hard;
	int64_t soft;
};

struct bind_options {
	char *propagation;
	bool non_recursive;
	bool create_mountpoint;
	bool read_only_non_recursive;
	bool read_only_force_recursive;
};

struct volume_driver_config {
	char *name;
	struct text_map options;
};

struct volume_options {
	bool no_copy;
	struct text_map labels;
	char *subpath;
	struct volume_driver_config *driver;
};

struct image_mount_options {
	char *subpath;
};

struct tmpfs_options {
	int64_t size_bytes;
	uint32_t mode;
	JSON_ARRAY_OF(struct text_list_item) options;
};

struct mount_request {
	char *type; /* bind, volume, tmpfs, image, npipe, cluster */
	char *source;
	char *target;
	bool read_only;
	char *consistency;
	struct bind_options *bind;
	struct volume_options *volume;
	struct image_mount_options *image;
	struct tmpfs_options *tmpfs;
};

struct host_config {
	struct text_list binds;
	char *container_id_file;
	struct log_config log_config;
	char *network_mode;
	struct port_map port_bindings;
	struct restart_policy restart_policy;
	bool auto_remove;
	char *volume_driver;
	struct text_list volumes_from;
	JSON_ARRAY_OF(struct u64_item) console_size; /* height, width */
	struct text_map annotations;
	struct text_list cap_add;
	struct text_list cap_drop;
	char *cgroupns_mode;
	struct text_list dns;
	struct text_list dns_options;
	struct text_list dns_search;
	struct text_list extra_hosts;
	struct text_list group_add;
	char *ipc_mode;
	char *cgroup;
	struct text_list links;
	int64_t oom_score_adj;
	char *pid_mode;
	bool privileged;
	bool publish_all_ports;
	bool readonly_rootfs;
	struct text_list security_opt;
	struct text_map storage_opt;
	struct text_map tmpfs;
	char *uts_mode;
	char *userns_mode;
	int64_t shm_size;
	struct text_map sysctls;
	char *runtime;
	char *isolation;
	int64_t cpu_shares;
	int64_t memory;
	int64_t nano_cpus;
	char *cgroup_parent;
	int64_t blkio_weight;
	JSON_ARRAY_OF(struct weight_device) blkio_weight_device;
	struct throttle_devices blkio_read_bps;
	struct throttle_devices blkio_write_bps;
	struct throttle_devices blkio_read_iops;
	struct throttle_devices blkio_write_iops;
	int64_t cpu_period;
	int64_t cpu_quota;
	int64_t cpu_realtime_period;
	int64_t cpu_realtime_runtime;
	char *cpuset_cpus;
	char *cpuset_mems;
	JSON_ARRAY_OF(struct device_mapping) devices;
	struct text_list device_cgroup_rules;
	JSON_ARRAY_OF(struct device_request) device_requests;
	int64_t kernel_memory;
	int64_t kernel_memory_tcp;
	int64_t memory_reservation;
	int64_t memory_swap; /* memory + swap; -1 unlimited; 0 default */
	struct optional_i64 memory_swappiness;
	struct optional_bool oom_kill_disable;
	struct optional_i64 pids_limit;
	JSON_ARRAY_OF(struct ulimit) ulimits;
	int64_t cpu_count;
	int64_t cpu_percent;
	int64_t io_maximum_iops;
	int64_t io_maximum_bandwidth;
	JSON_ARRAY_OF(struct mount_request) mounts;
	struct text_list masked_paths;
	struct text_list readonly_paths;
	bool masked_paths_given;   /* an empty list is a wish too: nothing masked */
	bool readonly_paths_given; /* likewise */
	struct optional_bool init;
};

struct endpoint_ipam_config {
	char *ipv4_address;
	char *ipv6_address;
	struct text_list link_local_ips;
};

struct endpoint_settings {
	char *network; /* key: name or id */
	struct endpoint_ipam_config *ipam;
	struct text_list links;
	struct text_list aliases;
	char *mac_address;
	struct text_map driver_opts;
	int64_t gw_priority;
	char *network_id;
	char *endpoint_id;
	char *gateway;
	char *ip_address;
	int64_t ip_prefix_len;
	char *ipv6_gateway;
	char *global_ipv6_address;
	int64_t global_ipv6_prefix_len;
	struct text_list dns_names;
};
struct endpoint_map {
	struct endpoint_settings *items;
	size_t count;
};

struct networking_config {
	struct endpoint_map endpoints;
};

extern const struct json_field container_config_fields[];
extern const struct json_field host_config_fields[];
extern const struct json_field endpoint_settings_fields[];
extern const struct json_field networking_config_fields[];
extern const struct json_field port_binding_fields[];
extern const struct json_field port_bindings_fields[];
extern const struct json_field health_config_fields[];
extern const struct json_field key_item_fields[];

bool key_set_contains(const struct key_set *set, const char *key);
/* Adds the key if it is not there. */
void key_set_add(struct key_set *set, const char *key);

/* The body of POST /containers/create: Config's keys with HostConfig and NetworkingConfig beside them. */
struct container_create_request {
	struct container_config config;
	struct host_config host;
	struct networking_config networking;
	/* Of these, what ends with a slash is a folder: binds below it reach nothing outside. Borrowed; NULL: none. */
	const struct text_list *bind_sources;
};

/* ERR_INVALID with docker's words for an empty body. Free with container_create_request_fini(). */
int container_create_request_decode(struct container_create_request *out_request, const char *text, size_t size,
				    struct error *err);
void container_create_request_fini(struct container_create_request *request);
