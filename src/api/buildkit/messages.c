/* SPDX-License-Identifier: Apache-2.0 */
#include "api/buildkit/messages.h"

static const struct proto_field any_fields[] = {
	PROTO_TEXT(1, struct bk_any, type_url),
	PROTO_BYTES(2, struct bk_any, value),
	PROTO_END,
};

const struct proto_field bk_status_fields[] = {
	PROTO_I32(1, struct bk_status, code),
	PROTO_TEXT(2, struct bk_status, message),
	PROTO_LIST(3, struct bk_status, details, any_fields),
	PROTO_END,
};

const struct proto_field bk_empty_fields[] = {
	PROTO_END,
};

/* ---- Control ---- */

static const struct proto_field exporter_fields[] = {
	PROTO_TEXT(1, struct bk_exporter, type),
	PROTO_TEXT_MAP(2, struct bk_exporter, attrs),
	PROTO_END,
};

static const struct proto_field cache_entry_fields[] = {
	PROTO_TEXT(1, struct bk_cache_entry, type),
	PROTO_TEXT_MAP(2, struct bk_cache_entry, attrs),
	PROTO_END,
};

static const struct proto_field cache_options_fields[] = {
	PROTO_LIST(4, struct bk_cache_options, exports, cache_entry_fields),
	PROTO_LIST(5, struct bk_cache_options, imports, cache_entry_fields),
	PROTO_END,
};

const struct proto_field bk_solve_request_fields[] = {
	PROTO_TEXT(1, struct bk_solve_request, ref),
	PROTO_BYTES(2, struct bk_solve_request, definition),
	PROTO_TEXT(3, struct bk_solve_request, exporter),
	PROTO_TEXT_MAP(4, struct bk_solve_request, exporter_attrs),
	PROTO_TEXT(5, struct bk_solve_request, session),
	PROTO_TEXT(6, struct bk_solve_request, frontend),
	PROTO_TEXT_MAP(7, struct bk_solve_request, frontend_attrs),
	PROTO_OBJECT(8, struct bk_solve_request, cache, cache_options_fields),
	PROTO_TEXT_LIST(9, struct bk_solve_request, entitlements),
	PROTO_BOOL(11, struct bk_solve_request, internal),
	PROTO_LIST(13, struct bk_solve_request, exporters, exporter_fields),
	PROTO_END,
};

const struct proto_field bk_solve_response_fields[] = {
	PROTO_TEXT_MAP(1, struct bk_solve_response, exporter_response),
	PROTO_END,
};

const struct proto_field bk_status_request_fields[] = {
	PROTO_TEXT(1, struct bk_status_request, ref),
	PROTO_END,
};

static const struct proto_field vertex_fields[] = {
	PROTO_TEXT(1, struct bk_vertex, digest),
	PROTO_TEXT(3, struct bk_vertex, name),
	PROTO_BOOL(4, struct bk_vertex, cached),
	PROTO_TIME(5, struct bk_vertex, started),
	PROTO_TIME(6, struct bk_vertex, completed),
	PROTO_TEXT(7, struct bk_vertex, error),
	PROTO_END,
};

static const struct proto_field vertex_status_fields[] = {
	PROTO_TEXT(1, struct bk_vertex_status, id),	   PROTO_TEXT(2, struct bk_vertex_status, vertex),
	PROTO_I64(4, struct bk_vertex_status, current),	   PROTO_I64(5, struct bk_vertex_status, total),
	PROTO_TIME(6, struct bk_vertex_status, timestamp), PROTO_TIME(7, struct bk_vertex_status, started),
	PROTO_TIME(8, struct bk_vertex_status, completed), PROTO_END,
};

static const struct proto_field vertex_log_fields[] = {
	PROTO_TEXT(1, struct bk_vertex_log, vertex),
	PROTO_TIME(2, struct bk_vertex_log, timestamp),
	PROTO_I64(3, struct bk_vertex_log, stream),
	PROTO_BYTES(4, struct bk_vertex_log, data),
	PROTO_END,
};

