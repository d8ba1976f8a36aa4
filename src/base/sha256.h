/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256.h - SHA-256 of a short text (FIPS 180-4), for names that are made of it. Content is hashed by oci/hasher.h,
 * which has the processor's instructions; this needs no library.
 */
#pragma once

#include <stddef.h>

#define SHA256_HEX_MAX 65

/* 64 lower-case hex digits and a NUL. */
void sha256_hex(char out_hex[SHA256_HEX_MAX], const void *data, size_t size);
