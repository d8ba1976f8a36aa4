/* SPDX-License-Identifier: Apache-2.0 */
/* init_copy.h - tmpcopyup: what the image has at a mount point, copied into the tmpfs that will hide it. */
#pragma once

#include "base/error.h"

/* Files, directories, symlinks with owner and mode; never follows a link. from_fd may be O_PATH. */
int init_copy_tree(int from_fd, int to_fd, struct error *err);
