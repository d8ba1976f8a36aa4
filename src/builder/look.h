/* SPDX-License-Identifier: Apache-2.0 */
/* look.h - questions about a Dockerfile that build nothing: BuildKit's calls "check", "outline" and "targets". */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct engine;

struct build_look {
	const char *call;	/* "check", "outline", "targets" */
	const char *dockerfile; /* its text */
	const char *name;	/* as people know it; NULL or "": Dockerfile */
	const char *ignored;	/* text of the .dockerignore; NULL: none */
	const struct text_map *args;
	const char *platform;
	const char *target;
};

struct build_view {
	struct text json; /* BuildKit's result.json */
	struct text text; /* for people */
	bool is_bad;	  /* check: something was found */
};

/* Images that are not here are not fetched: what depends on them stays unsaid. ERR_INVALID. */
int build_look(struct build_view *out_view, struct engine *engine, const struct build_look *look, struct error *err);
void build_view_fini(struct build_view *view);
