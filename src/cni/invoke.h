/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invoke.h - one run of one plugin: found in a search path, told by environment
 * and standard input what to do (CNI spec 1.1, section 2), with a deadline. What
 * it prints is bounded; of one that hangs nothing is left, its children neither.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct cni_call {
	const char *command;   /* "ADD" */
	const char *container; /* CNI_CONTAINERID; NULL: not said */
	const char *netns;     /* path; NULL or "": there is none any more */
	const char *interface;
	const char *arguments; /* CNI_ARGS; NULL: none */
	const char *path;      /* folders with plugins, separated by colons */
	int timeout_ms;
};

/*
 * *out_output (NULL: not wanted) is what it printed, yours. ERR_NOT_FOUND: no such plugin. ERR_UNAVAILABLE: it did not
 * end in time. ERR_INTERNAL with its own words: it failed.
 */
int cni_invoke(char **out_output, const char *type, const char *config, const struct cni_call *call, struct error *err);
/* Path of a plugin, yours; NULL with ERR_NOT_FOUND. */
char *cni_find_plugin(const char *type, const char *path, struct error *err);
