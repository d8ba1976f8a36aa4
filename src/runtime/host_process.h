/* SPDX-License-Identifier: Apache-2.0 */
/* host_process.h - what create and exec have in common on the host side. */
#pragma once

#include "base/error.h"
#include "runtime/plan.h"
#include "runtime/sync.h"

/* The descriptors to be passed on are there. */
int host_process_check_preserved(const struct runtime_process_options *options, struct error *err);
/* A stream socket pair; both ends O_CLOEXEC. */
int host_process_sync_pair(int out_fds[2], struct error *err);
/* What must be written from outside while init waits: id maps, oom_score_adj. */
int host_process_prepare(const struct runtime_process *process, const struct plan *plan, struct error *err);
/* Resource limits, when init is ready. */
int host_process_limit(const struct runtime_process *process, const struct plan *plan, struct error *err);
/* Takes the descriptors that came with READY; gives the tty to the console socket, the pidfd to its socket. */
int host_process_deliver(struct runtime_process *process, struct sync_message *message, const struct plan *plan,
			 struct error *err);
int host_process_write_pid_file(const char *path, pid_t pid, struct error *err);
/* A stream to a unix socket ("@name": an abstract one). */
int host_process_connect(const char *path, struct error *err);
/* Waits until the program runs (the socket closes at execve), or fails with init's reason. */
int host_process_await_exec(int sync_fd, struct error *err);
/* Kills and reaps a process that must not live on. */
void host_process_destroy(struct runtime_process *process);
