/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compose.h - trees that are whole without an overlay: what a layer has, and
 * below it everything of the tree it stands on.
 *
 * What is at the target already stays; of what is only in the source,
 * directories are made again and files become further names of the source's
 * (`link`: two layers, both read-only from then on) or copies of their own (a
 * container's). Files that were one under two names stay one. Owner, mode,
 * times and xattrs are kept, holes too; no link is followed. One thread.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/map.h"

struct compose_settings {
	int to_fd;
	int from_fd;
	bool link;
	const struct map *hidden; /* paths ("a/b") of the source that are left out; NULL: none */
	const struct map *opaque; /* directories ("": the root) of which nothing is taken; NULL: none */
};

int compose_run(const struct compose_settings *settings, struct error *err);
