/* SPDX-License-Identifier: Apache-2.0 */
/* host_cgroup.h - linux.resources and linux.cgroupsPath in the words of sys/cgroup.h. */
#pragma once

#include "oci/runtime_spec.h"
#include "runtime/record.h"
#include "runtime/runtime.h"
#include "sys/cgroup.h"

/* Sets record->cgroup_path: where the container's group is going to be below the mount points; and record->unit. */
int host_cgroup_name(struct record *record, const struct runtime *runtime, const struct spec *spec, struct error *err);
/* Whether the container gets its groups to write to: mounts[] has them without "ro". */
bool host_cgroup_is_writable(const struct spec *spec);
/* Removes the group; who still lives in it is killed, frozen or not. */
int host_cgroup_remove(struct cgroup *cgroup, struct error *err);
/* Sets what `resources` asks for. with_devices: also the device rules, followed by those every container has. */
int host_cgroup_apply(struct cgroup *cgroup, const struct spec_resources *resources, bool with_devices,
		      struct error *err);
/* The latter alone; does nothing where this user may not. */
int host_cgroup_apply_devices(struct cgroup *cgroup, const struct spec_resources *resources, struct error *err);
