/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_compare.h - are two unpacked trees the same? Names, kinds, owners,
 * modes, times, link targets, attributes, contents. No link is followed and no
 * stack grows with the depth. Inside store/ only.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* 1 if they are; 0 with *out_difference (yours): "etc/passwd: its content differs". root: of the top folder itself too. */
int tree_compare(char **out_difference, int a_fd, int b_fd, bool root, struct error *err);
