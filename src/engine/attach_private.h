/* SPDX-License-Identifier: Apache-2.0 */
/* attach_private.h - making an attach, for container and exec. */
#pragma once

#include "engine/attach.h"
#include "engine/engine_private.h"

struct exec;

struct attach {
	struct list_node node; /* in container->attaches while it waits for the start */
	struct container *container;
	struct attach_options options;
	bool tty;
	bool ended;    /* container->mutex: nothing will be connected any more */
	bool detached; /* container->mutex */
	int fd;	       /* to the shim; -1: not connected; set once, under container->mutex */
	int wake_fd;   /* eventfd: connected, ended or detached */
	struct log_reader *logs;
	char *message; /* to be given as one frame before the end; owned */
	uint8_t keys[32];
	size_t key_count;
	size_t key_matched;
	uint8_t *buffer; /* one frame's payload */
	size_t buffer_size;
	char *detach_event; /* "detach" or "exec_detach"; owned */
	struct exec *exec;  /* a reference: its end of output waits for its exit code; NULL: init */
};

/* Until its exit code is known, which is moments after its output ended: clients ask for it at once. */
void exec_await_end(struct exec *exec, int cancel_fd);
void exec_release(struct exec *exec);

int attach_new(struct attach **out_attach, struct container *container, const struct attach_options *options, bool tty,
	       struct error *err);
/* Connects to the shim: of the container's init (exec_id NULL), or of an exec. */
int attach_open_line(struct attach *attach, const char *exec_id, struct error *err);
