/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"

#define READY_PATIENCE_MS 10000
#define REASON_MAX 2048

extern char **environ;

struct pipes {
	int read_fds[3]; /* 3, 4 of the program; 5 of ours */
	int write_fds[3];
};

static void pipes_close(struct pipes *pipes)
{
	for (size_t i = 0; i < 3; i++) {
		if (pipes->read_fds[i] >= 0)
			close(pipes->read_fds[i]);
		if (pipes->write_fds[i] >= 0)
			close(pipes->write_fds[i]);
	}
}

static int open_pipes(struct pipes *pipes, struct error *err)
{
	for (size_t i = 0; i < 3; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0)
			return error_set_errno(err, ERR_INTERNAL, errno, "pipe");
		pipes->read_fds[i] = fds[0];
		pipes->write_fds[i] = fds[1];
	}
	return 0;
}

static int spawn(struct process *process, const struct pipes *pipes, const struct logger_options *options,
		 struct error *err)
{
	const int fds[] = { pipes->read_fds[0], pipes->read_fds[1], pipes->write_fds[2] };
	AUTO(text_list_fini) struct text_list environment = { 0 };
	struct process_options spawning = { .path = options->argv->items[0],
					    .argv = text_list_argv(options->argv),
					    .cwd = options->cwd,
					    .stdin_fd = -1,
					    .stdout_fd = -1,
					    .stderr_fd = -1,
					    .fds = fds,
					    .fd_count = 3,
					    .new_session = true };

	for (char **item = environ; *item; item++)
		text_list_add(&environment, *item);
	text_list_set_env(&environment, "CONTAINER_ID", text_or_empty(options->id));
	text_list_set_env(&environment, "CONTAINER_NAMESPACE", text_or_empty(options->name_space));
	spawning.envp = text_list_argv(&environment);
	return process_spawn(process, &spawning, err);
}

/* What it wrote before it closed its end: nothing is well. */
static int await_ready(int fd, const char *program, struct error *err)
{
	int64_t deadline_ns = clock_monotonic_ns() + READY_PATIENCE_MS * CLOCK_MS;
	char reason[REASON_MAX];
	size_t size = 0;

	for (;;) {
		struct pollfd item = { .fd = fd, .events = POLLIN };
		int64_t left_ms = (deadline_ns - clock_monotonic_ns()) / CLOCK_MS;
		ssize_t got;

		if (left_ms <= 0 || poll(&item, 1, (int)left_ms) == 0)
			return error_set(err, ERR_UNAVAILABLE, "log program %s is not ready in time", program);
		got = read(fd, reason + size, sizeof(reason) - 1 - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		size += (size_t)got;
	}
	reason[size] = '\0';
	return size > 0 ? error_set(err, ERR_INTERNAL, "%s", text_trim(reason)) : 0;
}

int logger_start(int out_fds[2], const struct logger_options *options, struct error *err)
{
	AUTO(pipes_close) struct pipes pipes = { { -1, -1, -1 }, { -1, -1, -1 } };
	struct process process;

	if (open_pipes(&pipes, err) < 0 || spawn(&process, &pipes, options, err) < 0)
		return -1;
	close(take_fd(&pipes.write_fds[2]));
	if (options->wait && await_ready(pipes.read_fds[2], options->argv->items[0], err) < 0) {
		process_kill(&process, SIGKILL);
		/* The loop reaps it. */
		close(process.pidfd);
		return -1;
	}
	close(process.pidfd);
	for (size_t i = 0; i < 2; i++) {
		fd_set_nonblocking(pipes.write_fds[i], true);
		out_fds[i] = take_fd(&pipes.write_fds[i]);
	}
	return 0;
}
