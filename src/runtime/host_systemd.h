/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_systemd.h - the systemd cgroup driver: a container's group is a transient unit.
 *
 * linux.cgroupsPath is "slice:prefix:name", the unit prefix-name.scope. D-Bus is
 * spoken by the program kist-systemd-scope; it is also the first process of the
 * scope, so that limits are set before the container is born into it, and ends
 * when we release it, or end. The user's own systemd is asked without privileges.
 */
#pragma once

#include "base/error.h"
#include "base/process.h"
#include "runtime/record.h"
#include "sys/cgroup.h"

/* A unit whose first process is still the helper. */
struct host_scope {
	struct process helper;
	int talk_fd;
};
#define HOST_SCOPE_NONE ((struct host_scope){ .helper = { .pidfd = -1 }, .talk_fd = -1 })

/* Sets record->unit, and record->cgroup_path to where it is going to be. */
int host_systemd_name(struct record *record, const struct spec *spec, struct error *err);
/* Makes the unit and waits for it; record->cgroup_path is then what systemd says. */
int host_systemd_start(struct host_scope *out_scope, struct record *record, const struct spec *spec, struct error *err);
/* The helper leaves; from here on the container must keep the unit alive. NONE is fine. */
void host_systemd_release(struct host_scope *scope);
/* Without privileges nobody may be born into a group from outside of the user's own: systemd moves the process then. */
int host_systemd_attach(const struct record *record, pid_t pid, struct error *err);
/* Changes the unit's limits, so that systemd does not put the old ones back. Nothing without a unit. */
int host_systemd_set(const struct record *record, const struct spec_resources *resources, struct error *err);
/* Stops the unit and waits; 0 also if it is gone. Nothing without a unit. */
int host_systemd_stop(const struct record *record, struct error *err);
/* Whether the helper is installed. */
bool host_systemd_is_there(void);

/* ---- host_systemd_property.c ---- */

/* linux.resources as lines "NAME TYPE VALUE" (src/systemd/property.h), in the words of this host's cgroup version. */
int host_systemd_add_limits(struct text *out, const struct spec_resources *resources, bool v2, struct error *err);
/* The device rules; none, and everything allowed to us to forbid, where systemd cannot say the same. */
void host_systemd_add_devices(struct text *out, const struct spec_resources *resources);
/* Annotations org.systemd.property.NAME: true, 'text', uint64 N, N, ['a', 'b']. */
int host_systemd_add_annotations(struct text *out, const struct text_map *annotations, struct error *err);