static const struct proto_field position_fields[] = {
	PROTO_I32(1, struct bk_position, line),
	PROTO_END,
};

static const struct proto_field range_fields[] = {
	PROTO_OBJECT(1, struct bk_range, start, position_fields),
	PROTO_OBJECT(2, struct bk_range, end, position_fields),
	PROTO_END,
};

static const struct proto_field source_info_fields[] = {
	PROTO_TEXT(1, struct bk_source_info, filename),
	PROTO_BYTES(2, struct bk_source_info, data),
	PROTO_TEXT(4, struct bk_source_info, language),
	PROTO_END,
};

static const struct proto_field warning_fields[] = {
	PROTO_TEXT(1, struct bk_warning, vertex),
	PROTO_I64(2, struct bk_warning, level),
	PROTO_BYTES(3, struct bk_warning, text),
	PROTO_BYTES(4, struct bk_warning, detail),
	PROTO_TEXT(5, struct bk_warning, url),
	PROTO_OBJECT(6, struct bk_warning, info, source_info_fields),
	PROTO_LIST(7, struct bk_warning, ranges, range_fields),
	PROTO_END,
};

const struct proto_field bk_status_response_fields[] = {
	PROTO_LIST(1, struct bk_status_response, vertices, vertex_fields),
	PROTO_LIST(2, struct bk_status_response, statuses, vertex_status_fields),
	PROTO_LIST(3, struct bk_status_response, logs, vertex_log_fields),
	PROTO_LIST(4, struct bk_status_response, warnings, warning_fields),
	PROTO_END,
};

static const struct proto_field platform_fields[] = {
	PROTO_TEXT(1, struct bk_platform, architecture),
	PROTO_TEXT(2, struct bk_platform, os),
	PROTO_TEXT(3, struct bk_platform, variant),
	PROTO_END,
};

static const struct proto_field version_fields[] = {
	PROTO_TEXT(1, struct bk_version, package),
	PROTO_TEXT(2, struct bk_version, version),
	PROTO_TEXT(3, struct bk_version, revision),
	PROTO_TEXT(4, struct bk_version, dockerfile),
	PROTO_END,
};

static const struct proto_field worker_fields[] = {
	PROTO_TEXT(1, struct bk_worker, id),
	PROTO_TEXT_MAP(2, struct bk_worker, labels),
	PROTO_LIST(3, struct bk_worker, platforms, platform_fields),
	PROTO_OBJECT(5, struct bk_worker, version, version_fields),
	PROTO_END,
};

const struct proto_field bk_workers_fields[] = {
	PROTO_LIST(1, struct bk_workers, records, worker_fields),
	PROTO_END,
};

const struct proto_field bk_info_fields[] = {
	PROTO_OBJECT(1, struct bk_info, version, version_fields),
	PROTO_END,
};

const struct proto_field bk_usage_request_fields[] = {
	PROTO_TEXT_LIST(1, struct bk_usage_request, filters),
	PROTO_I64(2, struct bk_usage_request, age_limit),
	PROTO_END,
};

const struct proto_field bk_usage_fields[] = {
	PROTO_TEXT(1, struct bk_usage, id),
	PROTO_BOOL(2, struct bk_usage, is_mutable),
	PROTO_BOOL(3, struct bk_usage, in_use),
	PROTO_I64(4, struct bk_usage, size),
	PROTO_TIME(6, struct bk_usage, created),
	PROTO_TIME(7, struct bk_usage, last_used),
	PROTO_I64(8, struct bk_usage, usage_count),
	PROTO_TEXT(9, struct bk_usage, description),
	PROTO_TEXT(10, struct bk_usage, type),
	PROTO_BOOL(11, struct bk_usage, shared),
	PROTO_END,
};

const struct proto_field bk_usage_response_fields[] = {
	PROTO_LIST(1, struct bk_usage_response, records, bk_usage_fields),
	PROTO_END,
};

