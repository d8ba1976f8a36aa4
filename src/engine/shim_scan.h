/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim_scan.h - shims nobody waits for: kistd was killed between starting one
 * and writing down that its container runs. Nothing was acknowledged, so they
 * are ended; what they started is cleaned by `kist-shim delete` afterwards.
 */
#pragma once

#include "engine/engine_private.h"

/* Whether this process is the shim of that container. */
bool shim_is_of(int64_t pid, const char *id);
/* Kills every kist-shim of this exec root whose container does not run. While no container is being started. */
void shims_kill_strange(struct engine *engine);
