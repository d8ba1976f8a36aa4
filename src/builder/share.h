/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.h - operations that several builds need at the same time are run once;
 * inside builder/ only.
 *
 * Who asks first for a key runs it, the others follow: they are told what it
 * prints, from its beginning, and how it ended. A good result is in the store's
 * build cache then; the exit code of a RUN counts for all; whatever else went
 * wrong (its build was canceled, its client has no such secret) is no reason
 * for the others, and they try for themselves. One table for the process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "oci/digest.h"

struct store;
struct shared_run;

struct shared_end {
	bool solved;
	int64_t exit_code; /* not solved; 0: something else */
	bool out_of_memory;
};

/* What runs under this key; *out_first: nothing did, and the caller does it now, with share_end(). share_leave() it. */
struct shared_run *share_join(bool *out_first, struct store *store, const struct digest *key);
void share_leave(struct shared_run *run);
DEFINE_AUTO(struct shared_run, share_leave)

/* ---- the first ---- */

/* stream 0: a message of the builder. */
void share_tell(struct shared_run *run, int stream, const void *data, size_t size);
void share_end(struct shared_run *run, const struct shared_end *end);

/* ---- the others ---- */

typedef void (*share_told)(void *arg, int stream, const void *data, size_t size);
/* Until it ends; ERR_CANCELED when cancel_fd is readable. */
int share_follow(struct shared_end *out_end, struct shared_run *run, share_told told, void *arg, int cancel_fd,
		 struct error *err);
