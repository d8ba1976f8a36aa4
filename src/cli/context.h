/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h - a build context as a tar stream: a directory without what its
 * .dockerignore names, or standard input.
 *
 * The stream is written by a process of its own while the request is sent.
 * If that fails half-way, the stream ends in bytes that are no tar, so that the
 * engine builds nothing from a part; context_finish() tells the reason.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct context {
	pid_t pid;	    /* 0: none */
	int stream_fd;	    /* to be sent */
	int report_fd;	    /* of the process */
	const char *remote; /* URL that the engine fetches itself; NULL: there is a stream */
	char *dockerfile;   /* its path in the stream; owned */
	char *text;	    /* of the Dockerfile, if it was read; owned */
	char *ignored;	    /* context_look(): of the .dockerignore, or NULL; owned */
};

/* source: a directory, "-" or a URL; file: of -f, or NULL. ERR_INVALID in docker's words. */
int context_start(struct context *context, const char *source, const char *file, struct error *err);
/* The same with a script (script.h) in the place of a Dockerfile. */
int context_start_script(struct context *context, const char *source, const char *script, struct error *err);
/* Only reads the Dockerfile and the .dockerignore: there is no stream. */
int context_look(struct context *context, const char *source, const char *file, struct error *err);
/* Waits for the process: its error, if err is clean or says only that the stream was bad. */
int context_finish(struct context *context, struct error *err);
void context_fini(struct context *context);
