/* SPDX-License-Identifier: Apache-2.0 */
/* rlimit.h - names of resource limits. */
#pragma once

#include <stddef.h>

/* "RLIMIT_NOFILE", "nofile", any case: its number, or -EINVAL. */
int rlimit_parse(const char *name);
/* "RLIMIT_NOFILE", or NULL behind the last. */
const char *rlimit_name(size_t number);
