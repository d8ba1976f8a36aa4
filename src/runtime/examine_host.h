/* SPDX-License-Identifier: Apache-2.0 */
/* examine_host.h - what this host has, for examine.c. */
#pragma once

#include <stdbool.h>

#include "oci/runtime_spec.h"
#include "runtime/finding.h"
#include "runtime/runtime.h"

bool examine_host_has_apparmor(void);
/* As /proc/filesystems says: modules that are not loaded are not in it. */
bool examine_host_has_file_system(const char *type);
/* linux.resources against the controllers there are. */
void examine_host_resources(struct findings *found, const struct runtime *runtime, const struct spec *spec);
