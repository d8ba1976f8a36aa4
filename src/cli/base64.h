/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - RFC 4648, both alphabets, with padding when written and without need of it when read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

void base64_encode(struct text *out, const void *data, size_t size, bool url);
/* The bytes with a NUL behind them, yours; NULL if it is no base64. */
char *base64_decode(size_t *out_size, const char *text);
