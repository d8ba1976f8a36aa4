/* SPDX-License-Identifier: Apache-2.0 */
/* debug.h - the steps of a command, for --debug. Costs a comparison when nobody listens. */
#pragma once

#include "runtime/runtime.h"

void debug_log(const struct runtime *runtime, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In init, before its terminal takes the place of the descriptor that the log may be on: a copy is kept. */
void debug_leave_stderr(const struct runtime *runtime);
/* The copy is closed. */
void debug_end(void);
