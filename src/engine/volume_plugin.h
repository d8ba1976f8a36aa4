/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_plugin.h - the words of docker's volume plugins (VolumeDriver, protocol v1), one function each.
 *
 * Each waits for a program of somebody else: no lock may be held. Making and mounting have two minutes, all else one,
 * as dockerd's; the engine's end and the caller's cancel_fd (-1: none) end it at once.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "plugin/plugin.h"
#include "json/json.h"

#define VOLUME_DRIVER_LOCAL "local"

struct engine;

/* What a plugin says of a volume. Freed with json_free_fields(volume, plugin_volume_fields). */
struct plugin_volume {
	char *name;
	char *mountpoint; /* NULL or "": it is mounted nowhere */
	char *created_at;
	char *status; /* JSON */
};
extern const struct json_field plugin_volume_fields[];

/* A plugin, and who no longer wants to wait. */
struct volume_plugin {
	struct engine *engine;
	const char *name;
	int cancel_fd;
};

/* ERR_NOT_FOUND, or ERR_INVALID if it can be no plugin's name: error looking up volume plugin x: plugin "x" not found. */
enum plugin_result volume_plugin_create(const struct volume_plugin *plugin, const char *volume,
					const struct text_map *options, struct error *err);
/* timeout_ms 0: a minute. */
enum plugin_result volume_plugin_remove(const struct volume_plugin *plugin, const char *volume, int timeout_ms,
					struct error *err);
/* PLUGIN_REFUSED: it has none of that name. */
enum plugin_result volume_plugin_get(struct plugin_volume *out_volume, const struct volume_plugin *plugin,
				     const char *volume, struct error *err);
/* *out_path is yours, and absolute. One that is not there yet is waited for. */
enum plugin_result volume_plugin_mount(char **out_path, const struct volume_plugin *plugin, const char *volume,
				       const char *id, struct error *err);
/* timeout_ms 0: a minute. */
enum plugin_result volume_plugin_unmount(const struct volume_plugin *plugin, const char *volume, const char *id,
					 int timeout_ms, struct error *err);
/* "" if it is mounted nowhere, or does not say. Yours. */
char *volume_plugin_path(const struct volume_plugin *plugin, const char *volume);
/* "local" or "global"; asked once. Yours. */
char *volume_plugin_scope(const struct volume_plugin *plugin);

/* Of all volumes of a plugin, or (volume) of that one, asked of many plugins at once; a few seconds each. */
struct volume_survey {
	const char *plugin; /* borrowed */
	enum plugin_result result;
	JSON_ARRAY_OF(struct plugin_volume) volumes;
	char *problem; /* why there is none */
};
void volume_plugins_survey(struct volume_survey *surveys, size_t count, struct engine *engine, const char *volume,
			   int cancel_fd);
void volume_surveys_fini(struct volume_survey *surveys, size_t count);
