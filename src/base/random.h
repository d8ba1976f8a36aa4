/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - unguessable names from the kernel. */
#pragma once

#include <stddef.h>

void random_bytes(void *out, size_t size);
/* 2 * bytes lower-case hex digits and a NUL. */
void random_hex(char *out, size_t bytes);
