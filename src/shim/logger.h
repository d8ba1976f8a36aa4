/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logger.h - the program that takes a process' output, as containerd's binary://
 * log URIs start one: stdout is its descriptor 3, stderr 4; when it is ready it
 * closes 5, or writes there why it cannot be. CONTAINER_ID and
 * CONTAINER_NAMESPACE are in its environment. It ends when both streams do.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct logger_options {
	const struct text_list *argv;
	const char *cwd;
	const char *id;
	const char *name_space;
	bool wait; /* until it is ready, 10 s at most */
};

/* out_fds: the writing ends, not blocking; yours. */
int logger_start(int out_fds[2], const struct logger_options *options, struct error *err);
