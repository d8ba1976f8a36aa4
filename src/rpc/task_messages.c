/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/task_messages.h"

const struct proto_field empty_fields[] = { PROTO_END };

const struct proto_field proto_any_fields[] = {
	PROTO_TEXT(1, struct proto_any, type_url),
	PROTO_BYTES(2, struct proto_any, value),
	PROTO_END,
};

const struct proto_field task_mount_fields[] = {
	PROTO_TEXT(1, struct task_mount, type),
	PROTO_TEXT(2, struct task_mount, source),
	PROTO_TEXT(3, struct task_mount, target),
	PROTO_TEXT_LIST(4, struct task_mount, options),
	PROTO_END,
};

const struct proto_field task_create_request_fields[] = {
	PROTO_TEXT(1, struct task_create_request, id),
	PROTO_TEXT(2, struct task_create_request, bundle),
	PROTO_LIST(3, struct task_create_request, rootfs, task_mount_fields),
	PROTO_BOOL(4, struct task_create_request, terminal),
	PROTO_TEXT(5, struct task_create_request, stdin_uri),
	PROTO_TEXT(6, struct task_create_request, stdout_uri),
	PROTO_TEXT(7, struct task_create_request, stderr_uri),
	PROTO_TEXT(8, struct task_create_request, checkpoint),
	PROTO_TEXT(9, struct task_create_request, parent_checkpoint),
	PROTO_OBJECT(10, struct task_create_request, options, proto_any_fields),
	PROTO_END,
};

const struct proto_field task_exec_request_fields[] = {
	PROTO_TEXT(1, struct task_exec_request, id),
	PROTO_TEXT(2, struct task_exec_request, exec_id),
	PROTO_BOOL(3, struct task_exec_request, terminal),
	PROTO_TEXT(4, struct task_exec_request, stdin_uri),
	PROTO_TEXT(5, struct task_exec_request, stdout_uri),
	PROTO_TEXT(6, struct task_exec_request, stderr_uri),
	PROTO_OBJECT(7, struct task_exec_request, spec, proto_any_fields),
	PROTO_END,
};

const struct proto_field task_process_request_fields[] = {
	PROTO_TEXT(1, struct task_process_request, id),
	PROTO_TEXT(2, struct task_process_request, exec_id),
	PROTO_END,
};

const struct proto_field task_pid_response_fields[] = {
	PROTO_U32(1, struct task_pid_response, pid),
	PROTO_END,
};

const struct proto_field task_wait_response_fields[] = {
	PROTO_U32(1, struct task_exit_response, exit_status),
	PROTO_TIME(2, struct task_exit_response, exited_at),
	PROTO_END,
};

const struct proto_field task_delete_response_fields[] = {
	PROTO_U32(1, struct task_exit_response, pid),
	PROTO_U32(2, struct task_exit_response, exit_status),
	PROTO_TIME(3, struct task_exit_response, exited_at),
	PROTO_END,
};

const struct proto_field task_state_response_fields[] = {
	PROTO_TEXT(1, struct task_state_response, id),	       PROTO_TEXT(2, struct task_state_response, bundle),
	PROTO_U32(3, struct task_state_response, pid),	       PROTO_I32(4, struct task_state_response, status),
	PROTO_TEXT(5, struct task_state_response, stdin_uri),  PROTO_TEXT(6, struct task_state_response, stdout_uri),
	PROTO_TEXT(7, struct task_state_response, stderr_uri), PROTO_BOOL(8, struct task_state_response, terminal),
	PROTO_U32(9, struct task_state_response, exit_status), PROTO_TIME(10, struct task_state_response, exited_at),
	PROTO_TEXT(11, struct task_state_response, exec_id),   PROTO_END,
};

const struct proto_field task_kill_request_fields[] = {
	PROTO_TEXT(1, struct task_kill_request, id),
	PROTO_TEXT(2, struct task_kill_request, exec_id),
	PROTO_U32(3, struct task_kill_request, signal),
	PROTO_BOOL(4, struct task_kill_request, all),
	PROTO_END,
};

