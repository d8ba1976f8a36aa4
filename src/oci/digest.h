/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest.h - the name of bytes: "sha256:<64 hex>" or "sha512:<128 hex>".
 *
 * A plain value, compared with digest_equal(); {0} is no digest. Only text
 * here, no hashing: programs that hash use hasher.h (and link libcrypto).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DIGEST_BYTES_MAX 64
/* "sha512:" and 128 digits and NUL. */
#define DIGEST_TEXT_MAX 136

enum digest_algorithm { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA512 };

struct digest {
	enum digest_algorithm algorithm;
	uint8_t bytes[DIGEST_BYTES_MAX]; /* the unused rest is zero */
};

/* ERR_INVALID in the words docker's clients know: "invalid checksum digest format", "... length", "unsupported
 * digest algorithm". Hex digits must be lower case. */
int digest_parse(struct digest *out_digest, const char *text, struct error *err);
/* The same, for where only yes or no matters. */
bool digest_is_valid(const char *text);
/* Returns out; "" for no digest. */
const char *digest_text(const struct digest *digest, char out[DIGEST_TEXT_MAX]);
/* Only the hex digits. Returns out. */
const char *digest_hex(const struct digest *digest, char out[DIGEST_TEXT_MAX]);
bool digest_equal(const struct digest *a, const struct digest *b);
bool digest_is_set(const struct digest *digest);

/* "sha256", "sha512", or NULL. */
const char *digest_algorithm_name(enum digest_algorithm algorithm);
/* DIGEST_NONE if it is unknown. */
enum digest_algorithm digest_algorithm_parse(const char *name);
/* 32, 64 or 0. */
size_t digest_algorithm_size(enum digest_algorithm algorithm);
