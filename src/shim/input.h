/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.h - what goes into a process: from a fifo or from attach clients to
 * the pipe or terminal that is its stdin. Holds what the process did not take.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "shim/loop.h"

struct input {
	struct loop *loop;
	struct watch to_watch;
	struct watch fifo_watch;
	int to_fd; /* pipe (ours) or terminal (borrowed); -1: closed */
	bool is_terminal;
	bool connected;	  /* before: what is written waits */
	int fifo_fd;	  /* -1: none */
	int fifo_keep_fd; /* keeps the fifo from ending until the input is closed */
	char *pending;	  /* read from the fifo, not yet taken */
	size_t pending_size;
	size_t pending_at;
	bool closing;
	void (*writable)(void *context); /* after input_write() took less than given */
	void *context;
};

void input_init(struct input *input, struct loop *loop, void (*writable)(void *context), void *context);
void input_fini(struct input *input);
int input_open_fifo(struct input *input, const char *path, struct error *err);
/* The process runs: fd is its stdin. */
void input_connect(struct input *input, int fd, bool is_terminal);
/* Takes up to size bytes; fewer: `writable` is called later. Discards when the process does not read any more. */
size_t input_write(struct input *input, const char *data, size_t size);
/* End of file for the process, behind what was written. A terminal has none: its users send ^D. */
void input_close(struct input *input);
