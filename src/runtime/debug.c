/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/debug.h"

#include <stdarg.h>

#include "base/alloc.h"

void debug_log(const struct runtime *runtime, const char *format, ...)
{
	AUTO_FREE char *message = NULL;
	va_list args;

	if (!runtime->log || runtime->log->level > LOG_LEVEL_DEBUG)
		return;
	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	log_debug(runtime->log, message);
}