const struct proto_field bk_prune_request_fields[] = {
	PROTO_TEXT_LIST(1, struct bk_prune_request, filters),
	PROTO_BOOL(2, struct bk_prune_request, all),
	PROTO_I64(3, struct bk_prune_request, keep_duration),
	PROTO_I64(4, struct bk_prune_request, reserved_space),
	PROTO_I64(5, struct bk_prune_request, max_used_space),
	PROTO_I64(6, struct bk_prune_request, min_free_space),
	PROTO_END,
};

const struct proto_field bk_history_request_fields[] = {
	PROTO_BOOL(1, struct bk_history_request, active_only), PROTO_TEXT(2, struct bk_history_request, ref),
	PROTO_BOOL(3, struct bk_history_request, early_exit),  PROTO_TEXT_LIST(4, struct bk_history_request, filters),
	PROTO_I32(5, struct bk_history_request, limit),	       PROTO_END,
};

static const struct proto_field history_record_fields[] = {
	PROTO_TEXT(1, struct bk_history_record, ref),
	PROTO_TEXT(2, struct bk_history_record, frontend),
	PROTO_TEXT_MAP(3, struct bk_history_record, frontend_attrs),
	PROTO_LIST(4, struct bk_history_record, exporters, exporter_fields),
	PROTO_OBJECT(5, struct bk_history_record, error, bk_status_fields),
	PROTO_TIME(6, struct bk_history_record, created),
	PROTO_TIME(7, struct bk_history_record, completed),
	PROTO_TEXT_MAP(9, struct bk_history_record, exporter_response),
	PROTO_I32(15, struct bk_history_record, cached_steps),
	PROTO_I32(16, struct bk_history_record, total_steps),
	PROTO_I32(17, struct bk_history_record, completed_steps),
	PROTO_END,
};

void bk_history_record_free(struct bk_history_record *record)
{
	proto_free(record, history_record_fields);
}

const struct proto_field bk_history_event_fields[] = {
	PROTO_I32(1, struct bk_history_event, type),
	PROTO_OBJECT(2, struct bk_history_event, record, history_record_fields),
	PROTO_END,
};

/* ---- gateway ---- */

static const struct proto_field cap_fields[] = {
	PROTO_TEXT(1, struct bk_cap, id),
	PROTO_BOOL(2, struct bk_cap, enabled),
	PROTO_END,
};

const struct proto_field bk_pong_fields[] = {
	PROTO_LIST(1, struct bk_pong, frontend_caps, cap_fields),
	PROTO_LIST(2, struct bk_pong, llb_caps, cap_fields),
	PROTO_LIST(3, struct bk_pong, workers, worker_fields),
	PROTO_END,
};

const struct proto_field bk_frontend_request_fields[] = {
	PROTO_BYTES(1, struct bk_frontend_request, definition),
	PROTO_TEXT(2, struct bk_frontend_request, frontend),
	PROTO_TEXT_MAP(3, struct bk_frontend_request, options),
	PROTO_BOOL(14, struct bk_frontend_request, evaluate),
	PROTO_END,
};

static const struct proto_field ref_fields[] = {
	PROTO_TEXT(1, struct bk_ref, id),
	PROTO_END,
};

static const struct proto_field metadata_fields[] = {
	PROTO_TEXT(1, struct bk_metadata, key),
	PROTO_BYTES(2, struct bk_metadata, value),
	PROTO_END,
};

static const struct proto_field result_fields[] = {
	PROTO_TEXT(1, struct bk_result, old_ref),
	PROTO_OBJECT(3, struct bk_result, ref, ref_fields),
	PROTO_BYTES(4, struct bk_result, refs),
	PROTO_LIST(10, struct bk_result, metadata, metadata_fields),
	PROTO_END,
};

const struct proto_field bk_frontend_response_fields[] = {
	PROTO_TEXT(1, struct bk_frontend_response, ref),
	PROTO_OBJECT(3, struct bk_frontend_response, result, result_fields),
	PROTO_END,
};

