/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_namespace.h - which ids of the host a container's ids are.
 *
 * --userns-remap of the engine: all containers get the ranges that /etc/subuid
 * and /etc/subgid give a user. --userns auto: a container gets a range no other
 * has, of those of user "kist" there, else from 1879048192 on, which nobody
 * else hands out (systemd's UIDS-GIDS). On disk nothing changes: layers and
 * volumes are mounted with a map, so images and volumes are shared by all.
 */
#pragma once

#include "base/error.h"
#include "engine/container_document.h"

struct container;
struct engine;

/* remap: "default" (user dockremap), "user", "user:group" or ids. *out_map stays empty for NULL, "" and "host". */
int user_namespace_remap(struct id_map *out_map, const char *remap, struct error *err);
/* What --userns says, against the other options; in dockerd's words. */
int user_namespace_check(const struct engine *engine, const struct host_config *host, struct error *err);
/* Gives the container its map: it must be in the index, so that no other gets the same. */
int user_namespace_assign(struct container *container, struct error *err);
/* "", "host", "auto" or "auto:size=N": 0, with the size of auto (else 0). */
int userns_mode_parse(int64_t *out_size, const char *mode, struct error *err);
