/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the shim's one poll(2) loop: descriptors and timers.
 *
 * Embed a struct watch or timer in what it serves and find that by
 * list_entry(). Both start zeroed; adding twice changes, removing twice is
 * harmless. A callback may add, remove and free any watch, also its own: what
 * was removed is not called any more in that round.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct pollfd;

struct watch {
	struct list_node node;
	int fd; /* borrowed */
	short events;
	void (*ready)(struct watch *watch, short revents);
};

struct timer {
	struct list_node node;
	int64_t deadline_ns; /* monotonic */
	void (*expired)(struct timer *timer);
};

struct loop {
	struct list watches;
	struct list timers;
	struct pollfd *fds;
	struct watch **polled; /* the watch of fds[i]; NULL once removed */
	size_t capacity;
	size_t count;
	bool stop;
};

void loop_init(struct loop *loop);
void loop_fini(struct loop *loop);
void loop_add(struct loop *loop, struct watch *watch, int fd, short events,
	      void (*ready)(struct watch *watch, short revents));
void loop_remove(struct loop *loop, struct watch *watch);
void loop_add_timer(struct loop *loop, struct timer *timer, int64_t after_ms, void (*expired)(struct timer *timer));
void loop_remove_timer(struct timer *timer);
/* One round: waits for something and calls back. */
void loop_turn(struct loop *loop);
