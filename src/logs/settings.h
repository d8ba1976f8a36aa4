/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - log.json, beside a container's bundle: which driver, its options
 * as the user gave them, and what it may tell of the container. Written by the
 * engine, which has judged all of it; read once by kist-log.
 */
#pragma once

#include <stdint.h>

#include "base/text.h"
#include "json/json.h"

#define LOG_SETTINGS_FILE "log.json"

struct log_settings {
	char *driver; /* "syslog", "journald", "gelf", "fluentd" */
	struct text_map options;
	char *tag;		    /* the template is filled in */
	struct text_map attributes; /* by labels, env and their regex */
	char *container_id;
	char *container_name;
	char *image_id;
	char *image_name;
	char *command;
	char *created; /* RFC 3339 */
};

extern const struct json_field log_settings_fields[];
