/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_points.h - what the runtime had to make to mount on: empty files and folders
 * (/etc/hosts, /proc, ...) that are in a container's upper directory, but were
 * no change of the container's.
 *
 * Nothing can be written to a place under a mount, so an empty one in the upper
 * directory at a mount's path was made to mount on; so was a directory that
 * holds nothing else and is not different from what lies below.
 */
#pragma once

#include "base/error.h"
#include "base/map.h"
#include "base/text.h"

struct mount_point_search {
	int upper_fd;
	const int *lower_fds; /* highest first */
	size_t lower_count;
	struct text_list mounts; /* absolute paths of the container's mounts */
};

/* Adds the paths (without leading slash) of what is to be left out; values are not NULL. */
int mount_points_find(struct map *out_paths, const struct mount_point_search *search, struct error *err);
/* Removes them from the upper directory. */
int mount_points_remove(const struct map *paths, const struct mount_point_search *search, struct error *err);
