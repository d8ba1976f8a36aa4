/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - RFC 4648, standard alphabet out; standard or URL alphabet in, padding optional. */
#pragma once

#include <stddef.h>

/* Yours. */
char *base64_encode(const void *data, size_t size);
/* With - and _ instead of + and /, padded as Go's URLEncoding. */
char *base64_encode_url(const void *data, size_t size);
/* *out_data is yours and NUL-terminated; 0 or -EINVAL. Line ends are skipped. */
int base64_decode(char **out_data, size_t *out_size, const char *text);
