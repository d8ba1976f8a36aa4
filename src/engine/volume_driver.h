/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_driver.h - what the rows of meta.db and the plugins together know of volumes.
 *
 * A plugin has the last word on which volumes of its there are. All of these may wait for plugins: no lock may be held.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "engine/volume.h"
#include "engine/volume_plugin.h"

struct engine;

/* 1 with the volume, 0: neither a row nor a plugin has it, or its plugin has it no longer. */
int volume_driver_look(struct volume *out_volume, struct engine *engine, const char *name, int cancel_fd,
		       struct error *err);
/* The plugin that has a volume of this name; NULL: none. Yours. */
char *volume_driver_owner(struct engine *engine, const char *name, int cancel_fd);
/* 1 made, 0 it was there. "create x: ...". */
int volume_driver_make(const struct volume_plugin *plugin, const char *name, const struct text_map *options,
		       struct error *err);
/* To the rows of a list: what the plugins have, less what they have no longer; warnings of those that do not say. */
void volume_drivers_add(struct volume_list *list, struct engine *engine, const struct filter_set *filters,
			int cancel_fd);
