/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/debug.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/alloc.h"

static bool stderr_is_theirs; /* descriptor 2 is the container's */
static int kept_fd = -1;      /* what it was before */

static bool is_on(const struct runtime *runtime)
{
	return runtime->log && runtime->log->level <= LOG_LEVEL_DEBUG;
}

void debug_leave_stderr(const struct runtime *runtime)
{
	if (is_on(runtime) && runtime->log->fd <= STDERR_FILENO)
		kept_fd = fcntl(runtime->log->fd, F_DUPFD_CLOEXEC, 3);
	stderr_is_theirs = true;
}

void debug_end(void)
{
	kept_fd = -1;
}

void debug_log(const struct runtime *runtime, const char *format, ...)
{
	AUTO_FREE char *message = NULL;
	struct log log;
	va_list args;

	if (!is_on(runtime))
		return;
	log = *runtime->log;
	if (stderr_is_theirs && log.fd <= STDERR_FILENO)
		log.fd = kept_fd;
	if (log.fd < 0)
		return;
	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	log_debug(&log, message);
}
