/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_messages.h - the messages of containerd's shim API (containerd.task.v2
 * and v3 are identical), of its events, and of the shim's start protocol.
 *
 * Each struct has its table for proto.h; proto_free() with that table frees it.
 * Field numbers are containerd's: api/runtime/task/v3/shim.proto,
 * api/events/task.proto, api/types, api/runtime/bootstrap/v1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "rpc/proto.h"

#define TASK_SERVICE_V2 "containerd.task.v2.Task"
#define TASK_SERVICE_V3 "containerd.task.v3.Task"
#define EVENTS_SERVICE "containerd.services.events.ttrpc.v1.Events"

/* Any.type_url of what travels inside */
#define TYPE_PROCESS_JSON "types.containerd.io/opencontainers/runtime-spec/1/Process"
#define TYPE_RESOURCES_JSON "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
#define TYPE_FEATURES_JSON "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
#define TYPE_RUNC_OPTIONS "containerd.runc.v1.Options"
#define TYPE_CHECKPOINT_OPTIONS "containerd.runc.v1.CheckpointOptions"
#define TYPE_METRICS_V1 "io.containerd.cgroups.v1.Metrics"
#define TYPE_METRICS_V2 "io.containerd.cgroups.v2.Metrics"
#define TYPE_PROCESS_DETAILS "containerd.runc.v1.ProcessDetails"

/* All strings and bytes in these structs are owned by them. */
struct proto_any {
	char *type_url;
	struct proto_bytes value;
};

struct task_mount {
	char *type;
	char *source;
	char *target;
	struct text_list options;
};

struct task_create_request {
	char *id;
	char *bundle;
	PROTO_LIST_OF(struct task_mount) rootfs;
	bool terminal;
	char *stdin_uri; /* see shim/README.md for the URIs */
	char *stdout_uri;
	char *stderr_uri;
	char *checkpoint;
	char *parent_checkpoint;
	struct proto_any options;
};

struct task_exec_request {
	char *id;
	char *exec_id;
	bool terminal;
	char *stdin_uri;
	char *stdout_uri;
	char *stderr_uri;
	struct proto_any spec; /* TYPE_PROCESS_JSON */
};

/* Requests that only name a process (exec_id empty: init), and their answers that only give a pid. */
struct task_process_request {
	char *id;
	char *exec_id;
};

struct task_pid_response {
	uint32_t pid;
};

struct task_exit_response { /* of Wait and, with pid, of Delete */
	uint32_t pid;
	uint32_t exit_status;
	int64_t exited_at;
};

enum task_status {
	TASK_UNKNOWN = 0,
	TASK_CREATED = 1,
	TASK_RUNNING = 2,
	TASK_STOPPED = 3,
	TASK_PAUSED = 4,
	TASK_PAUSING = 5
};

struct task_state_response {
	char *id;
	char *bundle;
	uint32_t pid;
	int32_t status; /* enum task_status */
	char *stdin_uri;
	char *stdout_uri;
	char *stderr_uri;
	bool terminal;
	uint32_t exit_status;
	int64_t exited_at; /* 0: has not ended */
	char *exec_id;
};

struct task_kill_request {
	char *id;
	char *exec_id;
	uint32_t signal;
	bool all;
};

struct task_resize_request {
	char *id;
	char *exec_id;
	uint32_t width;
	uint32_t height;
};

struct task_close_io_request {
	char *id;
	char *exec_id;
	bool stdin_too;
};

struct task_process_info {
	uint32_t pid;
	struct proto_any info; /* TYPE_PROCESS_DETAILS for an exec */
};

struct task_pids_response {
	PROTO_LIST_OF(struct task_process_info) processes;
};

struct task_process_details {
	char *exec_id;
};

struct task_update_request {
	char *id;
	struct proto_any resources; /* TYPE_RESOURCES_JSON */
	struct text_map annotations;
};

struct task_stats_response {
	struct proto_any stats;
};

struct task_connect_response {
	uint32_t shim_pid;
	uint32_t task_pid; /* 0: no such task yet */
	char *version;
};

