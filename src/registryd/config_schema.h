/* SPDX-License-Identifier: Apache-2.0 */
/* config_schema.h - the JSON Schema of a field table, so that editors and checkers know what a file may hold. */
#pragma once

#include "json/json.h"

/* Yours, with a newline at its end. */
char *config_schema(const char *title, const struct json_field *fields);
