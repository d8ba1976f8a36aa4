/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu_messages.h - what is said to `criu swrk` and what it answers.
 *
 * Names and field numbers are those of CRIU's images/rpc.proto (proto2, release
 * 4.2; what an older CRIU does not know it skips). One message is one packet of
 * a SOCK_SEQPACKET socket. A descriptor in a request is a number in the table of
 * the process that made the socket, but for inherit_fds: those are CRIU's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "rpc/proto.h"

enum criu_kind {
	CRIU_DUMP = 1,
	CRIU_RESTORE = 2,
	CRIU_PRE_DUMP = 4,
	CRIU_NOTIFY = 6,
	CRIU_FEATURE_CHECK = 9,
	CRIU_VERSION = 10
};

enum criu_cgroups { CRIU_CGROUPS_IGNORE = 0, CRIU_CGROUPS_SOFT = 3, CRIU_CGROUPS_FULL = 4, CRIU_CGROUPS_STRICT = 5 };
enum criu_network_lock { CRIU_LOCK_IPTABLES = 1, CRIU_LOCK_NFTABLES = 2, CRIU_LOCK_SKIP = 3 };

/* ext_mnt: place and name at dump, name and place at restore. cg_root: controller ("": all) and path. */
struct criu_pair {
	char *key;
	char *value;
};

struct criu_inherit_fd {
	char *key;
	int32_t fd;
};

struct criu_join_namespace {
	char *kind;
	char *path;
};

struct criu_page_server {
	char *address;
	int32_t port;
};

struct criu_options {
	int32_t images_dir_fd;
	int32_t pid;
	bool leave_running;
	bool ext_unix_sk;
	bool tcp_established;
	bool evasive_devices;
	bool shell_job;
	bool file_locks;
	int32_t log_level;
	char *log_file;
	struct criu_page_server page_server;
	bool notify_scripts;
	char *root;
	char *parent_image;
	bool track_memory;
	bool auto_dedup;
	int32_t work_dir_fd; /* 0: images_dir_fd */
	bool link_remap;
	PROTO_LIST_OF(struct criu_pair) external_mounts;
	bool manage_cgroups;
	PROTO_LIST_OF(struct criu_pair) cgroup_roots;
	bool restore_sibling;
	PROTO_LIST_OF(struct criu_inherit_fd) inherit_fds;
	int32_t cgroups_mode;
	struct text_list external;
	uint32_t empty_namespaces; /* CLONE_NEW... */
	PROTO_LIST_OF(struct criu_join_namespace) join_namespaces;
	char *freeze_cgroup;
	bool tcp_skip_in_flight;
	bool lazy_pages;
	bool orphan_pts_master;
	char *config_file;
	bool tcp_close;
	char *lsm_profile;
	char *lsm_mount_context;
	int32_t network_lock; /* 0: CRIU's default */
};

struct criu_features {
	bool memory_tracking;
	bool lazy_pages;
};

struct criu_request {
	int32_t kind;
	struct criu_options options;
	bool notify_success;
	struct criu_features features;
};
/* Without options: those of a request that has none must not be written, for one of them is required. */
extern const struct proto_field criu_short_request_fields[];
extern const struct proto_field criu_request_fields[];

struct criu_version {
	int32_t major;
	int32_t minor;
	int32_t sublevel;
};

struct criu_response {
	int32_t kind;
	bool success;
	int32_t restored_pid;
	char *script; /* of a notification: "post-restore" */
	int32_t script_pid;
	int32_t errnum;
	struct criu_features features;
	char *message; /* may be NULL */
	struct criu_version version;
};
extern const struct proto_field criu_response_fields[];
