/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - time as int64 nanoseconds, and its texts.
 *
 * Wall time counts from 1970 UTC; 0 means "never" and prints as Go's zero time
 * 0001-01-01T00:00:00Z, which every Docker client knows.
 */
#pragma once

#include <stdint.h>

#define CLOCK_TEXT_MAX 48
#define CLOCK_SECOND INT64_C(1000000000)
#define CLOCK_MS INT64_C(1000000)

int64_t clock_wall_ns(void);
int64_t clock_monotonic_ns(void);
void clock_sleep_ms(int64_t ms);

/* RFC 3339 in UTC, as Go's RFC3339Nano: trailing zeros of the fraction dropped. Returns out. */
const char *clock_format(char out[CLOCK_TEXT_MAX], int64_t wall_ns);
/* Always nine digits of fraction: docker logs --timestamps. */
const char *clock_format_fixed(char out[CLOCK_TEXT_MAX], int64_t wall_ns);
/* RFC 3339 with offset or Z; 0 or -EINVAL. Go's zero time gives 0. */
int clock_parse(int64_t *out_wall_ns, const char *text);
/* Go durations "1h2m3.5s", "100ms", "-5s"; 0 or -EINVAL/-ERANGE. */
int clock_parse_duration(int64_t *out_ns, const char *text);
/* The same the other way: "1m30s", "500ms", "0s", as Go prints a Duration. Returns out. */
const char *clock_format_duration(char out[CLOCK_TEXT_MAX], int64_t ns);
/* What the API takes for since/until: RFC 3339, "unix[.nanos]", or a duration before now. */
int clock_parse_moment(int64_t *out_wall_ns, const char *text);
