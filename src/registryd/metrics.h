/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - counters since the start, as Prometheus reads them (text format 0.0.4). Threads: share it freely. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);
DEFINE_AUTO(struct metrics, metrics_free)
/* One request that was answered. */
void metrics_add(struct metrics *metrics, const char *method, int status, uint64_t bytes, int64_t took_us);
/* One collection that ended. */
/* One walk over all blobs that ended. */
void metrics_add_scrub(struct metrics *metrics, uint64_t blobs, uint64_t damaged);
/* One event that a webhook took, or that a full queue lost. */
void metrics_add_event(struct metrics *metrics, bool taken);
void metrics_add_garbage(struct metrics *metrics, uint64_t blobs, uint64_t bytes);
