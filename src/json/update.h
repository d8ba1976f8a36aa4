/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update.h - rewrites a document and keeps what the table does not know.
 */
#pragma once

#include "json/json.h"

/*
 * The original object with the struct's members in place of its own: keys that
 * encode to nothing (JSON_OMIT_EMPTY) are removed, keys outside the table stay
 * where they were. Compact, yours; NULL with ERR_INVALID if it is no object.
 */
char *json_update(const char *original, size_t size, const void *source, const struct json_field *fields,
		  struct error *err);
