/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_mount.h - what RUN --mount needs on the host while the step runs; inside
 * builder/ only.
 *
 * bind: a copy of the sources in a snapshot of its own, so that nothing written
 * there reaches the context or another step. cache: a folder that stays,
 * <data root>/build-mounts/<id>/, with a lock beside it. secret: a file in the
 * step's folder on tmpfs. ssh: a socket there, behind which the client answers.
 */
#pragma once

#include "builder/build_private.h"

/* A socket that a step uses, and who answers there. */
struct agent {
	const struct build_client *client;
	void *server;
	int listen_fd;
};

struct mounts {
	struct store *store;
	struct text_list snapshots; /* removed at the end */
	struct text_list secrets;   /* NAME=VALUE, for the environment */
	struct agent *agents;	    /* ssh; owned */
	size_t agent_count;
	size_t agent_capacity;
	struct text_list caches; /* ID=FOLDER, locked */
	int *locks;		 /* of caches; owned */
	size_t lock_count;
	size_t lock_capacity;
};

int mounts_prepare(struct mounts *mounts, struct build *build, const struct exec_data *exec, const char *folder,
		   struct container_create_request *request, struct error *err);
void mounts_fini(struct mounts *mounts);

/* Removes the folders of caches that nobody uses now. */
void mounts_prune_caches(struct engine *engine);
