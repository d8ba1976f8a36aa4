/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.h - layers laid over each other: one tar of what is there at the end,
 * without whiteouts. Entries go over as the bytes they are, extended headers
 * and all. Nothing is unpacked: names are compared, never opened.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Plain tars, the lowest first (borrowed), onto the end of out_fd. */
int merge_layers(int out_fd, const int *layer_fds, size_t count, struct error *err);
