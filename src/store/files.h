/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - runs kist-files: COPY into a snapshot, the content of sources as a
 * stream to hash, what changed in a snapshot as a layer or a list.
 *
 * A request is a list of "key=value" texts (archive/files_main.c); the
 * functions here add what they know of layers and snapshots. Paths in it are
 * looked up by the child inside roots it is locked in.
 * Threads: keep a files object to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "store/store.h"

struct files;

struct files_result {
	uint64_t entries;
	uint64_t bytes; /* of file content */
	bool changed;	/* mkdir: it is new; diff: there is something in the layer */
};

/* Adds the layers of a snapshot and its upper directory: what copy, mkdir, diff and changes work on. */
int files_add_snapshot(struct text_list *request, struct store *store, const char *key, struct error *err);
/* Adds all layers of a chain as the source. */
int files_add_source(struct text_list *request, struct store *store, const struct digest *chain_id, struct error *err);

/* A request as a file in memory, for whoever starts a program of this kind by himself; or fails. */
int files_request(const struct text_list *request, struct error *err);

/* verb: see archive/files_main.c. source_fd: a directory (borrowed), or -1. */
int files_start(struct files **out_files, const char *verb, const struct text_list *request, int source_fd,
		struct error *err);
/* What the child writes (borrowed): read it to its end, or nothing moves. */
int files_output_fd(const struct files *files);
/* Until it ends; ERR_CANCELED when cancel_fd (or -1) becomes readable. Its own errors arrive here as they were. */
int files_wait(struct files_result *out_result, struct files *files, int cancel_fd, struct error *err);
/* Kills it if it runs. */
void files_free(struct files *files);
DEFINE_AUTO(struct files, files_free)

/* Start to end of a verb without output. */
int files_run(struct files_result *out_result, const char *verb, const struct text_list *request, int source_fd,
	      int cancel_fd, struct error *err);
