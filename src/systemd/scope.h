/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scope.h - transient units of systemd over D-Bus. Every call waits until
 * systemd has done it: a job that failed is an error with the job's result.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"

struct scope_bus;

/* The system's manager, or the user's own. ERR_UNAVAILABLE if there is none. */
int scope_bus_open(struct scope_bus **out_bus, bool user, struct error *err);
void scope_bus_close(struct scope_bus *bus);
DEFINE_AUTO(struct scope_bus, scope_bus_close)

/*
 * Makes a unit ("x.scope" or "x.slice") with these properties (property.h). A scope begins with this process in it.
 * *out_cgroup is its group below the cgroup mount, yours. ERR_CONFLICT if the unit is there already.
 */
int scope_start(struct scope_bus *bus, const char *unit, const char *properties, char **out_cgroup, struct error *err);
/* Moves a process into the unit's group: what its owner may not do by hand, coming from outside of its own groups. */
int scope_attach(struct scope_bus *bus, const char *unit, pid_t pid, struct error *err);
/* Changes properties of a unit until the next boot. */
int scope_set(struct scope_bus *bus, const char *unit, const char *properties, struct error *err);
/* 0 also if there is no such unit. */
int scope_stop(struct scope_bus *bus, const char *unit, struct error *err);
