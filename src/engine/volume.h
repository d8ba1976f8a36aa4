/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume.h - directories that outlive containers. Those of driver "local" are <data root>/volumes/<name>/_data; their
 * options type, device and o are mounted there while somebody uses them (volume_mount.h). Those of another driver are
 * a plugin's (volume_plugin.h), which is asked where they are. One row each in meta.db; a plugin may have more.
 *
 * cancel_fd (-1: none) ends the wait for a plugin. No lock is held meanwhile: the name is claimed (volume_row.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"
#include "engine/filter.h"
#include "json/json.h"

struct engine;

struct volume_usage {
	int64_t size_bytes;
	int64_t reference_count;
};

/* GET /volumes/{name}. */
struct volume {
	char *created_at;
	char *driver;
	struct text_map labels;
	char *mountpoint;
	char *name;
	struct text_map options;
	char *scope;
	char *status; /* a plugin's: JSON */
	struct volume_usage *usage;
};
extern const struct json_field volume_fields[];

/* GET /volumes: {"Volumes":[...],"Warnings":null}. */
struct volume_list {
	JSON_ARRAY_OF(struct volume) volumes;
	struct text_list warnings;
};
extern const struct json_field volume_list_fields[];

/* The body of POST /volumes/create. */
struct volume_create_request {
	char *name; /* NULL or "": 64 hex digits, with the label com.docker.volume.anonymous */
	char *driver;
	struct text_map driver_options;
	struct text_map labels;
};
extern const struct json_field volume_create_request_fields[];

struct volume_prune_report {
	struct text_list deleted;
	int64_t space_reclaimed;
};
extern const struct json_field volume_prune_report_fields[];
extern const char *const volume_filter_keys[];
extern const char *const volume_prune_filter_keys[];

struct container_mount;
/* Tells that a container uses it from now on, or no longer. */
void volume_mount_event(struct engine *engine, const struct container_mount *mount, const char *container_id,
			bool mounted);

/* Also succeeds when it exists already. */
int volume_create(struct volume *out_volume, struct engine *engine, const struct volume_create_request *request,
		  int cancel_fd, struct error *err);
/* ERR_NOT_FOUND "get x: no such volume". */
int volume_inspect(struct volume *out_volume, struct engine *engine, const char *name, int cancel_fd,
		   struct error *err);
int volume_list(struct volume_list *out_list, struct engine *engine, const struct filter_set *filters, int cancel_fd,
		struct error *err);
/* Those of driver local: what df and prune look at, as dockerd's. */
int volume_list_local(struct volume_list *out_list, struct engine *engine, struct error *err);
/* Names of the drivers that are in use, for info. */
void volume_drivers(struct text_list *out_names, struct engine *engine);
/* ERR_CONFLICT "remove x: volume is in use - [id]". force: a missing one is no error. */
int volume_remove(struct engine *engine, const char *name, bool force, int cancel_fd, struct error *err);
int volume_prune(struct volume_prune_report *out_report, struct engine *engine, const struct filter_set *filters,
		 struct error *err);
