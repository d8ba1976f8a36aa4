/* SPDX-License-Identifier: Apache-2.0 */
/* clamp.h - the times of a tree of files: later ones become one that is given. No link is followed. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* The directory and all below it. */
int clamp_times(int dir_fd, int64_t latest_s, struct error *err);
