/* SPDX-License-Identifier: Apache-2.0 */
/* task_process.h - inside the task files: the common part of init and exec processes. */
#pragma once

#include "shim/task.h"

struct process_stdio {
	bool terminal;
	const char *stdin_uri;
	const char *stdout_uri;
	const char *stderr_uri;
	uid_t uid;
	gid_t gid;
};

/* Opens the streams. exec_id NULL: init. */
int task_process_init(struct task_process *process, struct task *task, const char *exec_id,
		      const struct process_stdio *stdio, struct error *err);
void task_process_fini(struct task_process *process);
/* The process exists: takes its descriptors. */
void task_process_take(struct task_process *process, struct runtime_process *made);
void task_process_ended(struct task_process *process, uint32_t exit_status);
/* Publishes the exit and answers waiters, once nothing holds it back any more. */
void task_process_tell(struct task_process *process);
/* The same without holding back. */
void task_process_tell_now(struct task_process *process);
const char *task_process_id(const struct task_process *process);
