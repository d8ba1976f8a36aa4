/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/debug.h"

#include <stdarg.h>
#include <stdbool.h>

#include "base/alloc.h"

static bool on_terminal; /* descriptor 2 is the container's */

void debug_leave_stderr(void)
{
	on_terminal = true;
}

void debug_log(const struct runtime *runtime, const char *format, ...)
{
	AUTO_FREE char *message = NULL;
	va_list args;

	if (!runtime->log || runtime->log->level > LOG_LEVEL_DEBUG || (on_terminal && runtime->log->fd <= 2))
		return;
	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	log_debug(runtime->log, message);
}
