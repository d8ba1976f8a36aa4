/* SPDX-License-Identifier: Apache-2.0 */
/* repack.h - a layer's bytes from one packing to another, with the digest and size of what comes out. */
#pragma once

#include <stdint.h>

#include "oci/digest.h"

struct repacked {
	int fd; /* owned: a file without a name, at its start */
	struct digest digest;
	uint64_t size;
};

/* gzip or zstd undone; plain bytes come out as they are. */
int repack_plain(struct repacked *out_repacked, int from_fd, struct error *err);
/* Plain bytes as gzip, as every push of ours makes it. *out_plain: the digest of what went in. */
int repack_gzip(struct repacked *out_repacked, struct digest *out_plain, int from_fd, struct error *err);
