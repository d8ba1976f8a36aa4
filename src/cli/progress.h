/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - the engine's stream of JSON messages (pull, import, load,
 * push) on a terminal as moving bars, elsewhere as lines.
 */
#pragma once

#include <stdio.h>

#include "http/local.h"

/* Prints until the end. An error in the stream becomes err. quiet: only errors. */
int progress_show(struct local_response *response, FILE *out, bool quiet, struct error *err);
/* The same for a build: what it came to. */
struct progress_stream;
struct progress_result {
	char *id;	/* "sha256:...", yours; NULL: none was told */
	long long code; /* of the step that failed; 0: none */
	/* Takes the output of that number, to its end (progress_read()); NULL: none is expected. */
	int (*output)(void *arg, size_t number, struct progress_stream *stream, struct error *err);
	void *arg;
};
/* Bytes of an output; 0: it is whole. Fails if it broke off: the reason comes behind it. */
ssize_t progress_read(void *stream, void *data, size_t size, struct error *err);
int progress_show_build(struct local_response *response, FILE *out, struct progress_result *result, struct error *err);
/* "[====>    ]  1.2MB/3.4MB" as docker draws it; "" for nothing known. */
char *progress_bar(long long current, long long total, unsigned columns);
