/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members.h - JSON objects whose members depend on what was written on the
 * command line (--mount, --network, ports), built straight into a text. All
 * else is encoded by tables (json/json.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* Each adds a comma when something stands before it in the open object or array. */
void members_key(struct text *json, const char *key);
void members_text(struct text *json, const char *key, const char *value);
void members_integer(struct text *json, const char *key, int64_t value);
void members_bool(struct text *json, const char *key, bool value);
/* ["a","b"] */
void members_list(struct text *json, const char *key, const struct text_list *list);
void members_map(struct text *json, const char *key, const struct text_map *map);
/* A comma if an item stands before; then "{", or the text in quotes. */
void members_open_item(struct text *json);
void members_text_item(struct text *json, const char *text);
