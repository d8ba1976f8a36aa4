/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/loop.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"

#define FIRST_CAPACITY 32

static void grow(struct loop *loop, size_t capacity)
{
	loop->fds = xrealloc(loop->fds, capacity * sizeof(*loop->fds));
	loop->polled = xrealloc(loop->polled, capacity * sizeof(struct watch *));
	loop->capacity = capacity;
}

void loop_init(struct loop *loop)
{
	*loop = (struct loop){ 0 };
	list_init(&loop->watches);
	list_init(&loop->timers);
	grow(loop, FIRST_CAPACITY);
}

void loop_fini(struct loop *loop)
{
	free(loop->fds);
	free((void *)loop->polled);
	*loop = (struct loop){ 0 };
}

void loop_add(struct loop *loop, struct watch *watch, int fd, short events,
	      void (*ready)(struct watch *watch, short revents))
{
	watch->fd = fd;
	watch->events = events;
	watch->ready = ready;
	if (!watch->node.next)
		list_add_last(&loop->watches, &watch->node);
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	if (!watch->node.next)
		return;
	list_remove(&watch->node);
	for (size_t i = 0; i < loop->count; i++)
		if (loop->polled[i] == watch)
			loop->polled[i] = NULL;
}

void loop_add_timer(struct loop *loop, struct timer *timer, int64_t after_ms, void (*expired)(struct timer *timer))
{
	timer->deadline_ns = clock_monotonic_ns() + after_ms * CLOCK_MS;
	timer->expired = expired;
	if (!timer->node.next)
		list_add_last(&loop->timers, &timer->node);
}

void loop_remove_timer(struct timer *timer)
{
	list_remove(&timer->node);
}

static int next_timeout_ms(const struct loop *loop)
{
	int64_t soonest = INT64_MAX;
	int64_t left_ms;

	LIST_FOR_EACH (node, &loop->timers) {
		const struct timer *timer = list_entry(node, struct timer, node);

		if (timer->deadline_ns < soonest)
			soonest = timer->deadline_ns;
	}
	if (soonest == INT64_MAX)
		return -1;
	left_ms = (soonest - clock_monotonic_ns() + CLOCK_MS - 1) / CLOCK_MS;
	if (left_ms < 0)
		return 0;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* One at a time: a callback may remove any other timer. */
static struct timer *expired_timer(const struct loop *loop, int64_t now_ns)
{
	LIST_FOR_EACH (node, &loop->timers) {
		struct timer *timer = list_entry(node, struct timer, node);

		if (timer->deadline_ns <= now_ns)
			return timer;
	}
	return NULL;
}

static void run_timers(struct loop *loop)
{
	int64_t now_ns = clock_monotonic_ns();
	struct timer *timer;

	while ((timer = expired_timer(loop, now_ns))) {
		list_remove(&timer->node);
		timer->expired(timer);
	}
}

static void collect(struct loop *loop)
{
	loop->count = 0;
	LIST_FOR_EACH (node, &loop->watches) {
		struct watch *watch = list_entry(node, struct watch, node);

		if (loop->count == loop->capacity)
			grow(loop, loop->capacity * 2);
		loop->fds[loop->count] = (struct pollfd){ .fd = watch->fd, .events = watch->events };
		loop->polled[loop->count++] = watch;
	}
}

void loop_turn(struct loop *loop)
{
	int ready;

	collect(loop);
	ready = poll(loop->fds, loop->count, next_timeout_ms(loop));
	for (size_t i = 0; ready > 0 && i < loop->count; i++) {
		struct watch *watch = loop->polled[i];

		if (watch && loop->fds[i].revents)
			watch->ready(watch, loop->fds[i].revents);
	}
	loop->count = 0;
	run_timers(loop);
}
