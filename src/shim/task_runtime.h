/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_runtime.h - the verbs of a runtime for one task: our own library, or the
 * program that its bundle names (oci_binary.h). Errors and rules are those of
 * runtime.h.
 */
#pragma once

#include "shim/task.h"

struct cgroup_stats;

/* Which one it is: once, before all else. containerd's binary_name may be NULL. */
int task_runtime_choose(struct task *task, const struct task_runc_options *options, struct error *err);
int task_runtime_create(struct runtime_process *out_process, const struct task *task,
			const struct runtime_create_options *options, struct error *err);
int task_runtime_start(const struct task *task, struct error *err);
int task_runtime_exec(struct runtime_process *out_process, const struct task *task,
		      const struct runtime_exec_options *options, struct error *err);
int task_runtime_kill(const struct task *task, int signal, bool all, struct error *err);
int task_runtime_delete(const struct task *task, struct error *err);
int task_runtime_pause(const struct task *task, bool pause, struct error *err);
int task_runtime_update(const struct task *task, const struct spec_resources *resources, struct error *err);
int task_runtime_pids(struct runtime_pids *out_pids, const struct task *task, struct error *err);
int task_runtime_stats(struct cgroup_stats *out_stats, const struct task *task, struct error *err);
/* ERR_UNSUPPORTED for what only our own can do. */
int task_runtime_must_be_own(const struct task *task, const char *what, struct error *err);
