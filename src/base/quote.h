/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quote.h - bytes as a JSON string, the way Go's encoding/json writes it
 * without HTML escaping: invalid UTF-8 becomes U+FFFD, control bytes \u00xx.
 * Here and not in json/, because logs need it and nothing else of JSON.
 */
#pragma once

#include <stddef.h>

#include "base/text.h"

/* Adds "..." with its quotes. */
void quote_json(struct text *out, const char *data, size_t size);
/* Adds the same without the quotes. */
void quote_json_inner(struct text *out, const char *data, size_t size);
/* Length of the valid UTF-8 sequence at data, or 0. */
size_t utf8_sequence(const char *data, size_t size);
