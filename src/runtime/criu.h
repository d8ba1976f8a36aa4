/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu.h - a talk with CRIU: the program `criu swrk 3`, one request, one end.
 *
 * CRIU is our direct child, so that what it restores (restore_sibling) becomes
 * one too. While it works it sends notifications, each of which waits for our
 * answer. What it says before it listens (a kernel it cannot work on) is kept
 * and told if it ends without an answer.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "rpc/criu_messages.h"
#include "runtime/runtime.h"

/* Of a release: 31701 is 3.17.1. The oldest that has all we ask for: external pid namespaces, status-ready. */
#define CRIU_VERSION_LEAST 31500
/* Descriptors of criu_start_options.fds become this number and those behind it. */
#define CRIU_FIRST_FD 4
#define CRIU_FDS_MAX 8

struct criu {
	pid_t pid;
	int pidfd;
	int socket_fd;
	int output_fd; /* what it writes to stdout and stderr, unless these are the container's; -1 */
};
#define CRIU_NONE ((struct criu){ .pid = -1, .pidfd = -1, .socket_fd = -1, .output_fd = -1 })

struct criu_start_options {
	const struct runtime_stdio *stdio; /* borrowed; NULL: none, its output is kept */
	const int *fds;			   /* borrowed */
	size_t fd_count;
	/* Runs in the new process before CRIU; may be NULL. */
	int (*prepare)(void *context, struct error *err);
	void *context;
};

/* A notification: its fd, or -1, is the callee's to take. A failure ends the whole talk. */
typedef int criu_notify_fn(void *context, const char *script, pid_t pid, int *fd, struct error *err);

int criu_start(struct criu *out_criu, const struct criu_start_options *options, struct error *err);
/* One request and all that belongs to it. notify may be NULL. */
int criu_ask(struct criu *criu, const struct criu_request *request, struct criu_response *out_response,
	     criu_notify_fn *notify, void *context, struct error *err);
/* Ends it; what it has restored or left running stays. */
void criu_fini(struct criu *criu);

/* CRIU is there, works on this kernel, and is not too old: its version, or fails with its own words. */
int criu_check(struct error *err);
/* Fails unless it has the features that are set. */
int criu_check_features(const struct criu_features *wanted, struct error *err);
/* Adds to err the last errors of CRIU's log, and where that is. */
void criu_explain(struct error *err, const char *folder, const char *log_file);
