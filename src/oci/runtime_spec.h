/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_spec.h - config.json, the state document and the features document
 * of the OCI runtime specification 1.3, as plain structs.
 *
 * Members have the names of the specification; enumerations stay texts and are
 * checked by the runtime. spec_parse() and friends decode with the place in
 * the error ("config.json: process.user.uid: expected a number"). Free with
 * spec_fini() and friends. Unknown properties are ignored, as the spec demands.
 * Blocks of other systems (windows, vm, ...) are not kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/optional.h"
#include "base/text.h"
#include "json/json.h"

/* Our own word among a bind's options: the path below the source that is bound instead. */
#define MOUNT_OPTION_SUBPATH "kist.subpath="

#define SPEC_VERSION "1.3.0"

struct spec_number {
	uint64_t value;
};
typedef JSON_ARRAY_OF(struct spec_number) spec_numbers;

struct spec_user {
	uint32_t uid;
	uint32_t gid;
	struct optional_u64 umask;
	spec_numbers additional_gids;
	char *username; /* "user[:group]" as docker's USER: ours, and Windows' in the spec */
};

struct spec_capabilities {
	struct text_list bounding;
	struct text_list effective;
	struct text_list inheritable;
	struct text_list permitted;
	struct text_list ambient;
};

struct spec_rlimit {
	char *type;
	uint64_t hard;
	uint64_t soft;
};

struct spec_console_size {
	uint32_t height;
	uint32_t width;
};

struct spec_scheduler {
	char *policy;
	struct optional_i64 nice;
	struct optional_i64 priority;
	struct text_list flags;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
};

struct spec_io_priority {
	char *class;
	int64_t priority;
};

struct spec_cpu_affinity {
	char *initial;
	char *final;
};

struct spec_process {
	bool terminal;
	struct spec_console_size *console_size;
	struct spec_user user;
	struct text_list args;
	struct text_list env;
	char *cwd;
	struct spec_capabilities *capabilities;
	JSON_ARRAY_OF(struct spec_rlimit) rlimits;
	bool no_new_privileges;
	char *apparmor_profile;
	struct optional_i64 oom_score_adj;
	char *selinux_label;
	struct spec_scheduler *scheduler;
	struct spec_io_priority *io_priority;
	struct spec_cpu_affinity *exec_cpu_affinity;
};

struct spec_root {
	char *path;
	bool readonly;
};

struct spec_id_mapping {
	uint32_t container_id;
	uint32_t host_id;
	uint32_t size;
};
typedef JSON_ARRAY_OF(struct spec_id_mapping) spec_id_mappings;

struct spec_mount {
	char *destination;
	char *type;
	char *source;
	struct text_list options;
	spec_id_mappings uid_mappings;
	spec_id_mappings gid_mappings;
};

struct spec_hook {
	char *path;
	struct text_list args;
	struct text_list env;
	struct optional_i64 timeout; /* seconds */
};
typedef JSON_ARRAY_OF(struct spec_hook) spec_hook_list;

struct spec_hooks {
	spec_hook_list prestart;
	spec_hook_list create_runtime;
	spec_hook_list create_container;
	spec_hook_list start_container;
	spec_hook_list poststart;
	spec_hook_list poststop;
};

struct spec_namespace {
	char *type;
	char *path;
};

struct spec_device {
	char *type;
	char *path;
	int64_t major;
	int64_t minor;
	struct optional_u64 file_mode;
	struct optional_u64 uid;
	struct optional_u64 gid;
};

struct spec_net_device {
	char *key;
	char *name;
};

struct spec_device_rule {
	bool allow;
	char *type;
	struct optional_i64 major;
	struct optional_i64 minor;
	char *access;
};

struct spec_memory {
	struct optional_i64 limit;
	struct optional_i64 reservation;
	struct optional_i64 swap;
	struct optional_i64 kernel;
	struct optional_i64 kernel_tcp;
	struct optional_u64 swappiness;
	struct optional_bool disable_oom_killer;
	struct optional_bool use_hierarchy;
	struct optional_bool check_before_update;
};

struct spec_cpu {
	struct optional_u64 shares;
	struct optional_i64 quota;
	struct optional_u64 burst;
	struct optional_u64 period;
	struct optional_i64 realtime_runtime;
	struct optional_u64 realtime_period;
	char *cpus;
	char *mems;
	struct optional_i64 idle;
};

struct spec_pids {
	struct optional_i64 limit;
};

struct spec_weight_device {
	int64_t major;
	int64_t minor;
	struct optional_u64 weight;
	struct optional_u64 leaf_weight;
};

struct spec_throttle_device {
	int64_t major;
	int64_t minor;
	uint64_t rate;
};
typedef JSON_ARRAY_OF(struct spec_throttle_device) spec_throttle_devices;

