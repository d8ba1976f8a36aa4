/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.h - the protobuf messages of BuildKit that we speak, as structs with
 * tables (rpc/proto.h): moby.buildkit.v1 (Control), its frontend gateway,
 * moby.filesync.v1, fsutil.types, secrets and sshforward.
 *
 * Only the members that are used here have fields; a sub-message that is passed
 * on unread is BYTES.
 */
#pragma once

#include "rpc/proto.h"

/* google.rpc.Status */
struct bk_any {
	char *type_url;
	struct proto_bytes value;
};
struct bk_status {
	int32_t code;
	char *message;
	PROTO_LIST_OF(struct bk_any) details;
};
extern const struct proto_field bk_status_fields[];

struct bk_empty {
	char *unused;
};
extern const struct proto_field bk_empty_fields[];

/* ---- Control ---- */

struct bk_exporter {
	char *type;
	struct text_map attrs;
};
struct bk_cache_entry {
	char *type;
	struct text_map attrs;
};
struct bk_cache_options {
	PROTO_LIST_OF(struct bk_cache_entry) exports;
	PROTO_LIST_OF(struct bk_cache_entry) imports;
};
struct bk_solve_request {
	char *ref;
	struct proto_bytes definition;
	char *exporter; /* of clients before exporters */
	struct text_map exporter_attrs;
	char *session;
	char *frontend;
	struct text_map frontend_attrs;
	struct bk_cache_options cache;
	struct text_list entitlements;
	bool internal;
	PROTO_LIST_OF(struct bk_exporter) exporters;
};
extern const struct proto_field bk_solve_request_fields[];

struct bk_solve_response {
	struct text_map exporter_response;
};
extern const struct proto_field bk_solve_response_fields[];

struct bk_status_request {
	char *ref;
};
extern const struct proto_field bk_status_request_fields[];

struct bk_vertex {
	char *digest;
	char *name;
	bool cached;
	int64_t started;
	int64_t completed;
	char *error;
};
struct bk_vertex_status {
	char *id;
	char *vertex;
	int64_t current;
	int64_t total;
	int64_t timestamp;
	int64_t started;
	int64_t completed;
};
struct bk_vertex_log {
	char *vertex;
	int64_t timestamp;
	int64_t stream;
	struct proto_bytes data;
};
struct bk_position {
	int32_t line;
};
struct bk_range {
	struct bk_position start;
	struct bk_position end;
};
struct bk_source_info {
	char *filename;
	struct proto_bytes data;
	char *language;
};
struct bk_warning {
	char *vertex;
	int64_t level;
	struct proto_bytes text;
	struct proto_bytes detail; /* the first of several */
	char *url;
	struct bk_source_info info;
	PROTO_LIST_OF(struct bk_range) ranges;
};
struct bk_status_response {
	PROTO_LIST_OF(struct bk_vertex) vertices;
	PROTO_LIST_OF(struct bk_vertex_status) statuses;
	PROTO_LIST_OF(struct bk_vertex_log) logs;
	PROTO_LIST_OF(struct bk_warning) warnings;
};
extern const struct proto_field bk_status_response_fields[];

struct bk_platform {
	char *architecture;
	char *os;
	char *variant;
};
struct bk_version {
	char *package;
	char *version;
	char *revision;
	char *dockerfile;
};
struct bk_worker {
	char *id;
	struct text_map labels;
	PROTO_LIST_OF(struct bk_platform) platforms;
	struct bk_version version;
};
struct bk_workers {
	PROTO_LIST_OF(struct bk_worker) records;
};
extern const struct proto_field bk_workers_fields[];

struct bk_info {
	struct bk_version version;
};
extern const struct proto_field bk_info_fields[];

struct bk_usage_request {
	struct text_list filters;
	int64_t age_limit;
};
extern const struct proto_field bk_usage_request_fields[];

struct bk_usage {
	char *id;
	bool is_mutable;
	bool in_use;
	int64_t size;
	int64_t created;
	int64_t last_used;
	int64_t usage_count;
	char *description;
	char *type;
	bool shared;
};
extern const struct proto_field bk_usage_fields[];
struct bk_usage_response {
	PROTO_LIST_OF(struct bk_usage) records;
};
extern const struct proto_field bk_usage_response_fields[];

