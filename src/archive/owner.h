/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.h - what --chown and --chmod mean: "user[:group]" by the names of the
 * target's own /etc/passwd and /etc/group, octal or symbolic modes.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct owner {
	uid_t uid;
	gid_t gid;
};

/* A number without a group is both; a name without a group brings its own from passwd. */
int owner_parse(struct owner *out_owner, int root_fd, const char *text, struct error *err);

/* ERR_INVALID in the words of the Dockerfile reference. */
int mode_check(const char *text, struct error *err);
/* A checked text applied to a mode: "0755", "u=rwX,go=rX". */
mode_t mode_apply(const char *text, mode_t mode, bool is_directory);
