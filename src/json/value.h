/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - a JSON document whose shape is not known beforehand: templates,
 * inspect, config files with free keys. Read-only, except for its making.
 *
 * struct json_value * from json_value_parse() is owned: json_value_free().
 * Everything reached from it is borrowed and lives as long as it does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

struct json_value;

enum json_type {
	JSON_TYPE_NULL,
	JSON_TYPE_BOOL,
	JSON_TYPE_INTEGER,
	JSON_TYPE_REAL,
	JSON_TYPE_TEXT,
	JSON_TYPE_ARRAY,
	JSON_TYPE_OBJECT
};

int json_value_parse(struct json_value **out_value, const char *text, size_t size, struct error *err);
void json_value_free(struct json_value *value);
DEFINE_AUTO(struct json_value, json_value_free)

/* NULL counts as JSON null everywhere. */
enum json_type json_value_type(const struct json_value *value);
bool json_value_bool(const struct json_value *value);
int64_t json_value_integer(const struct json_value *value);
double json_value_real(const struct json_value *value);
/* NULL if it is no text. */
const char *json_value_text(const struct json_value *value);
/* Items of an array or members of an object. */
size_t json_value_count(const struct json_value *value);
const struct json_value *json_value_at(const struct json_value *value, size_t index);
/* Member of an object, or NULL. */
const struct json_value *json_value_get(const struct json_value *value, const char *key);
/* Keys of an object, sorted as Go prints maps, or in the document's order. */
void json_value_keys(struct text_list *out_keys, const struct json_value *value, bool sorted);
/* Compact text when indent is NULL. Objects keep the document's order. */
void json_value_encode(struct text *out, const struct json_value *value, const char *indent);
