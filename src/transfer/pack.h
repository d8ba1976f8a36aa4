/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h - a plain tar becomes gzip (or zstd) in a file, by a thread of its own, while
 * others read what is there already: an upload need not wait for the end, nor for
 * the digest, which is known only then.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "oci/digest.h"

struct pack;

/* Both descriptors are borrowed until pack_free(); target is empty. */
int pack_start(struct pack **out_pack, int source_fd, int target_fd, const atomic_bool *stop, struct error *err);
/* The same; zstd_level 0: gzip. */
int pack_start_as(struct pack **out_pack, int source_fd, int target_fd, int zstd_level, const atomic_bool *stop,
		  struct error *err);
/* Bytes at an offset: waits until some are there; 0 at the end of what will ever be. Thread-safe. */
ssize_t pack_read(struct pack *pack, uint64_t offset, void *data, size_t size, struct error *err);
/* Waits for the end: digest and size of all. */
int pack_wait(struct pack *pack, struct digest *out_digest, uint64_t *out_size, struct error *err);
void pack_free(struct pack *pack);
DEFINE_AUTO(struct pack, pack_free)
