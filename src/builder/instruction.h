/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instruction.h - one logical line to keyword, flags and arguments; inside
 * builder/ only. dockerfile.c makes the logical lines and reads the heredocs.
 */
#pragma once

#include "builder/dockerfile.h"

/* Fills an empty instruction from its logical line. Errors carry no line number yet. */
int instruction_parse(struct instruction *instruction, const char *line, char escape, struct error *err);
void instruction_fini(struct instruction *instruction);

/* The heredocs that the arguments announce: name, expand and, in out_strip_tabs, whether <<- was written (yours, may be NULL). */
void instruction_find_heredocs(struct instruction *instruction, const char *line, bool **out_strip_tabs);
