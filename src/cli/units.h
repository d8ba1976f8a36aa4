/* SPDX-License-Identifier: Apache-2.0 */
/* units.h - sizes, times and texts for people, character for character as docker prints them. */
#pragma once

#include <stdint.h>

#include "base/text.h"

/* Decimal: "1.98MB", with so many significant digits (docker: 4, lists: 3). */
void units_add_size(struct text *out, double bytes, int digits);
/* Binary: "23.54GiB". */
void units_add_binary(struct text *out, double bytes);
char *units_size(double bytes, int digits);
/* "About a minute", "3 hours". */
char *units_duration(int64_t ns);
/* "2006-01-02 15:04:05 -0700 MST" in local time. */
char *units_time(int64_t seconds);
/* Terminal cells of a UTF-8 text, wide characters counted twice. */
size_t units_width(const char *text);
/* At most `width` cells, the last one an ellipsis if something was cut. */
char *units_ellipsis(const char *text, size_t width);
/* 12 hex digits of an id, without its algorithm. */
char *units_short_id(const char *id);
/* As Go's strconv.Quote. */
char *units_quote(const char *text);
