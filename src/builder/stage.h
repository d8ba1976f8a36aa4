/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - the stages of a Dockerfile and what each has become so far; inside
 * builder/ only.
 *
 * A stage starts from an image, an earlier stage or nothing, and is a list of
 * steps. While its instructions are compiled its image config grows; steps that
 * change files point at their node. `rootfs` is the node of the last one.
 */
#pragma once

#include "builder/graph.h"
#include "oci/image_config.h"
#include "oci/platform.h"

/* In the environment of what starts from nothing, or from an image that says none. */
#define STAGE_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct step {
	char *text;	    /* as written; "Step 2/3 : <text>" */
	struct node *node;  /* NULL: it changes the config only */
	char *created_by;   /* of the history; NULL: no entry */
	char *before;	    /* told before it: "# Executing 1 build trigger"; NULL */
	int64_t created_ns; /* once it is solved */
	struct digest key;
};

struct stage {
	char *name; /* of AS, lower case; NULL: none */
	char *base_name;
	char *platform_text; /* --platform, not expanded; NULL */
	const struct instruction *from;
	const struct instruction *first; /* behind FROM */
	size_t count;
	struct stage *base; /* an earlier stage; NULL */
	bool needed;
	bool compiled;
	bool no_cache; /* all of it is made again */

	struct image_config config;
	struct digest base_image; /* not set: scratch, or of the base stage */
	struct text_map args;	  /* declared, with a value */
	struct text_list declared;
	bool cmd_set;
	struct node *rootfs;
	struct step *steps;
	size_t step_count;
	size_t step_capacity;
	size_t shown_total; /* operations, as "[2/3]" */
	size_t shown_count;
};

struct stages {
	struct stage *items;
	size_t count;
	size_t capacity;
	struct text_map global_args; /* ARG before the first FROM, expanded */
	struct platform platform;    /* target */
	struct platform build_platform;
};

/* Splits the file into stages and evaluates the global ARGs; nothing is looked up yet. */
int stages_load(struct stages *stages, const struct dockerfile *dockerfile, const struct text_map *build_args,
		const char *platform, const char *target, struct text_list *consumed, struct error *err);
void stages_fini(struct stages *stages);
/* By name or number, among the first `before`; NULL if there is none. */
struct stage *stages_find(struct stages *stages, const char *name, size_t before);
/* The stage to build: the last if no name is given. ERR_INVALID. */
int stages_target(struct stage **out_target, struct stages *stages, const char *name, struct error *err);
/* Marks a stage and all it is made from as needed. */
void stages_need(struct stages *stages, struct stage *stage);
/* The value of TARGETPLATFORM and the like; NULL: not one of them. Yours. */
char *stages_platform_arg(const struct stages *stages, const char *name, const char *target);
struct step *stage_add_step(struct stage *stage, const char *text);
