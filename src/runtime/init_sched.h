/* SPDX-License-Identifier: Apache-2.0 */
/* init_sched.h - process attributes that are one system call each: scheduler, I/O class, personality, LSM label. */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

/* exec only: process.execCPUAffinity.initial, before the cgroup is entered. */
int init_sched_initial_affinity(const struct plan *plan, struct error *err);
/* execCPUAffinity.final, or wherever the cpuset allows: what our caller runs on is not the container's business. */
int init_sched_affinity(const struct plan *plan, struct error *err);
int init_sched_apply(const struct plan *plan, struct error *err);
/* AppArmor profile and SELinux label for the execve that follows. */
int init_sched_labels(const struct plan *plan, struct error *err);
