/* SPDX-License-Identifier: Apache-2.0 */
/* excerpt.h - the lines of a file around a place, those of the place marked; inside builder/ only. */
#pragma once

#include "base/text.h"

/*
 * "name:12", then the lines first..last (from 1) and two or more on either side
 * between rules, as BuildKit shows them. Nothing if the file has no such line.
 */
void excerpt_add(struct text *out, const char *name, const char *source, unsigned first, unsigned last);