const struct proto_field bk_return_request_fields[] = {
	PROTO_OBJECT(1, struct bk_return_request, result, result_fields),
	PROTO_OBJECT(2, struct bk_return_request, error, bk_status_fields),
	PROTO_END,
};

/* ---- what a session offers ---- */

static const struct proto_field xattr_fields[] = {
	PROTO_TEXT(1, struct bk_xattr, key),
	PROTO_BYTES(2, struct bk_xattr, value),
	PROTO_END,
};

static const struct proto_field stat_fields[] = {
	PROTO_TEXT(1, struct bk_stat, path),
	PROTO_U32(2, struct bk_stat, mode),
	PROTO_U32(3, struct bk_stat, uid),
	PROTO_U32(4, struct bk_stat, gid),
	PROTO_I64(5, struct bk_stat, size),
	PROTO_I64(6, struct bk_stat, mtime),
	PROTO_TEXT(7, struct bk_stat, link),
	PROTO_I64(8, struct bk_stat, device_major),
	PROTO_I64(9, struct bk_stat, device_minor),
	PROTO_LIST(10, struct bk_stat, xattrs, xattr_fields),
	PROTO_END,
};

void bk_stat_free(struct bk_stat *stat)
{
	proto_free(stat, stat_fields);
}

const struct proto_field bk_packet_fields[] = {
	PROTO_I32(1, struct bk_packet, type),
	PROTO_OBJECT(2, struct bk_packet, stat, stat_fields),
	PROTO_U32(3, struct bk_packet, id),
	PROTO_BYTES(4, struct bk_packet, data),
	PROTO_END,
};

const struct proto_field bk_bytes_fields[] = {
	PROTO_BYTES(1, struct bk_bytes, data),
	PROTO_END,
};

const struct proto_field bk_credentials_request_fields[] = {
	PROTO_TEXT(1, struct bk_credentials_request, host),
	PROTO_END,
};

const struct proto_field bk_credentials_fields[] = {
	PROTO_TEXT(1, struct bk_credentials, username),
	PROTO_TEXT(2, struct bk_credentials, secret),
	PROTO_END,
};

const struct proto_field bk_secret_request_fields[] = {
	PROTO_TEXT(1, struct bk_secret_request, id),
	PROTO_END,
};

/* ---- content ---- */

const struct proto_field bk_content_info_request_fields[] = {
	PROTO_TEXT(1, struct bk_content_info_request, digest),
	PROTO_END,
};

static const struct proto_field content_info_fields[] = {
	PROTO_TEXT(1, struct bk_content_info, digest),
	PROTO_I64(2, struct bk_content_info, size),
	PROTO_END,
};

const struct proto_field bk_content_info_fields[] = {
	PROTO_INLINE(1, content_info_fields),
	PROTO_END,
};

const struct proto_field bk_content_read_fields[] = {
	PROTO_TEXT(1, struct bk_content_read, digest),
	PROTO_I64(2, struct bk_content_read, offset),
	PROTO_I64(3, struct bk_content_read, size),
	PROTO_END,
};

const struct proto_field bk_content_data_fields[] = {
	PROTO_I64(1, struct bk_content_data, offset),
	PROTO_BYTES(2, struct bk_content_data, data),
	PROTO_END,
};

const struct proto_field bk_content_write_fields[] = {
	PROTO_I32(1, struct bk_content_write, action),
	PROTO_TEXT(2, struct bk_content_write, ref),
	PROTO_I64(3, struct bk_content_write, total),
	PROTO_TEXT(4, struct bk_content_write, expected),
	PROTO_I64(5, struct bk_content_write, offset),
	PROTO_BYTES(6, struct bk_content_write, data),
	PROTO_END,
};

const struct proto_field bk_content_written_fields[] = {
	PROTO_I32(1, struct bk_content_written, action),
	PROTO_I64(4, struct bk_content_written, offset),
	PROTO_END,
};
