/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - epoll with watches embedded in their objects. An object that is
 * watched is given to loop_bury() instead of free(): it may still be named by
 * an event that was fetched already.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "base/list.h"

struct watch {
	int fd;
	bool dead;
	void (*ready)(struct watch *watch, uint32_t events);
};

struct loop {
	int epoll_fd;
	struct list graves; /* struct grave */
	bool ended;
};

int loop_open(struct loop *loop, struct error *err);
void loop_close(struct loop *loop);
/* 0 or -errno. */
int loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events,
	     void (*ready)(struct watch *watch, uint32_t events));
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);
/* Stops watching; the descriptor stays open. Harmless for one that is not watched. */
void loop_remove(struct loop *loop, struct watch *watch);
/* fn(object) once no event can name it any more. */
void loop_bury(struct loop *loop, void *object, void (*fn)(void *object));
/* Serves what is ready, waiting at most timeout_ms (-1: for ever). */
void loop_turn(struct loop *loop, int timeout_ms);
