/* SPDX-License-Identifier: Apache-2.0 */
/* init_sched.h - process attributes that are one system call each: scheduler, I/O class, personality, LSM label. */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

int init_sched_apply(const struct plan *plan, struct error *err);
/* AppArmor profile and SELinux label for the execve that follows. */
int init_sched_labels(const struct plan *plan, struct error *err);
