/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_progress.h - docker's progress objects, as one line of JSON each, sent
 * one at a time from whatever thread. Inside engine/ only.
 */
#pragma once

#include <stdint.h>

#include "base/thread.h"
#include "engine/image.h"

struct progress {
	image_progress send;
	void *arg;
	struct mutex mutex;
};

void progress_init(struct progress *progress, image_progress send, void *arg);
void progress_fini(struct progress *progress);
/* A finished object. */
void progress_line(struct progress *progress, const char *json);
/* {"status":...,"id":...}; id may be NULL. */
void progress_status(struct progress *progress, const char *id, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with "progressDetail" and the bar as text; total 0: none. */
void progress_bytes(struct progress *progress, const char *id, const char *status, uint64_t current, uint64_t total);
