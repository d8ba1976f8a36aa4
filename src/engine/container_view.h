/* SPDX-License-Identifier: Apache-2.0 */
/* container_view.h - what inspect and list share. */
#pragma once

#include "engine/engine_private.h"

extern const struct json_field mount_point_fields[];

void container_view_mount(struct mount_point *to, const struct container_mount *from);
/* Walks the writable layer: not under a lock. */
void container_view_size(struct optional_i64 *out_rw, struct optional_i64 *out_root, struct container *container);
/* "Up 5 minutes", "Exited (137) 3 hours ago": yours. now_ns: wall time. */
char *container_status_text(const struct container_state *state, int64_t now_ns);
/* Go units' HumanDuration: "Less than a second", "About an hour", "3 weeks". Yours. */
char *human_duration(int64_t duration_ns);
