/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd.h - the two things a service manager and a daemon say to each other:
 * sockets handed over at start, and "I am ready". Without systemd both do nothing.
 */
#pragma once

/* Number of sockets from descriptor 3 on that are ours; takes the variables out of the environment. */
int systemd_listen_fds(void);
/* "READY=1", "STOPPING=1"... */
void systemd_notify(const char *state);
