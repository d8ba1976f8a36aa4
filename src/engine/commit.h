/* SPDX-License-Identifier: Apache-2.0 */
/* commit.h - a container as an image (POST /commit), and what it changed (GET /containers/{id}/changes). */
#pragma once

#include <stdbool.h>

#include "base/text.h"
#include "engine/container_config.h"
#include "oci/digest.h"

struct engine;

struct commit_options {
	const char *container;
	const char *repo; /* "" or NULL: no name */
	const char *tag;
	const char *author;
	const char *comment;
	bool pause;			       /* while its files are read */
	const struct text_list *changes;       /* Dockerfile instructions; NULL: none */
	const struct container_config *config; /* what replaces members of the container's own; NULL: nothing */
	int cancel_fd;
};

/* ERR_NOT_FOUND, ERR_CONFLICT for a container that is being removed, ERR_INVALID for a bad name or change. */
int container_commit(struct digest *out_id, struct engine *engine, const struct commit_options *options,
		     struct error *err);

enum change_kind { CHANGE_MODIFIED = 0, CHANGE_ADDED = 1, CHANGE_DELETED = 2 };

struct path_change {
	int64_t kind;
	char *path; /* absolute */
};
extern const struct json_field path_change_fields[];
struct path_changes {
	struct path_change *items;
	size_t count;
};

/* Sorted by path; free with json_free_array(). */
int container_changes(struct path_changes *out_changes, struct engine *engine, const char *name, int cancel_fd,
		      struct error *err);

/* Where a container has mounts, its own and the default ones. */
int container_mount_points(struct text_list *out_paths, struct engine *engine, const char *name, struct error *err);
