/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - figures for Prometheus, by the names dockerd gives them
 * (engine_daemon_*), and requests by method and status as kist_http_requests_total.
 *
 * metrics_request() counts one answered request; metrics_routes serve them all
 * as text at /metrics. Thread-safe.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "engine/engine.h"
#include "http/server.h"

struct metrics;

/* The engine (borrowed) may be opened later: see metrics_set_engine(). */
struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);
void metrics_set_engine(struct metrics *metrics, struct engine *engine);
/* One request to the Docker API: method and path without "/v1.xx". */
void metrics_request(struct metrics *metrics, const char *method, const char *path, int status, int64_t duration_ns);
/* The exposition, yours. */
char *metrics_text(struct metrics *metrics, struct error *err);

/* GET /metrics; the context is the struct metrics. */
extern const struct http_route metrics_routes[];
int metrics_not_found(void *context, struct http_request *request, struct http_response *response, struct error *err);
