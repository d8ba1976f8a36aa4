/* SPDX-License-Identifier: Apache-2.0 */
/* link_tree.h - a second tree of the same files: directories are made, all else is a hard link. Of our own layers only. */
#pragma once

#include "base/error.h"

/* Both are open directories on one file system; `to` is empty. It may stop half-way: errnum is EMLINK or EXDEV then. */
int link_tree(int from_fd, int to_fd, struct error *err);
