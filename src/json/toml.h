/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml.h - TOML 1.0 as JSON text, so that the tables of json.h decode it.
 *
 * Tables keep the order of the document. Dates are texts; infinities and nan are
 * refused, for JSON has no word for them. What is wrong is ERR_INVALID with its
 * line: "line 3: expected a value". Depth and size are bounded.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* One object, compact, yours. */
int toml_to_json(char **out_json, const char *text, size_t size, struct error *err);
