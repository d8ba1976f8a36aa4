/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.h - where our other programs are: an installed tree runs in place
 * (bin/kistd finds ../libexec/kist/kist-shim), and so does a build tree.
 */
#pragma once

#include "base/error.h"

/* Absolute path of one of our programs ("kist-shim"); NULL with ERR_INTERNAL that names the places looked at. */
char *program_find(const char *name, struct error *err);
/* Remembers our folder in the environment: for a program that executes itself again under no name. */
void program_keep_folder(void);
/* What our threads are doing: a line each with number, name, state and where it waits in the kernel; yours. */
char *program_threads(void);
