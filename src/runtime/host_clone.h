/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_clone.h - the birth of a container process.
 *
 * One clone3 makes all new namespaces and puts the process into its cgroup. If
 * a pid or user namespace must be joined, or others before a new user namespace
 * is made, a go-between joins them and clones with CLONE_PARENT: so init is
 * always a child of the caller, who never leaves its own namespaces.
 */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"

/* Opens what linux.namespaces names by path, and notes what must be new. */
int host_clone_plan_namespaces(struct plan *plan, const struct spec *spec, struct error *err);
void host_clone_close_joins(struct plan *plan);

/* Leaves what can be left to init, which then calls host_clone_make_late() first of all. */
void host_clone_plan_late(struct plan *plan);
int host_clone_make_late(const struct plan *plan, struct error *err);

/* Starts entry(plan) in the new process; sync_fd is the host side's end. Sets pid and pidfd of out_process. */
int host_clone(struct runtime_process *out_process, const struct plan *plan, int sync_fd,
	       void (*entry)(const struct plan *plan), struct error *err);
/* In init, when it is in its cgroup: enters what no go-between has entered for it; the mount namespace last. */
int host_clone_join_rest(const struct plan *plan, struct error *err);
/* The cgroup2 folder the process is born in; -1: it enters by itself. */
int host_clone_cgroup_fd(const struct plan *plan);
/* A new one, or one to join; else the container lives in the host's. */
bool host_clone_has_mount_namespace(const struct plan *plan);
bool host_clone_needs_go_between(const struct plan *plan);
