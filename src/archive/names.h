/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - what a directory holds, sorted by bytes, so that work over it always runs in one order. */
#pragma once

#include "base/error.h"
#include "base/text.h"

/* Deeper trees than this only mischief makes: each level holds descriptors and stack. */
#define TREE_DEPTH_MAX 256

/* Adds every entry of the directory but "." and ".."; `path` is for the message. */
int names_load(struct text_list *out_names, int dir_fd, const char *path, struct error *err);
