/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - threads, and mutexes that know who holds them.
 *
 * Never wait for a process, the network or a client while holding a mutex.
 * Functions that end in _locked assert it with mutex_assert_held().
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct mutex {
	pthread_mutex_t lock;
	pthread_t owner; /* meaningful while held */
	bool held;
};

struct condition {
	pthread_cond_t signal;
};

void mutex_init(struct mutex *mutex);
void mutex_fini(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);
void mutex_assert_held(const struct mutex *mutex);

/* AUTO_UNLOCK struct mutex *held = mutex_hold(&thing->mutex); unlocks at the end of the scope. */
#define AUTO_UNLOCK __attribute__((cleanup(mutex_auto_unlock), unused))
struct mutex *mutex_hold(struct mutex *mutex);
void mutex_auto_unlock(struct mutex **mutex);

void condition_init(struct condition *condition);
void condition_fini(struct condition *condition);
void condition_wait(struct condition *condition, struct mutex *mutex);
/* false when monotonic time `deadline_ns` passed first. */
bool condition_wait_until(struct condition *condition, struct mutex *mutex, int64_t deadline_ns);
void condition_broadcast(struct condition *condition);

/*
 * Starts fn(arg) in a thread of 256 KiB stack, all signals blocked, named
 * `name` (15 bytes at most). Detached if out_thread is NULL.
 */
int thread_start(pthread_t *out_thread, const char *name, void *(*fn)(void *), void *arg, struct error *err);
