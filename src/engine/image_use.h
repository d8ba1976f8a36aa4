/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_use.h - how long images were not used, for whoever collects those.
 *
 * Idle time is time that an engine ran, not time by the clock: neither a jump
 * of the clock nor a month in a drawer makes an image old.
 *
 * Threads: note from anywhere.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

struct engine;

/* A container or a build step is made of it, or has it mounted. */
void image_use_note(struct engine *engine, const char *image_id);
/* What was noted since the last time. */
void image_use_take(struct text_list *out_ids, struct engine *engine);
/* What the collector keeps of each image, by id. */
int image_idle_load(struct text_map *out_idle, struct engine *engine, struct error *err);
int image_idle_save(struct engine *engine, const struct text_map *idle, struct error *err);
