/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasher.h - bytes to digests, as they stream by.
 *
 * The only part of oci/ that needs libcrypto (SHA-NI): a library of its own,
 * oci_hash_dep, so that the small programs do not link it.
 * Threads: one hasher, one thread.
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "oci/digest.h"

struct hasher;

struct hasher *hasher_new(enum digest_algorithm algorithm);
void hasher_add(struct hasher *hasher, const void *data, size_t size);
/* The digest of everything added so far; more may be added afterwards. */
void hasher_digest(const struct hasher *hasher, struct digest *out_digest);
/* An independent hasher that has seen the same bytes. */
struct hasher *hasher_copy(const struct hasher *hasher);
void hasher_free(struct hasher *hasher);
DEFINE_AUTO(struct hasher, hasher_free)

/* The digest of some bytes at once. */
void digest_of(struct digest *out_digest, enum digest_algorithm algorithm, const void *data, size_t size);
/* The digest of the rest of a file, from where it stands; 0 or -errno. */
int digest_of_fd(struct digest *out_digest, enum digest_algorithm algorithm, int fd);

#define HMAC_BYTES 32
/* RFC 2104, with SHA-256. */
void hmac_sha256(uint8_t out[HMAC_BYTES], const void *key, size_t key_size, const void *data, size_t size);

/*
 * image-spec config.md, ChainID: names a stack of layers. `chain` is {0} for
 * no layers yet; becomes the name of the stack with this diff id on top.
 */
void chain_id_add(struct digest *chain, const struct digest *diff_id);
