/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h - lines of text and descriptors over a stream socket, between the
 * engine and kist-transfer.
 *
 * A line has no newline inside (JSON), and descriptors arrive in the order they
 * were sent, at the latest with the line they belong to.
 * Threads: sends may come from several threads; receive in one at a time.
 */
#pragma once

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/thread.h"

#define CHANNEL_LINE_MAX (48 * 1024 * 1024)
#define CHANNEL_FDS_MAX 16

struct channel {
	int fd; /* owned */
	struct mutex send_lock;
	struct buffer in;
	size_t scanned; /* of in: known to hold no newline */
	int fds[CHANNEL_FDS_MAX];
	size_t fd_count;
};

void channel_init(struct channel *channel, int fd);
void channel_fini(struct channel *channel);
/* The line gets its newline here. fds are borrowed. */
int channel_send(struct channel *channel, const char *line, const int *fds, size_t fd_count, struct error *err);
/* 1 with a line (yours), 0 at the end; ERR_CANCELED when cancel_fd (or -1) becomes readable. */
int channel_receive(char **out_line, struct channel *channel, int cancel_fd, struct error *err);
/* The next descriptor that arrived (yours), or -1. */
int channel_take_fd(struct channel *channel);
