/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_checkpoint.h - inside the task files: containers to and from CRIU's images.
 *
 * A task made from a checkpoint has no process before Start: what Create was
 * told is kept in task->restore, and its network namespace is made then, so
 * that it can be set up in between. The shim does nothing else while CRIU works.
 */
#pragma once

#include "shim/task.h"

struct task_restore;

/* Keeps a copy of the request. */
int task_restore_new(struct task_restore **out_restore, struct task *task, const struct task_create_request *request,
		     struct error *err);
void task_restore_free(struct task_restore *restore);
/* Makes the processes; then the task is like any other that runs. */
int task_restore_start(struct task *task, struct error *err);

/* What the runtime is told of a task at create and at restore; `mounts` has room for all of request->rootfs. */
struct runtime_create_options task_create_options(const struct task *task, const struct task_create_request *request,
						  const struct task_runc_options *options,
						  struct runtime_rootfs_mount *mounts);
void task_watch_oom(struct task *task);