struct bk_prune_request {
	struct text_list filters;
	bool all;
	int64_t keep_duration;
	int64_t reserved_space;
	int64_t max_used_space;
	int64_t min_free_space;
};
extern const struct proto_field bk_prune_request_fields[];

struct bk_history_request {
	bool active_only;
	char *ref;
	bool early_exit;
	struct text_list filters;
	int32_t limit;
};
extern const struct proto_field bk_history_request_fields[];

struct bk_history_record {
	char *ref;
	char *frontend;
	struct text_map frontend_attrs;
	PROTO_LIST_OF(struct bk_exporter) exporters;
	struct bk_status error;
	int64_t created;
	int64_t completed;
	struct text_map exporter_response;
	int32_t cached_steps;
	int32_t total_steps;
	int32_t completed_steps;
};
void bk_history_record_free(struct bk_history_record *record);
struct bk_history_event {
	int32_t type;
	struct bk_history_record record;
};
extern const struct proto_field bk_history_event_fields[];

/* ---- gateway ---- */

struct bk_cap {
	char *id;
	bool enabled;
};
struct bk_pong {
	PROTO_LIST_OF(struct bk_cap) frontend_caps;
	PROTO_LIST_OF(struct bk_cap) llb_caps;
	PROTO_LIST_OF(struct bk_worker) workers;
};
extern const struct proto_field bk_pong_fields[];

struct bk_frontend_request {
	struct proto_bytes definition;
	char *frontend;
	struct text_map options;
	bool evaluate;
};
extern const struct proto_field bk_frontend_request_fields[];

struct bk_ref {
	char *id;
};
struct bk_metadata {
	char *key;
	struct proto_bytes value;
};
struct bk_result {
	char *old_ref;
	struct bk_ref ref;
	struct proto_bytes refs; /* more than one: not made here */
	PROTO_LIST_OF(struct bk_metadata) metadata;
};
struct bk_frontend_response {
	char *ref;
	struct bk_result result;
};
extern const struct proto_field bk_frontend_response_fields[];

struct bk_return_request {
	struct bk_result result;
	struct bk_status error;
};
extern const struct proto_field bk_return_request_fields[];

/* ---- what a session offers ---- */

struct bk_xattr {
	char *key;
	struct proto_bytes value;
};
struct bk_stat {
	char *path;
	uint32_t mode; /* Go's FileMode */
	uint32_t uid;
	uint32_t gid;
	int64_t size;
	int64_t mtime; /* wall, ns */
	char *link;
	int64_t device_major;
	int64_t device_minor;
	PROTO_LIST_OF(struct bk_xattr) xattrs;
};
void bk_stat_free(struct bk_stat *stat);
enum bk_packet_type { BK_STAT, BK_REQUEST, BK_DATA, BK_FIN, BK_ERROR };
struct bk_packet {
	int32_t type;
	struct bk_stat stat;
	uint32_t id;
	struct proto_bytes data;
};
extern const struct proto_field bk_packet_fields[];

struct bk_bytes {
	struct proto_bytes data;
};
extern const struct proto_field bk_bytes_fields[];

struct bk_credentials_request {
	char *host;
};
extern const struct proto_field bk_credentials_request_fields[];
struct bk_credentials {
	char *username;
	char *secret;
};
extern const struct proto_field bk_credentials_fields[];

struct bk_secret_request {
	char *id;
};
extern const struct proto_field bk_secret_request_fields[];

/* ---- containerd.services.content.v1: a folder of the client ---- */

struct bk_content_info_request {
	char *digest;
};
extern const struct proto_field bk_content_info_request_fields[];

struct bk_content_info {
	char *digest;
	int64_t size;
};
extern const struct proto_field bk_content_info_fields[];

struct bk_content_read {
	char *digest;
	int64_t offset;
	int64_t size; /* 0: to the end */
};
extern const struct proto_field bk_content_read_fields[];

struct bk_content_data {
	int64_t offset;
	struct proto_bytes data;
};
extern const struct proto_field bk_content_data_fields[];

struct bk_content_write {
	int32_t action;
	char *ref;
	int64_t total;
	char *expected;
	int64_t offset;
	struct proto_bytes data;
};
extern const struct proto_field bk_content_write_fields[];

struct bk_content_written {
	int32_t action;
	int64_t offset;
};
extern const struct proto_field bk_content_written_fields[];
