/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - a condition variable that can be polled: each waiter brings an
 * eventfd, so one wait also sees the request's cancel fd and a deadline.
 *
 * The owner's mutex guards the watch. A waiter adds itself, tests the
 * condition under the mutex, and polls watcher.fd without it.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/list.h"

struct watch {
	struct list watchers;
};

struct watcher {
	struct list_node node;
	int fd; /* readable after a change */
};

void watch_init(struct watch *watch);
/* Under the mutex. */
void watch_notify(struct watch *watch);
int watcher_open(struct watcher *watcher, struct error *err);
void watcher_close(struct watcher *watcher);
/* Under the mutex. */
void watch_add(struct watch *watch, struct watcher *watcher);
void watch_remove(struct watcher *watcher);

/*
 * Waits for watcher.fd. 1 a change (drained), 0 the deadline (monotonic ns; 0: none) passed, -1 with
 * ERR_CANCELED when cancel_fd or other_fd (-1: none) is readable.
 */
int watcher_wait(struct watcher *watcher, int cancel_fd, int other_fd, int64_t deadline_ns, struct error *err);
