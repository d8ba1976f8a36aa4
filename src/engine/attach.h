/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.h - a client's line to the stdio of a container or an exec.
 *
 * One thread may read frames while another writes stdin. An attach to a
 * container that does not run yet waits for its start and then misses nothing:
 * that is how `docker run` works. Detach keys are found here, in what the
 * client types.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct engine;
struct attach;

enum stream_kind { STREAM_STDIN = 0, STREAM_STDOUT = 1, STREAM_STDERR = 2, STREAM_SYSTEM_ERROR = 3 };

struct stream_frame {
	enum stream_kind stream;
	const uint8_t *data; /* borrowed until the next read */
	size_t size;
};

struct attach_options {
	bool stdin_wanted;
	bool stdout_wanted;
	bool stderr_wanted;
	bool stream;		 /* live output and input; without it only logs */
	bool logs;		 /* first everything logged so far */
	const char *detach_keys; /* "ctrl-p,ctrl-q" form; NULL or "": that default */
};

/* ERR_NOT_FOUND; ERR_CONFLICT for a paused or restarting container; ERR_INVALID for bad detach keys. */
int container_attach(struct attach **out_attach, struct engine *engine, const char *name,
		     const struct attach_options *options, struct error *err);

/* true: raw bytes, no frames on the wire. */
bool attach_tty(const struct attach *attach);
/* true: client input goes somewhere. */
bool attach_wants_stdin(const struct attach *attach);

/* 1 and a frame; 0 at the end of output or after detach; or fails (ERR_CANCELED). */
int attach_read(struct attach *attach, struct stream_frame *out_frame, int cancel_fd, struct error *err);
/* 1 written (or nobody reads it any more); 0 the detach keys came: stop; or fails. */
int attach_write_stdin(struct attach *attach, const void *data, size_t size, int cancel_fd, struct error *err);
/* The client sent end of file. */
int attach_close_stdin(struct attach *attach, int cancel_fd, struct error *err);
/* Also makes a reader in another thread return 0. */
void attach_detach(struct attach *attach);
/* No thread may use it any more. */
void attach_free(struct attach *attach);
DEFINE_AUTO(struct attach, attach_free)

/* "ctrl-p,ctrl-q" or "a,b" to bytes; ERR_INVALID names the bad key. out_keys holds at least 32. */
int detach_keys_parse(uint8_t out_keys[32], size_t *out_count, const char *text, struct error *err);
