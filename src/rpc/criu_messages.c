/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/criu_messages.h"

static const struct proto_field external_mount_fields[] = {
	PROTO_TEXT(1, struct criu_pair, key),
	PROTO_TEXT(2, struct criu_pair, value),
	PROTO_END,
};

static const struct proto_field inherit_fd_fields[] = {
	PROTO_TEXT(1, struct criu_inherit_fd, key),
	PROTO_I32_ALWAYS(2, struct criu_inherit_fd, fd),
	PROTO_END,
};

static const struct proto_field join_namespace_fields[] = {
	PROTO_TEXT(1, struct criu_join_namespace, kind),
	PROTO_TEXT(2, struct criu_join_namespace, path),
	PROTO_END,
};

static const struct proto_field page_server_fields[] = {
	PROTO_TEXT(1, struct criu_page_server, address),
	PROTO_I32(2, struct criu_page_server, port),
	PROTO_END,
};

static const struct proto_field options_fields[] = {
	PROTO_I32_ALWAYS(1, struct criu_options, images_dir_fd),
	PROTO_I32(2, struct criu_options, pid),
	PROTO_BOOL(3, struct criu_options, leave_running),
	PROTO_BOOL(4, struct criu_options, ext_unix_sk),
	PROTO_BOOL(5, struct criu_options, tcp_established),
	PROTO_BOOL(6, struct criu_options, evasive_devices),
	PROTO_BOOL(7, struct criu_options, shell_job),
	PROTO_BOOL(8, struct criu_options, file_locks),
	PROTO_I32(9, struct criu_options, log_level),
	PROTO_TEXT(10, struct criu_options, log_file),
	PROTO_OBJECT(11, struct criu_options, page_server, page_server_fields),
	PROTO_BOOL(12, struct criu_options, notify_scripts),
	PROTO_TEXT(13, struct criu_options, root),
	PROTO_TEXT(14, struct criu_options, parent_image),
	PROTO_BOOL(15, struct criu_options, track_memory),
	PROTO_BOOL(16, struct criu_options, auto_dedup),
	PROTO_I32(17, struct criu_options, work_dir_fd),
	PROTO_BOOL(18, struct criu_options, link_remap),
	PROTO_LIST(23, struct criu_options, external_mounts, external_mount_fields),
	PROTO_BOOL(24, struct criu_options, manage_cgroups),
	PROTO_LIST(25, struct criu_options, cgroup_roots, external_mount_fields),
	PROTO_BOOL(26, struct criu_options, restore_sibling),
	PROTO_LIST(27, struct criu_options, inherit_fds, inherit_fd_fields),
	PROTO_I32_ALWAYS(34, struct criu_options, cgroups_mode),
	PROTO_TEXT_LIST(37, struct criu_options, external),
	PROTO_U32(38, struct criu_options, empty_namespaces),
	PROTO_LIST(39, struct criu_options, join_namespaces, join_namespace_fields),
	PROTO_TEXT(44, struct criu_options, freeze_cgroup),
	PROTO_BOOL(46, struct criu_options, tcp_skip_in_flight),
	PROTO_BOOL(48, struct criu_options, lazy_pages),
	PROTO_BOOL(50, struct criu_options, orphan_pts_master),
	PROTO_TEXT(51, struct criu_options, config_file),
	PROTO_BOOL(52, struct criu_options, tcp_close),
	PROTO_TEXT(53, struct criu_options, lsm_profile),
	PROTO_TEXT(63, struct criu_options, lsm_mount_context),
	PROTO_I32(64, struct criu_options, network_lock),
	PROTO_END,
};

static const struct proto_field features_fields[] = {
	PROTO_BOOL(1, struct criu_features, memory_tracking),
	PROTO_BOOL(2, struct criu_features, lazy_pages),
	PROTO_END,
};

const struct proto_field criu_request_fields[] = {
	PROTO_I32(1, struct criu_request, kind),
	PROTO_OBJECT(2, struct criu_request, options, options_fields),
	PROTO_END,
};

const struct proto_field criu_short_request_fields[] = {
	PROTO_I32(1, struct criu_request, kind),
	PROTO_BOOL(3, struct criu_request, notify_success),
	PROTO_OBJECT(5, struct criu_request, features, features_fields),
	PROTO_END,
};

static const struct proto_field restored_fields[] = {
	PROTO_I32(1, struct criu_response, restored_pid),
	PROTO_END,
};

static const struct proto_field notification_fields[] = {
	PROTO_TEXT(1, struct criu_response, script),
	PROTO_I32(2, struct criu_response, script_pid),
	PROTO_END,
};

static const struct proto_field version_fields[] = {
	PROTO_I32(1, struct criu_version, major),
	PROTO_I32(2, struct criu_version, minor),
	PROTO_I32(4, struct criu_version, sublevel),
	PROTO_END,
};

const struct proto_field criu_response_fields[] = {
	PROTO_I32(1, struct criu_response, kind),
	PROTO_BOOL(2, struct criu_response, success),
	PROTO_INLINE(4, restored_fields),
	PROTO_INLINE(5, notification_fields),
	PROTO_I32(7, struct criu_response, errnum),
	PROTO_OBJECT(8, struct criu_response, features, features_fields),
	PROTO_TEXT(9, struct criu_response, message),
	PROTO_OBJECT(10, struct criu_response, version, version_fields),
	PROTO_END,
};
