/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.h - health checks: a command that is run in the container again and
 * again and says by its exit code how the container is.
 *
 * starting until the first success, healthy, unhealthy after `retries` failures
 * in a row (those of the start period do not count). Probes are execs; the
 * last five results are kept in the container's document. Not running or
 * paused means unhealthy, as in docker. The annotation HEALTH_ACTION_KEY lets
 * the engine act: "kill", "stop" or "restart" a container that turns unhealthy.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "json/json.h"

struct container;
struct container_config;
struct host_config;

#define HEALTH_ACTION_KEY "kist.health-on-failure"

struct state_health_result {
	char *start; /* RFC 3339 */
	char *end;
	int64_t exit_code; /* -1: it took too long, or could not be run */
	char *output;	   /* 4096 bytes at most */
};

struct state_health {
	char *status;
	int64_t failing_streak;
	JSON_ARRAY_OF(struct state_health_result) log;
};
extern const struct json_field state_health_fields[];

/* The status as ps filters name it: "none", "starting", "healthy", "unhealthy". */
const char *health_status(const struct state_health *health);
int health_check_config(const struct container_config *config, const struct host_config *host, struct error *err);

/* With container->mutex held: a run begins; it ends, or is paused. */
void health_begin_locked(struct container *container);
void health_end_locked(struct container *container);
struct health_counts {
	uint64_t checks;
	uint64_t failures;
};
/* Probes since the engine was opened. */
struct engine;
void health_count(struct health_counts *out_counts, const struct engine *engine);
/* Starts the thread that probes this run, if the container has a check. */
void health_watch(struct container *container);
