/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkout.h - one commit of a repository as a folder, in the current directory:
 * `repository` has what was fetched, now and before; `files` becomes the tree.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct git_request {
	const char *remote;
	const char *ref;    /* branch, tag or whole name; "": what HEAD is there */
	const char *commit; /* full; "": of the ref */
	const char *header; /* "Authorization: ..."; "": none */
	const char *scope;  /* URL that the header is for */
	const char *agent;  /* socket of an ssh agent; "": none */
	bool keep_git_dir;
	bool submodules;
	bool commit_time; /* files have that of the commit */
};

/* Our words for git: its whole environment. */
void git_environment(const struct git_request *request);
/* What the ref is there now: the commit, yours. */
int git_resolve(char **out_commit, const struct git_request *request, struct error *err);
/* request->commit into `files`. */
int git_checkout(const struct git_request *request, struct error *err);
