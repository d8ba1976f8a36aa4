/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - the one way to start another program: posix_spawn and a pidfd.
 *
 * The child gets exactly the descriptors named here, nothing else (everything
 * of ours is O_CLOEXEC), default signals and an empty signal mask.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct process {
	pid_t pid;
	int pidfd; /* -1: not running or waited for */
};

struct process_options {
	const char *path;  /* program; searched in PATH if it has no slash */
	char *const *argv; /* with argv[0] */
	char *const *envp; /* NULL: ours */
	const char *cwd;   /* NULL: ours */
	int stdin_fd;	   /* borrowed; 0 and -1 mean /dev/null */
	int stdout_fd;	   /* borrowed; 0 and -1 mean /dev/null */
	int stderr_fd;	   /* borrowed; 0 and -1 mean ours */
	const int *fds;	   /* borrowed: become 3, 4, 5, ... */
	size_t fd_count;
	bool new_session; /* setsid: survives our terminal and our process group */
	bool new_group;
};

struct process_end {
	bool signaled;
	int code; /* exit code, or the signal's number */
};

int process_spawn(struct process *out_process, const struct process_options *options, struct error *err);
/*
 * Waits for the end; timeout_ms < 0 waits for ever; cancel_fd (or -1) is
 * polled too. Returns 1 when it ended, 0 at the timeout or cancel.
 */
int process_wait(struct process *process, struct process_end *out_end, int timeout_ms, int cancel_fd,
		 struct error *err);
void process_kill(const struct process *process, int signal);
/* Kills it if it runs, reaps it, closes the pidfd. */
void process_fini(struct process *process);

/* Runs a program to its end with `input` (may be NULL) on stdin; *out_output (may be NULL) gets stdout, at most
 * `limit` bytes. A non-zero exit is ERR_INTERNAL with the last of stderr in the message. */
int process_run(char **out_output, char *const *argv, const char *input, size_t limit, struct error *err);
