/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/program.h"
#include "base/text.h"

#define START_TIMEOUT_MS 15000
#define RUN_FOLDER "/run/kist"
#define LOG_PATH RUN_FOLDER "/kistd.log"

static int open_log(struct error *err)
{
	int fd;
	int r = mkdir_all(AT_FDCWD, RUN_FOLDER, 0711);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "start kistd: make %s", RUN_FOLDER);
	fd = open(LOG_PATH, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "start kistd: open %s", LOG_PATH);
	return fd;
}

/* What the daemon wrote last, for the error of a start that failed. */
static char *last_lines(int log_fd, off_t from)
{
	char tail[1024] = "";
	off_t end = lseek(log_fd, 0, SEEK_END);
	ssize_t size;

	if (end - from >= (off_t)sizeof(tail))
		from = end - (off_t)sizeof(tail) + 1;
	size = pread(log_fd, tail, sizeof(tail) - 1, from);
	tail[size > 0 ? size : 0] = '\0';
	return xstrdup(text_trim(tail));
}

static int wait_ready(struct process *process, struct local_client *http, int log_fd, off_t log_start,
		      struct error *err)
{
	int64_t deadline = clock_monotonic_ns() + START_TIMEOUT_MS * CLOCK_MS;
	struct process_end end;

	for (;;) {
		AUTO(error_clear) struct error refused = { 0 };
		AUTO_FREE char *said = NULL;
		int r;

		if (local_client_connect(http, &refused) == 0)
			return 0;
		r = process_wait(process, &end, 5, -1, err);
		if (r < 0)
			return -1;
		if (r == 0 && clock_monotonic_ns() < deadline)
			continue;
		said = last_lines(log_fd, log_start);
		if (r == 0)
			return error_set(
				err, ERR_UNAVAILABLE, "kistd was started but does not answer after %d s: %s%s%s",
				START_TIMEOUT_MS / 1000, refused.message, *said ? "; its log says: " : "", said);
		return error_set(err, ERR_UNAVAILABLE, "kistd was started but ended with %s %d%s%s",
				 end.signaled ? "signal" : "exit code", end.code, *said ? ": " : "", said);
	}
}

int daemon_start(struct local_client *http, const char *host, struct error *err)
{
	AUTO_FREE char *program = NULL;
	AUTO_CLOSE int log_fd = -1;
	char name[] = "kistd";
	char *argv[] = { name, NULL };
	struct process process = { .pidfd = -1 };
	off_t log_start;
	int r;

	if (geteuid() != 0)
		return error_set(err, ERR_FORBIDDEN,
				 "kistd does not answer at %s, and only root can start it: run kist as root, or start "
				 "kistd as a service",
				 host);
	program = program_find("kistd", err);
	if (!program)
		return error_prefix(err, "nothing answers at %s and kistd cannot be started", host);
	log_fd = open_log(err);
	if (log_fd < 0)
		return -1;
	log_start = lseek(log_fd, 0, SEEK_END);
	if (process_spawn(&process,
			  &(struct process_options){ .path = program,
						     .argv = argv,
						     .cwd = "/",
						     .stdout_fd = log_fd,
						     .stderr_fd = log_fd,
						     .new_session = true },
			  err) < 0)
		return error_prefix(err, "start kistd");
	r = wait_ready(&process, http, log_fd, log_start, err);
	/* The daemon goes on without us: nothing here may kill it. */
	if (process.pidfd >= 0)
		close(process.pidfd);
	return r;
}
