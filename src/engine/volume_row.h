/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_row.h - volumes as meta.db has them, and who may change one now.
 *
 * Whoever makes or removes a volume has its name claimed: so no lock is held while a plugin is asked. Within the claim,
 * engine->volumes guards the row and its users.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/volume.h"

struct engine;

/* Waits until nobody else has it. ERR_CANCELED. */
int volume_claim(struct engine *engine, const char *name, int cancel_fd, struct error *err);
void volume_release(struct engine *engine, const char *name);

/* 1 with the volume (out_volume may be NULL), 0 if there is none. A plugin's has no mountpoint and no status. */
int volume_row_find(struct volume *out_volume, struct engine *engine, const char *name, struct error *err);
int volume_row_insert(struct engine *engine, const char *name, const char *driver, const struct text_map *labels,
		      const struct text_map *options, struct error *err);
int volume_row_delete(struct engine *engine, const char *name, struct error *err);
/* All, by name. */
int volume_row_list(struct volume_list *out_list, struct engine *engine, struct error *err);

/* With engine->volumes: ids of the containers that use it, and of those that are being made. */
void volume_users_locked(struct text_list *out_ids, struct engine *engine, const char *name);
/* Fails if there are any besides but_id (may be NULL): "remove x: volume is in use - [id]". */
int volume_check_unused_locked(struct engine *engine, const char *name, const char *but_id, struct error *err);

/* create or destroy. */
void volume_publish(struct engine *engine, const char *action, const char *name, const char *driver);
