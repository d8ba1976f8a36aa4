/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - systemd's readiness protocol (sd_notify(3)) for the container's process.
 *
 * The container has a socket of ours at /run/notify/notify.sock; what it says
 * there goes on to $NOTIFY_SOCKET, with MAINPID behind READY=1, and a barrier
 * so that systemd has read it before we end.
 */
#pragma once

#include "runtime/runtime.h"

/* Whether somebody waits: $NOTIFY_SOCKET. */
bool notify_wanted(void);
/* The socket below the state folder of a container made with options.notify. Its descriptor. */
int notify_listen(const struct runtime *runtime, const char *id, struct error *err);
/*
 * Passes messages on until READY=1 was, or `pid` has ended. main_pid is what systemd shall watch. Whoever does not
 * listen any more is a warning only: the container runs.
 */
void notify_forward(int fd, pid_t pid, pid_t main_pid, const struct log *log);
/* The same in a process of its own, which goes on behind READY=1 until the container ends. */
int notify_forward_beside(int fd, pid_t pid, const struct log *log, struct error *err);
