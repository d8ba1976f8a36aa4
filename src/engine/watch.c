/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/watch.h"

void watch_init(struct watch *watch)
{
	list_init(&watch->watchers);
}

void watch_notify(struct watch *watch)
{
	const uint64_t one = 1;

	LIST_FOR_EACH (node, &watch->watchers)
		if (write(list_entry(node, struct watcher, node)->fd, &one, sizeof(one)) < 0)
			continue; /* EAGAIN: it is awake already */
}

int watcher_open(struct watcher *watcher, struct error *err)
{
	watcher->node.next = NULL;
	watcher->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return watcher->fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "eventfd") : 0;
}

void watcher_close(struct watcher *watcher)
{
	if (watcher->fd >= 0)
		close(watcher->fd);
	watcher->fd = -1;
}

void watch_add(struct watch *watch, struct watcher *watcher)
{
	list_add_last(&watch->watchers, &watcher->node);
}

void watch_remove(struct watcher *watcher)
{
	list_remove(&watcher->node);
}

static int time_left_ms(int64_t deadline_ns)
{
	int64_t left_ms;

	if (deadline_ns == 0)
		return -1;
	left_ms = (deadline_ns - clock_monotonic_ns() + CLOCK_MS - 1) / CLOCK_MS;
	if (left_ms < 0)
		return 0;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

int watcher_wait(struct watcher *watcher, int cancel_fd, int other_fd, int64_t deadline_ns, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = watcher->fd, .events = POLLIN },
			{ .fd = cancel_fd, .events = POLLIN },
			{ .fd = other_fd, .events = POLLIN },
		};
		int ready = poll(fds, 3, time_left_ms(deadline_ns));
		uint64_t drained;

		if (ready < 0 && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "poll");
		if (ready == 0)
			return 0;
		if (ready < 0)
			continue;
		if (fds[1].revents || fds[2].revents)
			return error_set(err, ERR_CANCELED, "the wait was given up");
		if (read(watcher->fd, &drained, sizeof(drained)) > 0)
			return 1;
	}
}