struct spec_block_io {
	struct optional_u64 weight;
	struct optional_u64 leaf_weight;
	JSON_ARRAY_OF(struct spec_weight_device) weight_device;
	spec_throttle_devices throttle_read_bps_device;
	spec_throttle_devices throttle_write_bps_device;
	spec_throttle_devices throttle_read_iops_device;
	spec_throttle_devices throttle_write_iops_device;
};

struct spec_hugepage_limit {
	char *page_size;
	uint64_t limit;
};

struct spec_network_priority {
	char *name;
	uint32_t priority;
};

struct spec_network {
	struct optional_u64 class_id;
	JSON_ARRAY_OF(struct spec_network_priority) priorities;
};

struct spec_rdma {
	char *name;
	struct optional_u64 hca_handles;
	struct optional_u64 hca_objects;
};

struct spec_resources {
	JSON_ARRAY_OF(struct spec_device_rule) devices;
	struct spec_memory *memory;
	struct spec_cpu *cpu;
	struct spec_pids *pids;
	struct spec_block_io *block_io;
	JSON_ARRAY_OF(struct spec_hugepage_limit) hugepage_limits;
	struct spec_network *network;
	JSON_ARRAY_OF(struct spec_rdma) rdma;
	struct text_map unified;
};

struct spec_seccomp_arg {
	uint32_t index;
	uint64_t value;
	uint64_t value_two;
	char *op;
};

struct spec_seccomp_rule {
	struct text_list names;
	char *action;
	struct optional_u64 errno_ret;
	JSON_ARRAY_OF(struct spec_seccomp_arg) args;
};

struct spec_seccomp {
	char *default_action;
	struct optional_u64 default_errno_ret;
	struct text_list architectures;
	struct text_list flags;
	char *listener_path;
	char *listener_metadata;
	JSON_ARRAY_OF(struct spec_seccomp_rule) syscalls;
};

struct spec_intel_rdt {
	char *clos_id;
	struct text_list schemata;
	char *l3_cache_schema;
	char *mem_bw_schema;
	bool enable_monitoring;
};

struct spec_personality {
	char *domain;
	struct text_list flags;
};

struct spec_memory_policy {
	char *mode;
	char *nodes;
	struct text_list flags;
};

struct spec_time_offset {
	char *key; /* "monotonic" or "boottime" */
	int64_t secs;
	uint32_t nanosecs;
};

struct spec_linux {
	spec_id_mappings uid_mappings;
	spec_id_mappings gid_mappings;
	struct text_map sysctl;
	struct spec_resources *resources;
	char *cgroups_path;
	JSON_ARRAY_OF(struct spec_namespace) namespaces;
	JSON_ARRAY_OF(struct spec_device) devices;
	JSON_ARRAY_OF(struct spec_net_device) net_devices;
	struct spec_seccomp *seccomp;
	char *rootfs_propagation;
	struct text_list masked_paths;
	struct text_list readonly_paths;
	char *mount_label;
	struct spec_intel_rdt *intel_rdt;
	struct spec_personality *personality;
	struct spec_memory_policy *memory_policy;
	JSON_ARRAY_OF(struct spec_time_offset) time_offsets;
};

struct spec {
	char *oci_version;
	struct spec_root *root;
	struct spec_process *process;
	char *hostname;
	char *domainname;
	JSON_ARRAY_OF(struct spec_mount) mounts;
	struct spec_hooks hooks;
	struct spec_linux linux_;
	struct text_map annotations;
};

struct spec_state {
	char *oci_version;
	char *id;
	char *status;
	int64_t pid;
	char *bundle;
	struct text_map annotations;
};

extern const struct json_field spec_fields[];
extern const struct json_field spec_process_fields[];
extern const struct json_field spec_resources_fields[];
extern const struct json_field spec_state_fields[];
extern const struct json_field spec_seccomp_fields[];

int spec_parse(struct spec *out_spec, const char *text, size_t size, struct error *err);
/* Only `mounts` is filled: from an array of mounts, or an object that has them. */
int spec_mounts_parse(struct spec *out_spec, const char *text, size_t size, struct error *err);
void spec_fini(struct spec *spec);
/* Indented by tabs, as `runc spec` writes it. */
char *spec_format(const struct spec *spec);

int spec_process_parse(struct spec_process *out_process, const char *text, size_t size, struct error *err);
void spec_process_fini(struct spec_process *process);
int spec_resources_parse(struct spec_resources *out_resources, const char *text, size_t size, struct error *err);
void spec_resources_fini(struct spec_resources *resources);

/* The namespace entry of that type ("pid", "mount", ...), or NULL. */
const struct spec_namespace *spec_find_namespace(const struct spec *spec, const char *type);
