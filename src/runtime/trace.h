/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - where the time of a start goes: kist-runtime --trace FILE.
 *
 * A step is what lies between two marks of one process: trace_mark() gives the
 * time since the mark before it a name. The steps lie in a mapping that host
 * side and init share, so init has nothing to send: the host side writes them
 * to the file when the command ends. A mark is one reading of the clock, no
 * system call; with a NULL trace it is nothing.
 *
 * The file holds one JSON object a line, in the order of beginning:
 * {"side":"init","step":"mount /proc","begin_us":1234.5,"took_us":67.8}
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"

struct trace;

/* Time begins here. The file is made at once, so that a wrong path is told before anything else happens. */
int trace_open(struct trace **out_trace, const char *path, struct error *err);
/* The step that ends now. */
void trace_mark(struct trace *trace, const char *step);
/* The same, its name made of two parts. */
void trace_mark_name(struct trace *trace, const char *step, const char *name);
/* In the clone: what follows is init's. Its first step begins where the host side's last one ended. */
void trace_is_init(struct trace *trace);
/* Writes the file and frees; NULL is fine. */
int trace_close(struct trace *trace, struct error *err);
