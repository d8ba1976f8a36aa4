/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.h - what a Dockerfile offers: its stages ("targets") and what a
 * target takes ("outline"), as BuildKit's subrequests answer: a JSON document
 * and a table for people. "# NAME words" above a FROM or ARG describes it.
 */
#pragma once

#include "base/text.h"
#include "builder/dockerfile.h"

struct description {
	struct text json;
	struct text table;
};

void description_fini(struct description *description);

void describe_targets(struct description *out, const struct dockerfile *dockerfile, const char *source);
/* target: "" or NULL for the last. ERR_INVALID. */
int describe_outline(struct description *out, const struct dockerfile *dockerfile, const char *source,
		     const struct text_map *build_args, const char *platform, const char *target, struct error *err);