struct task_shutdown_request {
	char *id;
	bool now;
};

/* What the shim takes of containerd.runc.v1.Options. */
/* options: TYPE_CHECKPOINT_OPTIONS, or none. */
struct task_checkpoint_request {
	char *id;
	char *path;
	struct proto_any options;
};

/* containerd.runc.v1.CheckpointOptions; `exit`: the container ends with it. */
struct task_checkpoint_options {
	bool exit;
	bool open_tcp;
	bool external_unix_sockets;
	bool terminal;
	bool file_locks;
	struct text_list empty_namespaces;
	char *cgroups_mode;
	char *image_path;
	char *work_path;
};

struct event_task_checkpointed {
	char *container_id;
	char *checkpoint;
};

struct task_runc_options {
	bool no_pivot_root;
	bool no_new_keyring;
	char *shim_cgroup;
	uint32_t io_uid;
	uint32_t io_gid;
	char *binary_name;
	char *root;
	bool systemd_cgroup;
	char *criu_image_path;
	char *criu_work_path;
};

struct event_envelope {
	int64_t timestamp;
	char *name_space;
	char *topic;
	struct proto_any event;
};

struct event_forward_request {
	struct event_envelope envelope;
};

struct event_task_create {
	char *container_id;
	char *bundle;
	PROTO_LIST_OF(struct task_mount) rootfs;
	struct {
		char *stdin_uri;
		char *stdout_uri;
		char *stderr_uri;
		bool terminal;
	} io;
	char *checkpoint;
	uint32_t pid;
};

/* Every other task event is a choice of these. */
struct event_task {
	char *container_id;
	char *id; /* of exit and delete: the process; of exec-added, exec-started: the exec */
	uint32_t pid;
	uint32_t exit_status;
	int64_t exited_at;
};

/* containerd 2.3 and later send it on stdin of `start`. */
struct bootstrap_params {
	char *instance_id;
	char *name_space;
	int32_t log_level;
	char *containerd_version;
	char *ttrpc_address;
	char *grpc_address;
	char *containerd_binary;
	char *socket_dir;
};

struct bootstrap_result {
	int32_t version;
	char *address;
	char *protocol;
};

struct runtime_info {
	char *name;
	struct {
		char *version;
		char *revision;
	} version;
	struct proto_any features;
};

extern const struct proto_field empty_fields[];
extern const struct proto_field proto_any_fields[];
extern const struct proto_field task_mount_fields[];
extern const struct proto_field task_create_request_fields[];
extern const struct proto_field task_exec_request_fields[];
extern const struct proto_field task_process_request_fields[];
extern const struct proto_field task_pid_response_fields[];
extern const struct proto_field task_wait_response_fields[];
extern const struct proto_field task_delete_response_fields[];
extern const struct proto_field task_state_response_fields[];
extern const struct proto_field task_kill_request_fields[];
extern const struct proto_field task_resize_request_fields[];
extern const struct proto_field task_close_io_request_fields[];
extern const struct proto_field task_pids_response_fields[];
extern const struct proto_field task_process_details_fields[];
extern const struct proto_field task_update_request_fields[];
extern const struct proto_field task_stats_response_fields[];
extern const struct proto_field task_connect_response_fields[];
extern const struct proto_field task_shutdown_request_fields[];
extern const struct proto_field task_runc_options_fields[];
extern const struct proto_field task_checkpoint_request_fields[];
extern const struct proto_field task_checkpoint_options_fields[];
extern const struct proto_field event_task_checkpointed_fields[];
extern const struct proto_field event_forward_request_fields[];
extern const struct proto_field event_task_create_fields[];
extern const struct proto_field event_task_start_fields[];
extern const struct proto_field event_task_exit_fields[];
extern const struct proto_field event_task_delete_fields[];
extern const struct proto_field event_task_exec_fields[]; /* added, started; also oom, paused, resumed */
extern const struct proto_field bootstrap_params_fields[];
extern const struct proto_field bootstrap_result_fields[];
extern const struct proto_field runtime_info_fields[];
