/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - inside the task files: the common part of init and exec processes. */
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
int process_init(struct process *process, struct task *task, const char *exec_id, const struct process_stdio *stdio,
		 struct error *err);
void process_fini(struct process *process);
/* The process exists: takes its descriptors. */
void process_take(struct process *process, struct runtime_process *made);
void process_ended(struct process *process, uint32_t exit_status);
/* Publishes the exit and answers waiters, once nothing holds it back any more. */
void process_tell(struct process *process);
/* The same without holding back. */
void process_tell_now(struct process *process);
const char *process_id(const struct process *process);
