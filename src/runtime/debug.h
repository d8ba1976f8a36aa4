/* SPDX-License-Identifier: Apache-2.0 */
/* debug.h - the steps of a command, for --debug. Costs a comparison when nobody listens. */
#pragma once

#include "runtime/runtime.h"

void debug_log(const struct runtime *runtime, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In init, when its terminal takes the place of the descriptor that the log may be on. */
void debug_leave_stderr(void);
