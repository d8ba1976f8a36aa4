/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn.h - which system calls a container makes, written down as a profile for linux.seccomp.
 *
 * An agent process of ours is asked about every call (SECCOMP_RET_USER_NOTIF),
 * lets each go on, and keeps its number. It ends when the last process of the
 * container has, and then writes the file.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct learn {
	pid_t agent;
	int socket_fd; /* for runtime_create_options.learn_fd */
};

/* Starts the agent. A profile that is in `path` already is added to. */
int learn_begin(struct learn *out_learn, const char *path, struct error *err);
/* Waits until the profile is written. */
int learn_end(struct learn *learn, struct error *err);
