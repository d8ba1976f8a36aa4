/* SPDX-License-Identifier: Apache-2.0 */
/* collection.h - `builder.gc` (as dockerd has it) and `image-gc` (ours) of daemon.json: what goes by itself, and when. */
#pragma once

#include "base/error.h"
#include "builder/collector.h"
#include "daemon/config.h"
#include "json/value.h"

extern const struct json_field daemon_builder_fields[];
extern const struct json_field daemon_image_gc_fields[];
/* A key inside that nobody knows would be a wish that is not heard. `root` is the whole file. */
int daemon_collection_check_keys(const struct json_value *root, struct error *err);
/* Free the rules with free(). */
int daemon_collection_parse(struct collector_settings *out_settings, const struct daemon_config *config,
			    struct error *err);
