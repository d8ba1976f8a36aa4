/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

#define EVENTS_MAX 64

struct grave {
	struct list_node node;
	void *object;
	void (*fn)(void *object);
};

int loop_open(struct loop *loop, struct error *err)
{
	*loop = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	list_init(&loop->graves);
	return loop->epoll_fd < 0 ? error_set_errno(err, ERR_INTERNAL, errno, "epoll_create1") : 0;
}

static void empty_graves(struct loop *loop)
{
	LIST_FOR_EACH (node, &loop->graves) {
		struct grave *grave = list_entry(node, struct grave, node);

		list_remove(node);
		grave->fn(grave->object);
		free(grave);
	}
}

void loop_close(struct loop *loop)
{
	empty_graves(loop);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events,
	     void (*ready)(struct watch *watch, uint32_t events))
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	*watch = (struct watch){ .fd = fd, .ready = ready };
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	if (!watch->ready || watch->dead)
		return;
	watch->dead = true;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

void loop_bury(struct loop *loop, void *object, void (*fn)(void *object))
{
	struct grave *grave = xcalloc(1, sizeof(*grave));

	grave->object = object;
	grave->fn = fn;
	list_add_last(&loop->graves, &grave->node);
}

void loop_turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < count; i++) {
		struct watch *watch = events[i].data.ptr;

		if (!watch->dead)
			watch->ready(watch, events[i].events);
	}
	empty_graves(loop);
}
