/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_config.h - what an image says about running itself, its layers' diff
 * ids and its history. The digest of its bytes is the image's id.
 *
 * Rewriting keeps what we do not know: image_config_rewrite() changes only the
 * members of struct image_config in the original text. Owns its texts.
 */
#pragma once

#include "base/optional.h"
#include "oci/platform.h"
#include "json/json.h"

#define IMAGE_CONFIG_SIZE_MAX (8 * 1024 * 1024)

/* Keys of {"80/tcp": {}} objects: ExposedPorts, Volumes. */
struct image_key {
	char *name;
};

struct image_healthcheck {
	struct text_list test; /* {"NONE"}, {"CMD", ...}, {"CMD-SHELL", line} */
	int64_t interval_ns;
	int64_t timeout_ns;
	int64_t start_period_ns;
	int64_t start_interval_ns;
	int64_t retries;
};

struct image_run {
	char *hostname;
	char *domainname;
	char *user;
	JSON_ARRAY_OF(struct image_key) exposed_ports;
	bool tty;
	bool open_stdin;
	struct text_list env;
	struct text_list entrypoint;
	struct text_list cmd;
	struct image_healthcheck *healthcheck;
	JSON_ARRAY_OF(struct image_key) volumes;
	char *working_dir;
	struct text_list on_build;
	struct text_map labels;
	char *stop_signal;
	struct optional_i64 stop_timeout; /* seconds */
	struct text_list shell;
	bool args_escaped;
};

struct image_rootfs {
	char *type; /* "layers" */
	struct text_list diff_ids;
};

struct image_history {
	char *created;
	char *created_by;
	char *author;
	char *comment;
	bool empty_layer;
};

struct image_config {
	char *created; /* RFC 3339 */
	char *author;
	char *architecture;
	char *variant;
	char *os;
	char *os_version;
	struct text_list os_features;
	struct image_run config;
	struct image_rootfs rootfs;
	JSON_ARRAY_OF(struct image_history) history;
};

/* For tables that hold a whole run section or healthcheck. */
extern const struct json_field image_run_fields[];
extern const struct json_field image_healthcheck_fields[];
extern const struct json_field image_config_fields[];

/* Also checks that every diff id is a digest. */
int image_config_decode(struct image_config *out_config, const char *text, size_t size, struct error *err);
char *image_config_encode(const struct image_config *config);
/* The original text with the members of config in place of its own; yours. */
char *image_config_rewrite(const struct image_config *config, const char *original, size_t size, struct error *err);
void image_config_fini(struct image_config *config);
void image_config_platform(const struct image_config *config, struct platform *out_platform);
