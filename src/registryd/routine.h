/* SPDX-License-Identifier: Apache-2.0 */
/* routine.h - a thread that does something from time to time, beside everything else, until it is told to end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct routine;

struct routine_options {
	const char *name;		  /* of the thread: 15 bytes at most */
	int64_t (*interval_s)(void *arg); /* asked before each wait: it may have changed */
	void (*work)(void *arg, struct routine *routine);
	void *arg;
};

int routine_start(struct routine **out_routine, const struct routine_options *options, struct error *err);
/* For `work`: sleeps; false when it shall end. 0 only asks. */
bool routine_pause(struct routine *routine, int64_t ms);
/* The interval is another one now. */
void routine_wake(struct routine *routine);
/* Waits until the thread has ended. */
void routine_free(struct routine *routine);
DEFINE_AUTO(struct routine, routine_free)
