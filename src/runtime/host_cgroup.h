/* SPDX-License-Identifier: Apache-2.0 */
/* host_cgroup.h - linux.resources and linux.cgroupsPath in the words of sys/cgroup.h. */
#pragma once

#include "oci/runtime_spec.h"
#include "runtime/runtime.h"
#include "sys/cgroup.h"

/* Where the container's group is, below the mount points; yours. */
char *host_cgroup_path(const struct runtime *runtime, const struct spec *spec, const char *id, struct error *err);
/* Removes the group; who still lives in it is killed, frozen or not. */
int host_cgroup_remove(struct cgroup *cgroup, struct error *err);
/* Sets what `resources` asks for. with_devices: also the device rules, followed by those every container has. */
int host_cgroup_apply(struct cgroup *cgroup, const struct spec_resources *resources, bool with_devices,
		      struct error *err);
