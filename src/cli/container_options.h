/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_options.h - the options of create and run, and the body of POST
 * /containers/create they make. One struct serves both: the option table
 * writes its members, the JSON tables in container_body.c read them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"
#include "cli/spec.h"

enum container_built {
	BUILT_MOUNTS,
	BUILT_ULIMITS,
	BUILT_GPUS,
	BUILT_WEIGHTS,
	BUILT_READ_BPS,
	BUILT_WRITE_BPS,
	BUILT_READ_IOPS,
	BUILT_WRITE_IOPS,
	CONTAINER_BUILT_COUNT
};

/* The first ones mirror enum container_built. */
enum container_raw {
	RAW_CMD = CONTAINER_BUILT_COUNT,
	RAW_ENTRYPOINT,
	RAW_LABELS,
	RAW_VOLUMES,
	RAW_EXPOSED,
	RAW_HEALTH,
	RAW_PORTS,
	RAW_RESTART,
	RAW_LOG,
	RAW_TMPFS,
	RAW_SYSCTLS,
	RAW_ANNOTATIONS,
	RAW_STORAGE,
	RAW_DEVICES,
	RAW_MASKED,
	RAW_READONLY_PATHS,
	RAW_ENDPOINTS,
	RAW_CONSOLE,
	CONTAINER_RAW_COUNT
};

struct container_options {
	/* Config */
	const char *hostname;
	const char *domainname;
	const char *user;
	bool attach_stdin;
	bool attach_stdout;
	bool attach_stderr;
	bool tty;
	bool interactive;
	bool stdin_once;
	struct text_list env; /* as sent */
	struct text_list env_options;
	struct text_list env_files;
	const char *image;
	const char *workdir;
	const char *entrypoint; /* NULL: not given */
	struct text_list label_options;
	struct text_list label_files;
	const char *stop_signal;
	struct optional_i64 stop_timeout;
	const char *health_cmd;
	int64_t health_interval;
	int64_t health_timeout;
	int64_t health_start_period;
	int64_t health_start_interval;
	int64_t health_retries;
	bool no_healthcheck;
	struct text_list expose;
	struct text_list publish;

	/* HostConfig */
	struct text_list volume_options;
	struct text_list volumes; /* those without a source */
	struct text_list binds;
	struct text_list links;
	struct text_list cap_add;
	struct text_list cap_drop;
	struct text_list dns;
	struct text_list dns_options;
	struct text_list dns_search;
	struct text_list extra_hosts;
	struct text_list group_add;
	struct text_list volumes_from;
	struct text_list security_options;
	struct text_list security; /* as sent */
	struct text_list device_cgroup_rules;
	struct text_list log_options;
	struct text_list storage_options;
	struct text_list sysctls;
	struct text_list annotations;
	struct text_list tmpfs;
	struct text_list devices;
	const char *cidfile;
	const char *log_driver;
	const char *network_mode;
	const char *restart;
	const char *volume_driver;
	const char *cgroupns;
	const char *ipc;
	const char *pid;
	const char *uts;
	const char *userns;
	const char *isolation;
	const char *runtime;
	const char *cgroup_parent;
	const char *cpuset_cpus;
	const char *cpuset_mems;
	bool remove;
	bool privileged;
	bool publish_all;
	bool read_only;
	bool oom_kill_disable;
	struct optional_bool init;
	int64_t oom_score_adj;
	int64_t shm_size;
	int64_t cpu_shares;
	int64_t memory;
	int64_t memory_reservation;
	int64_t memory_swap;
	int64_t memory_swappiness;
	int64_t nano_cpus;
	int64_t blkio_weight;
	int64_t cpu_period;
	int64_t cpu_quota;
	int64_t cpu_rt_period;
	int64_t cpu_rt_runtime;
	int64_t pids_limit;
	int64_t kernel_memory; /* sent, so that the engine says what it thinks of it */
	struct optional_bool no_trust;
	const char *ignored_text;

	/* built while parsing: JSON arrays without their brackets */
	struct text built[CONTAINER_BUILT_COUNT];
	struct port_bindings ports;
	struct network_options networks;
	struct text_list aliases;
	struct text_list link_local_ips;
	const char *ip;
	const char *ip6;
	const char *mac_address;
	struct text_list attach;

	/* not part of the body */
	const char *name;
	const char *platform;
	const char *pull;
	bool quiet;
	bool detach;
	bool sig_proxy;
	const char *detach_keys;

	char *raw[CONTAINER_RAW_COUNT]; /* JSON made by container_body() */
};

/* For command->defaults and command->fini. */
void container_options_defaults(void *options);
void container_options_fini(void *options);
extern const struct option_spec create_options[];
extern const struct option_spec run_options[];

/* The body, yours; operands: IMAGE [COMMAND [ARG...]]. */
int container_body(char **out_body, struct container_options *options, const struct text_list *operands,
		   struct error *err);
