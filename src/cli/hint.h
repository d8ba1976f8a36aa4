/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hint.h - what to do next, below an error that everybody knows from docker: the error's own words stay as they are, for
 * scripts; the hint is for people, and only on a terminal.
 */
#pragma once

#include "base/options.h"

/* On stderr, if that is a terminal and there is something to say. */
void hint_print(const char *message);
/* "unknown flag: --nmae": the option that was meant. */
void hint_print_flag(const char *message, const struct option_spec *options);
