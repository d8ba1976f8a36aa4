/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - the engine's stream of JSON messages (pull, import, load,
 * push) on a terminal as moving bars, elsewhere as lines; and how much of
 * what has no such stream went by (save, cp, a build's context, prune).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "http/local.h"

/* Prints until the end. An error in the stream becomes err. quiet: only errors. */
int progress_show(struct local_response *response, FILE *out, bool quiet, struct error *err);
/* The same for a build: what it came to. */
struct progress_stream;
struct progress_result {
	char *id;	 /* "sha256:...", yours; NULL: none was told */
	char *written;	 /* JSON of what was pushed or written, yours; NULL: none was told */
	long long code;	 /* of the step that failed; 0: none */
	char *container; /* that it left, yours; NULL: none */
	/* Takes the output of that number, to its end (progress_read()); NULL: none is expected. */
	int (*output)(void *arg, size_t number, struct progress_stream *stream, struct error *err);
	void *arg;
};
/* Bytes of an output; 0: it is whole. Fails if it broke off: the reason comes behind it. */
ssize_t progress_read(void *stream, void *data, size_t size, struct error *err);
int progress_show_build(struct local_response *response, FILE *out, struct progress_result *result, struct error *err);
/* "[====>    ]  1.2MB/3.4MB" as docker draws it; "" for nothing known. */
char *progress_bar(long long current, long long total, unsigned columns);

/* One line on stderr, "Copying to container - 1.2MB", that goes when it ends. Only on a terminal. */
struct progress_meter {
	const char *label; /* borrowed */
	bool is_shown;
	uint64_t bytes;
	int64_t drawn_ns; /* 0: never */
};
void progress_meter_begin(struct progress_meter *meter, const char *label, bool wanted);
/* The meter as void *, so that it can be told of what is sent (local_request). */
void progress_meter_add(void *meter, uint64_t bytes);
void progress_meter_end(struct progress_meter *meter);
