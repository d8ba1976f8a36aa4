/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resctrl.h - linux.intelRdt: shares of cache and memory bandwidth by folders of the resctrl file system.
 *
 * A group is <root>/<closID, or the container's id>; "/" as closID is the root
 * itself. Monitoring makes a group mon_groups/<id> in it. Only what we made for
 * this container alone is removed with it.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

/* Where resctrl is mounted, or NULL. */
const char *resctrl_root(void);
/* ERR_UNSUPPORTED without resctrl, ERR_INVALID for a name that leads elsewhere. rdt may be NULL. */
int resctrl_check(const struct spec_intel_rdt *rdt, struct error *err);
/*
 * Puts a process into its group. *out_made is the folder to be removed with the
 * container (yours), or NULL; it is set even on failure.
 */
int resctrl_apply(char **out_made, const char *root, const struct spec_intel_rdt *rdt, const char *id, pid_t pid,
		  struct error *err);
/* Sets the schemata of a group that exists. */
int resctrl_update(const char *root, const struct spec_intel_rdt *rdt, const char *id, struct error *err);
