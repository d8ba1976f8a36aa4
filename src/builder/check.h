/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - what is allowed in a Dockerfile but seldom meant: BuildKit's 22
 * build checks, with their names, words and addresses (frontend 1.26).
 *
 * "# check=skip=A,B|all;error=true;experimental=A|all" in the file's head, or
 * the build arg BUILDKIT_DOCKERFILE_CHECK instead of it, says which; "# check="
 * right above an instruction is for that one. Nothing is fetched or run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "archive/pattern.h"
#include "base/text.h"
#include "oci/image_config.h"

struct check_rule {
	const char *name; /* "StageNameCasing" */
	const char *description;
	const char *page; /* last part of its address; NULL: it has none */
	bool experimental;
};

struct check_finding {
	const struct check_rule *rule;
	char *detail;
	unsigned line; /* first and last, from 1 */
	unsigned last_line;
};

struct check_report {
	struct check_finding *items; /* by line */
	size_t count;
	size_t capacity;
	bool is_error;	       /* "error=true" */
	char *failure;	       /* why it is no Dockerfile that could be built; NULL: it is */
	unsigned failure_line; /* 0: nowhere */
	unsigned failure_last_line;
};

struct check_options {
	const struct text_map *build_args;
	const char *platform;		    /* "" or NULL: this machine */
	const char *target;		    /* "" or NULL: every stage is looked at */
	const struct pattern_list *ignored; /* .dockerignore; NULL: none */
	/* The config of a base image, borrowed until the next call; NULL: not at hand, and what needs it stays unsaid. */
	const struct image_config *(*image)(void *arg, const char *name, const char *platform);
	void *arg;
};

void check_dockerfile(struct check_report *out_report, const char *text, size_t size,
		      const struct check_options *options);
void check_report_fini(struct check_report *report);

/* BuildKit's lint result: {"warnings":[...],"sources":[...],"buildError":{...}}. */
void check_report_json(struct text *out, const struct check_report *report, const char *filename, const char *source);
/* The same for people: each with its address and the lines it is about. */
void check_report_text(struct text *out, const struct check_report *report, const char *filename, const char *source);
/* "lint violation found for rules: A, B" where findings are errors; NULL: none. Yours. */
char *check_report_violations(const struct check_report *report);