const struct proto_field task_resize_request_fields[] = {
	PROTO_TEXT(1, struct task_resize_request, id),
	PROTO_TEXT(2, struct task_resize_request, exec_id),
	PROTO_U32(3, struct task_resize_request, width),
	PROTO_U32(4, struct task_resize_request, height),
	PROTO_END,
};

const struct proto_field task_close_io_request_fields[] = {
	PROTO_TEXT(1, struct task_close_io_request, id),
	PROTO_TEXT(2, struct task_close_io_request, exec_id),
	PROTO_BOOL(3, struct task_close_io_request, stdin_too),
	PROTO_END,
};

static const struct proto_field task_process_info_fields[] = {
	PROTO_U32(1, struct task_process_info, pid),
	PROTO_OBJECT(2, struct task_process_info, info, proto_any_fields),
	PROTO_END,
};

const struct proto_field task_pids_response_fields[] = {
	PROTO_LIST(1, struct task_pids_response, processes, task_process_info_fields),
	PROTO_END,
};

const struct proto_field task_process_details_fields[] = {
	PROTO_TEXT(1, struct task_process_details, exec_id),
	PROTO_END,
};

const struct proto_field task_update_request_fields[] = {
	PROTO_TEXT(1, struct task_update_request, id),
	PROTO_OBJECT(2, struct task_update_request, resources, proto_any_fields),
	PROTO_TEXT_MAP(3, struct task_update_request, annotations),
	PROTO_END,
};

const struct proto_field task_stats_response_fields[] = {
	PROTO_OBJECT(1, struct task_stats_response, stats, proto_any_fields),
	PROTO_END,
};

const struct proto_field task_connect_response_fields[] = {
	PROTO_U32(1, struct task_connect_response, shim_pid),
	PROTO_U32(2, struct task_connect_response, task_pid),
	PROTO_TEXT(3, struct task_connect_response, version),
	PROTO_END,
};

const struct proto_field task_shutdown_request_fields[] = {
	PROTO_TEXT(1, struct task_shutdown_request, id),
	PROTO_BOOL(2, struct task_shutdown_request, now),
	PROTO_END,
};

const struct proto_field task_runc_options_fields[] = {
	PROTO_BOOL(1, struct task_runc_options, no_pivot_root),
	PROTO_BOOL(2, struct task_runc_options, no_new_keyring),
	PROTO_TEXT(3, struct task_runc_options, shim_cgroup),
	PROTO_U32(4, struct task_runc_options, io_uid),
	PROTO_U32(5, struct task_runc_options, io_gid),
	PROTO_TEXT(6, struct task_runc_options, binary_name),
	PROTO_TEXT(7, struct task_runc_options, root),
	PROTO_BOOL(9, struct task_runc_options, systemd_cgroup),
	PROTO_TEXT(10, struct task_runc_options, criu_image_path),
	PROTO_TEXT(11, struct task_runc_options, criu_work_path),
	PROTO_END,
};

const struct proto_field task_checkpoint_request_fields[] = {
	PROTO_TEXT(1, struct task_checkpoint_request, id),
	PROTO_TEXT(2, struct task_checkpoint_request, path),
	PROTO_OBJECT(3, struct task_checkpoint_request, options, proto_any_fields),
	PROTO_END,
};

const struct proto_field task_checkpoint_options_fields[] = {
	PROTO_BOOL(1, struct task_checkpoint_options, exit),
	PROTO_BOOL(2, struct task_checkpoint_options, open_tcp),
	PROTO_BOOL(3, struct task_checkpoint_options, external_unix_sockets),
	PROTO_BOOL(4, struct task_checkpoint_options, terminal),
	PROTO_BOOL(5, struct task_checkpoint_options, file_locks),
	PROTO_TEXT_LIST(6, struct task_checkpoint_options, empty_namespaces),
	PROTO_TEXT(7, struct task_checkpoint_options, cgroups_mode),
	PROTO_TEXT(8, struct task_checkpoint_options, image_path),
	PROTO_TEXT(9, struct task_checkpoint_options, work_path),
	PROTO_END,
};

const struct proto_field event_task_checkpointed_fields[] = {
	PROTO_TEXT(1, struct event_task_checkpointed, container_id),
	PROTO_TEXT(2, struct event_task_checkpointed, checkpoint),
	PROTO_END,
};

