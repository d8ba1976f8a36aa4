/* SPDX-License-Identifier: Apache-2.0 */
/* hook.h - programs the specification wants run around a container's life. */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"

/*
 * Runs the hooks in order with the state document on stdin; stops at the first
 * that fails. A hook without an environment of its own gets `env` (NULL: none). The error tells kind, path, exit and the last of its output.
 */
int hook_run_list(const spec_hook_list *hooks, const char *kind, const char *state_json, char *const *env,
		  struct error *err);
