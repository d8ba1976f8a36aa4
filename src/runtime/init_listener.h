/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_listener.h - a filter with SCMP_ACT_NOTIFY, and its listener for the agent at linux.seccomp.listenerPath.
 *
 * Any system call of ours may wait for the agent as soon as the filter is
 * loaded: so a helper thread, which the filter does not bind, hands the listener
 * over, and this one makes no call until that is done.
 */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

/* Loads plan->filter; plan->listener_fd is closed afterwards. */
int init_listener_load(const struct plan *plan, struct error *err);
