/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew.h - a few threads, each with a connection of its own, that do the
 * jobs 0 to jobs - 1 in that order until all are done or one failed.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/remote.h"

struct crew {
	const char *name; /* of its threads: 15 bytes at most */
	size_t jobs;
	int64_t wish; /* how many threads the request asks for; 0 or less: usual */
	size_t usual;
	atomic_bool *stop; /* whoever sets it ends the crew; a failed job sets it */
	int (*job)(void *arg, struct remote *remote, size_t index, struct error *err);
	void *arg;
};

/* Returns when every thread has ended; the error is the first job's that failed. */
int crew_run(const struct crew *crew, struct error *err);
