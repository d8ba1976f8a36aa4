/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd_wait.h - processes by descriptor: a pid may be reused, a pidfd never is. -errno. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

int pidfd_of(pid_t pid);
/* 0, or -ESRCH if it is gone. */
int pidfd_signal(int pidfd, int signal);
/* Waits for our child: 1 and the wait status as of wait(2) when it ended, 0 if not and `block` is false. */
int pidfd_wait(int pidfd, bool block, int *out_status);
/* Whether it has ended (any process, also not ours): 1 or 0; waits up to timeout_ms (-1: for ever). */
int pidfd_ended(int pidfd, int timeout_ms);
/* When the process started, in clock ticks since boot: with the pid, its identity. 0 if it is gone. */
unsigned long long pid_start_time(pid_t pid);
/* The same of this process, and which of the signals 1 to 31 it ignores or catches: bit n - 1 for signal n. */
unsigned long long pid_own_start_time(unsigned long long *out_signals);
