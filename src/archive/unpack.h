/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h - one layer, from a stream into a directory, in overlay's form.
 *
 * The stream is not trusted: see tree.h for paths. Whiteouts (.wh.X) become 0/0
 * devices, opaque marks (.wh..wh..opq) trusted.overlay.opaque; overlay's own
 * xattrs in a tar are dropped. A layer may be unpacked before the ones below it
 * exist: what needs them (attributes of parent directories it does not mention,
 * hard links to files that are not in it) comes out as `deferred` work for
 * unpack_finish(). Bad input is ERR_INVALID, over the limit ERR_EXHAUSTED.
 * May change the current directory. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum unpack_devices { UNPACK_DEVICES_ALLOW, UNPACK_DEVICES_SKIP, UNPACK_DEVICES_REFUSE };

/* As an argument and back: "allow", "skip", "refuse"; -EINVAL. */
int unpack_devices_parse(enum unpack_devices *out_devices, const char *text);

struct owner;

struct unpack_settings {
	uint64_t limit_bytes;	/* of the uncompressed stream; 0: no limit */
	uint64_t limit_entries; /* 0: no limit */
	enum unpack_devices devices;
	int tee_fd;		   /* gets the uncompressed stream too; 0: none */
	bool any_compression;	   /* an archive of ADD: bzip2 and xz too */
	bool lowest;		   /* no layer lies below: no whiteouts, nothing is put off */
	bool marks_apart;	   /* no marks in the tree: they are deferred records, for compose.h */
	bool plain;		   /* an archive of files, not a layer: .wh. is a name as any other */
	bool keep_kinds;	   /* a directory and anything else do not replace each other: ERR_INVALID */
	const struct owner *owner; /* of everything; NULL: as the stream says */
};

struct unpack_counts {
	uint64_t entries;
	uint64_t bytes; /* of file content */
	bool has_root;	/* the layer says what the root directory is like */
};

/* Records of marks_apart: this path of what lies below is hidden; everything below in this directory ("": the root) is. */
#define UNPACK_HIDDEN 'W'
#define UNPACK_OPAQUE 'O'

/* Reads stream_fd to its end. *deferred (start {0}) gets "D<path>\0", "L<path>\0<target>\0", "W..", "O.." records. */
int unpack_stream(struct unpack_counts *out_counts, struct text *deferred, int stream_fd, int root_fd,
		  const struct unpack_settings *settings, struct error *err);

/* Does the work that was put off; lower_fds: the layers below, highest first. */
int unpack_finish(int root_fd, const int *lower_fds, size_t lower_count, const char *deferred, size_t size,
		  struct error *err);
