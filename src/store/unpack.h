/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h - runs kist-unpack: a layer stream into a directory.
 *
 * The child gets descriptors only and is locked in (archive/README.md). A layer
 * may need the ones below it: hard links to their files, and the attributes of
 * parent directories it does not mention. When it is unpacked before they are
 * there, such work is put off: unpack_wait() returns it, unpack_finish_below()
 * does it once the lower layers are whole.
 *
 * Threads: keep an unpack to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct unpack;

struct unpack_options {
	int stream_fd;	  /* the layer, compressed or not (borrowed); -1: a pipe is made, see unpack_take_stream_fd() */
	int target_fd;	  /* empty directory (borrowed) */
	bool archive;	  /* no layer: as lowest, and bzip2 and xz are undone too */
	bool lowest;	  /* nothing lies below: whiteouts are dropped, nothing is put off */
	bool marks_apart; /* the tree will be whole (driver.h): layer_writer_finish() wants to know what is hidden */
	uint64_t limit_bytes; /* of the decompressed stream; 0: no limit */
	bool tee;	      /* give the uncompressed stream back: unpack_take_tee_fd() */
	const char *devices;  /* "allow", "skip" or "refuse"; NULL: allow */
};

struct unpack_result {
	uint64_t entries;
	uint64_t bytes; /* of file content */
	bool has_root;	/* the layer says what the root directory is like; else it is as below */
	char *deferred; /* owned: work for unpack_finish_below(), NULL if none */
	size_t deferred_size;
};

int unpack_start(struct unpack **out_unpack, const struct unpack_options *options, struct error *err);
/* The writing end of the pipe, once; yours. Close it after the last byte. */
int unpack_take_stream_fd(struct unpack *unpack);
/* With options.tee: what was unpacked, uncompressed; yours. Read it to its end, or nothing moves. */
int unpack_take_tee_fd(struct unpack *unpack);
/* Until it ends; ERR_CANCELED when cancel_fd (or -1) becomes readable. Its own errors arrive here as they were. */
int unpack_wait(struct unpack_result *out_result, struct unpack *unpack, int cancel_fd, struct error *err);
/* Kills it if it runs. */
void unpack_free(struct unpack *unpack);
DEFINE_AUTO(struct unpack, unpack_free)
void unpack_result_fini(struct unpack_result *result);

/* lower_fds: the layers below, highest first (borrowed). */
int unpack_finish_below(int target_fd, const int *lower_fds, size_t lower_count, const struct unpack_result *result,
			struct error *err);
