/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inline_cache.h - what an image says of the steps that made it, so that a
 * builder elsewhere need not run them again; inside builder/ only.
 *
 * In the config as "moby.buildkit.cache.v0": base64 of {"records":[...]}, a
 * record being a key of ours (solve.c), when it was made and up to which layer of
 * the image it reaches. Records of other builders have other keys. What is
 * imported counts in this build only: a stranger's image cannot answer for
 * builds that did not name it.
 */
#pragma once

#include "base/error.h"
#include "store/build_cache.h"

struct build;
struct node;

struct remote_cache;

struct imported_step {
	struct digest key;
	struct build_result result;
	struct remote_cache *cache; /* that has its layers (borrowed); NULL: they are here */
	int64_t layer;		    /* of that */
};

struct imported_steps {
	struct imported_step *items;
	size_t count;
	size_t capacity;
	struct remote_cache **caches; /* owned */
	size_t cache_count;
};

/* The step's texts are taken. */
void imported_steps_add(struct imported_steps *steps, const struct imported_step *step);
void imported_steps_keep(struct imported_steps *steps, struct remote_cache *cache);

/* Of the target, for its config; yours. */
char *inline_cache_encode(const struct build *build);
/* All of options->cache_from, remote caches too. One that cannot be had is told of, and is no error. */
int inline_cache_import(struct build *build, struct error *err);
void imported_steps_fini(struct imported_steps *steps);
/*
 * 1 with the result, leased and here; 0: nobody has it. Threads: any, with the node that asks; NULL: a step without
 * files.
 */
int inline_cache_find(struct build_result *out_result, struct build *build, struct node *node, const struct digest *key,
		      struct error *err);
