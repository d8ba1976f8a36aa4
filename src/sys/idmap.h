/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap.h - which ids inside a user namespace are which outside.
 *
 * Written from outside, by a process privileged over the target. An
 * unprivileged one goes through newuidmap and newgidmap, which check
 * /etc/subuid and /etc/subgid.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct idmap_range {
	uint32_t container_id;
	uint32_t host_id;
	uint32_t size;
};

struct idmap {
	const struct idmap_range *uids; /* borrowed */
	size_t uid_count;
	const struct idmap_range *gids; /* borrowed */
	size_t gid_count;
};

/* Writes setgroups (deny for a single unprivileged line), uid_map and gid_map of a process. */
int idmap_write(pid_t pid, const struct idmap *map, struct error *err);
/* A throw-away user namespace with this map, for MOUNT_ATTR_IDMAP: its descriptor. Forks; single-threaded callers. */
int idmap_namespace(const struct idmap *map, struct error *err);
/* Whether this process sees every id as it is: it is in the first user namespace. */
bool idmap_is_whole(void);
/* Host id of a container id, or -1. */
int64_t idmap_to_host(const struct idmap_range *ranges, size_t count, uint32_t container_id);
