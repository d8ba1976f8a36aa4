/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.h - one process' attach socket and its clients (rpc/attach_frame.h).
 *
 * Every client gets all output from when it connected. One with more than
 * 1 MiB unread makes attach_is_full() true: the process' output is not read
 * until it catches up or goes. Their input goes to the owner's callbacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "rpc/attach_frame.h"
#include "shim/loop.h"

struct attach;

struct attach_owner {
	void *context;
	/* Takes up to size bytes of stdin, returns how many; fewer: attach_resume_input() later. */
	size_t (*input)(void *context, const char *data, size_t size);
	void (*input_end)(void *context); /* a client closed stdin */
	void (*drained)(void *context);	  /* attach_is_full() became false */
};

/* Listens on <bundle>/<name>; the bundle's descriptor is borrowed. */
int attach_open(struct attach **out_attach, struct loop *loop, int bundle_fd, const char *name,
		const struct attach_owner *owner, struct error *err);
/* Removes the socket. Clients that have not read everything still can, without an owner, from the loop. */
void attach_close(struct attach *attach);
/* How many closed ones have such clients. */
size_t attach_lingering(void);

/* Takes in all clients that wait to be accepted: after this they get every byte. */
void attach_accept(struct attach *attach);
void attach_send(struct attach *attach, enum attach_type type, const char *data, size_t size);
/* No more output: present clients get ATTACH_END when they read all, later ones at once. */
void attach_end(struct attach *attach);
bool attach_is_full(const struct attach *attach);
void attach_resume_input(struct attach *attach);

/* A listening socket <bundle>/<name> of mode 0600, replacing an old one; for the shim's other sockets too. */
int attach_listen(int bundle_fd, const char *name, struct error *err);
