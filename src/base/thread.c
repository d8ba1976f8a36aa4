/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

#define NAME_SIZE 16 /* the kernel's, with the NUL */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (2048 * 1024)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_BYTES (2048 * 1024)
#endif
#endif
#ifndef STACK_BYTES
#define STACK_BYTES (256 * 1024)
#endif

static void must(int r)
{
	if (r != 0)
		abort();
}

void mutex_init(struct mutex *mutex)
{
	*mutex = (struct mutex){ 0 };
	must(pthread_mutex_init(&mutex->lock, NULL));
}

void mutex_fini(struct mutex *mutex)
{
	must(pthread_mutex_destroy(&mutex->lock));
}

void mutex_lock(struct mutex *mutex)
{
	must(pthread_mutex_lock(&mutex->lock));
	mutex->owner = pthread_self();
	mutex->held = true;
}

void mutex_unlock(struct mutex *mutex)
{
	mutex_assert_held(mutex);
	mutex->held = false;
	must(pthread_mutex_unlock(&mutex->lock));
}

void mutex_assert_held(const struct mutex *mutex)
{
	assert(mutex->held && pthread_equal(mutex->owner, pthread_self()));
	(void)mutex;
}

struct mutex *mutex_hold(struct mutex *mutex)
{
	mutex_lock(mutex);
	return mutex;
}

void mutex_auto_unlock(struct mutex **mutex)
{
	if (*mutex)
		mutex_unlock(*mutex);
}

void condition_init(struct condition *condition)
{
	pthread_condattr_t attributes;

	must(pthread_condattr_init(&attributes));
	must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
	must(pthread_cond_init(&condition->signal, &attributes));
	must(pthread_condattr_destroy(&attributes));
}

void condition_fini(struct condition *condition)
{
	must(pthread_cond_destroy(&condition->signal));
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
	mutex_assert_held(mutex);
	mutex->held = false;
	must(pthread_cond_wait(&condition->signal, &mutex->lock));
	mutex->owner = pthread_self();
	mutex->held = true;
}

bool condition_wait_until(struct condition *condition, struct mutex *mutex, int64_t deadline_ns)
{
	struct timespec deadline = { .tv_sec = deadline_ns / CLOCK_SECOND, .tv_nsec = deadline_ns % CLOCK_SECOND };
	int r;

	mutex_assert_held(mutex);
	mutex->held = false;
	r = pthread_cond_timedwait(&condition->signal, &mutex->lock, &deadline);
	mutex->owner = pthread_self();
	mutex->held = true;
	if (r != ETIMEDOUT)
		must(r);
	return r == 0;
}

void condition_broadcast(struct condition *condition)
{
	must(pthread_cond_broadcast(&condition->signal));
}

struct start {
	char name[NAME_SIZE];
	void *(*fn)(void *);
	void *arg;
};

/* Names itself: a detached thread may be over before whoever started it could. */
static void *run(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), start.name);
	return start.fn(start.arg);
}

int thread_start(pthread_t *out_thread, const char *name, void *(*fn)(void *), void *arg, struct error *err)
{
	struct start *start = xcalloc(1, sizeof(*start));
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all;
	sigset_t old;
	int r;

	start->fn = fn;
	start->arg = arg;
	(void)snprintf(start->name, sizeof(start->name), "%s", name);
	must(pthread_attr_init(&attributes));
	must(pthread_attr_setstacksize(&attributes, STACK_BYTES));
	if (!out_thread)
		must(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attributes, run, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		free(start);
		return error_set_errno(err, ERR_UNAVAILABLE, r, "start thread %s", name);
	}
	if (out_thread)
		*out_thread = thread;
	return 0;
}
