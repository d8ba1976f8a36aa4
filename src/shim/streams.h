/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams.h - the three streams of one process: between its pipes or terminal
 * and the log, fifos, files and attach clients.
 *
 * A destination that is slow (a full fifo, an attach client 1 MiB behind) stops
 * the reading from the process; nothing is dropped. A full disk drops log
 * lines and says so in the shim's log. A log program that died is started again.
 * Streams are over when the process is
 * and all its writers are gone, or 2 s later if somebody keeps them open.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/log.h"
#include "shim/loop.h"

struct streams;

struct streams_options {
	struct loop *loop;
	const struct log *log;
	int bundle_fd;		 /* borrowed: where the attach socket goes */
	const char *attach_name; /* "attach", "attach-<exec id>" */
	const char *bundle;	 /* where a log program runs, and finds log.json */
	const char *id;		 /* of the container, for it */
	const char *name_space;
	bool terminal;
	const char *stdin_uri;
	const char *stdout_uri;
	const char *stderr_uri;
	uid_t uid; /* owner of the pipes */
	gid_t gid;
	void (*over)(void *context); /* all output is where it belongs */
	void *context;
};

int streams_open(struct streams **out_stdio, const struct streams_options *options, struct error *err);
void streams_free(struct streams *stdio);

/* What the process gets as 0, 1, 2: borrowed, -1 is /dev/null; all -1 with a terminal. */
void streams_child_fds(const struct streams *stdio, int out_fds[3]);
/* Once it runs: our copies of its ends are closed; tty_fd (or -1) is the terminal's master. */
void streams_started_take_tty(struct streams *stdio, int tty_fd);
/* Attach clients that connected before this get every byte. */
void streams_accept(struct streams *stdio);
int streams_resize(struct streams *stdio, unsigned width, unsigned height, struct error *err);
void streams_close_input(struct streams *stdio);
/* The process has ended: calls `over` now or later. */
void streams_process_over(struct streams *stdio);
/* Whether an exit should be told only after the output: the log and attach case, where readers ask us. */
bool streams_exit_waits(const struct streams *stdio);
bool streams_is_over(const struct streams *stdio);