static const struct proto_field event_envelope_fields[] = {
	PROTO_TIME(1, struct event_envelope, timestamp),
	PROTO_TEXT(2, struct event_envelope, name_space),
	PROTO_TEXT(3, struct event_envelope, topic),
	PROTO_OBJECT(4, struct event_envelope, event, proto_any_fields),
	PROTO_END,
};

const struct proto_field event_forward_request_fields[] = {
	PROTO_OBJECT(1, struct event_forward_request, envelope, event_envelope_fields),
	PROTO_END,
};

/* Offsets are those of the outer struct: the sub-message is written from it. */
static const struct proto_field event_task_io_fields[] = {
	PROTO_TEXT(1, struct event_task_create, io.stdin_uri),
	PROTO_TEXT(2, struct event_task_create, io.stdout_uri),
	PROTO_TEXT(3, struct event_task_create, io.stderr_uri),
	PROTO_BOOL(4, struct event_task_create, io.terminal),
	PROTO_END,
};

const struct proto_field event_task_create_fields[] = {
	PROTO_TEXT(1, struct event_task_create, container_id),
	PROTO_TEXT(2, struct event_task_create, bundle),
	PROTO_LIST(3, struct event_task_create, rootfs, task_mount_fields),
	PROTO_INLINE(4, event_task_io_fields),
	PROTO_TEXT(5, struct event_task_create, checkpoint),
	PROTO_U32(6, struct event_task_create, pid),
	PROTO_END,
};

const struct proto_field event_task_start_fields[] = {
	PROTO_TEXT(1, struct event_task, container_id),
	PROTO_U32(2, struct event_task, pid),
	PROTO_END,
};

const struct proto_field event_task_exit_fields[] = {
	PROTO_TEXT(1, struct event_task, container_id), PROTO_TEXT(2, struct event_task, id),
	PROTO_U32(3, struct event_task, pid),		PROTO_U32(4, struct event_task, exit_status),
	PROTO_TIME(5, struct event_task, exited_at),	PROTO_END,
};

const struct proto_field event_task_delete_fields[] = {
	PROTO_TEXT(1, struct event_task, container_id), PROTO_U32(2, struct event_task, pid),
	PROTO_U32(3, struct event_task, exit_status),	PROTO_TIME(4, struct event_task, exited_at),
	PROTO_TEXT(5, struct event_task, id),		PROTO_END,
};

const struct proto_field event_task_exec_fields[] = {
	PROTO_TEXT(1, struct event_task, container_id),
	PROTO_TEXT(2, struct event_task, id),
	PROTO_U32(3, struct event_task, pid),
	PROTO_END,
};

const struct proto_field bootstrap_params_fields[] = {
	PROTO_TEXT(1, struct bootstrap_params, instance_id),
	PROTO_TEXT(2, struct bootstrap_params, name_space),
	PROTO_I32(3, struct bootstrap_params, log_level),
	PROTO_TEXT(4, struct bootstrap_params, containerd_version),
	PROTO_TEXT(5, struct bootstrap_params, ttrpc_address),
	PROTO_TEXT(6, struct bootstrap_params, grpc_address),
	PROTO_TEXT(7, struct bootstrap_params, containerd_binary),
	PROTO_TEXT(9, struct bootstrap_params, socket_dir),
	PROTO_END,
};

const struct proto_field bootstrap_result_fields[] = {
	PROTO_I32(1, struct bootstrap_result, version),
	PROTO_TEXT(2, struct bootstrap_result, address),
	PROTO_TEXT(3, struct bootstrap_result, protocol),
	PROTO_END,
};

static const struct proto_field runtime_version_fields[] = {
	PROTO_TEXT(1, struct runtime_info, version.version),
	PROTO_TEXT(2, struct runtime_info, version.revision),
	PROTO_END,
};

const struct proto_field runtime_info_fields[] = {
	PROTO_TEXT(1, struct runtime_info, name),
	PROTO_INLINE(2, runtime_version_fields),
	PROTO_OBJECT(4, struct runtime_info, features, proto_any_fields),
	PROTO_END,
};
