/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define FIRST_EXTRA_FD 3
#define STDERR_KEPT 4096

extern char **environ;

struct fd_plan {
	posix_spawn_file_actions_t actions;
	int *moved; /* duplicates above all targets, closed after the spawn */
	size_t count;
};

/* A descriptor could sit on another's target number: first lift all above every target. */
static int plan_fd(struct fd_plan *plan, int fd, int target, int floor)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, floor);

	if (high < 0)
		return -errno;
	plan->moved[plan->count++] = high;
	return -posix_spawn_file_actions_adddup2(&plan->actions, high, target);
}

static int plan_stdio(struct fd_plan *plan, int fd, int target, int floor, int flags)
{
	if (fd > 0)
		return plan_fd(plan, fd, target, floor);
	return -posix_spawn_file_actions_addopen(&plan->actions, target, "/dev/null", flags, 0);
}

static int plan_all(struct fd_plan *plan, const struct process_options *options)
{
	int floor = FIRST_EXTRA_FD + (int)options->fd_count;
	int r = plan_stdio(plan, options->stdin_fd, STDIN_FILENO, floor, O_RDONLY);

	if (r == 0)
		r = plan_stdio(plan, options->stdout_fd, STDOUT_FILENO, floor, O_WRONLY);
	if (r == 0 && options->stderr_fd > 0)
		r = plan_fd(plan, options->stderr_fd, STDERR_FILENO, floor);
	for (size_t i = 0; r == 0 && i < options->fd_count; i++)
		r = plan_fd(plan, options->fds[i], FIRST_EXTRA_FD + (int)i, floor);
	if (r == 0 && options->cwd)
		r = -posix_spawn_file_actions_addchdir_np(&plan->actions, options->cwd);
	return r;
}

static int set_attributes(posix_spawnattr_t *attributes, const struct process_options *options)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none;
	sigset_t all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
	if (options->new_session)
		flags |= POSIX_SPAWN_SETSID;
	else if (options->new_group)
		flags |= POSIX_SPAWN_SETPGROUP;
	return posix_spawnattr_setflags(attributes, flags);
}

int process_spawn(struct process *out_process, const struct process_options *options, struct error *err)
{
	AUTO_FREE int *moved = xcalloc(options->fd_count + 3, sizeof(int));
	struct fd_plan plan = { .moved = moved };
	posix_spawnattr_t attributes;
	char *const *envp = options->envp ? options->envp : environ;
	pid_t pid = -1;
	int pidfd;
	int r;

	posix_spawn_file_actions_init(&plan.actions);
	posix_spawnattr_init(&attributes);
	set_attributes(&attributes, options);
	r = plan_all(&plan, options);
	if (r == 0)
		r = -posix_spawnp(&pid, options->path, &plan.actions, &attributes, options->argv, envp);
	for (size_t i = 0; i < plan.count; i++)
		close(moved[i]);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&plan.actions);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "start %s", options->path);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		r = errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return error_set_errno(err, ERR_INTERNAL, r, "open pidfd of %s", options->path);
	}
	*out_process = (struct process){ .pid = pid, .pidfd = pidfd };
	return 0;
}

int process_wait(struct process *process, struct process_end *out_end, int timeout_ms, int cancel_fd, struct error *err)
{
	struct pollfd fds[2] = { { .fd = process->pidfd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };
	siginfo_t info = { 0 };
	int r;

	do
		r = poll(fds, 2, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "wait for process %d", process->pid);
	if (!fds[0].revents)
		return 0;
	while (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "wait for process %d", process->pid);
	close(take_fd(&process->pidfd));
	if (out_end)
		*out_end = (struct process_end){ .signaled = info.si_code != CLD_EXITED, .code = info.si_status };
	return 1;
}

void process_kill(const struct process *process, int signal)
{
	if (process->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, 0);
}

void process_fini(struct process *process)
{
	AUTO(error_clear) struct error ignored = { 0 };

	if (process->pidfd < 0 || process->pid <= 0)
		return;
	process_kill(process, SIGKILL);
	process_wait(process, NULL, -1, -1, &ignored);
}

struct exchange {
	int in;	 /* to the child's stdin; -1 when all is written */
	int out; /* from its stdout */
	int log; /* from its stderr */
	const char *input;
	size_t left;
	struct buffer output;
	struct buffer errors;
};

static void exchange_close(int *fd)
{
	if (*fd >= 0)
		close(take_fd(fd));
}

static void exchange_input(struct exchange *exchange)
{
	ssize_t wrote = write(exchange->in, exchange->input, exchange->left);

	if (wrote > 0) {
		exchange->input += wrote;
		exchange->left -= (size_t)wrote;
	}
	if (exchange->left == 0 || (wrote < 0 && errno != EINTR && errno != EAGAIN))
		exchange_close(&exchange->in);
}

static void exchange_read(struct buffer *buffer, int *fd)
{
	char drop[4096];
	bool full = buffer->size == buffer->limit;
	ssize_t got = full ? read(*fd, drop, sizeof(drop)) : buffer_read_some(buffer, *fd, sizeof(drop));

	if (got == 0 || (got < 0 && errno != EINTR))
		exchange_close(fd);
	else if (full && got > 0)
		buffer->failed = true;
}

static void exchange_run(struct exchange *exchange)
{
	while (exchange->out >= 0 || exchange->log >= 0) {
		struct pollfd fds[3] = { { .fd = exchange->in, .events = POLLOUT },
					 { .fd = exchange->out, .events = POLLIN },
					 { .fd = exchange->log, .events = POLLIN } };

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents)
			exchange_input(exchange);
		if (fds[1].revents)
			exchange_read(&exchange->output, &exchange->out);
		if (fds[2].revents)
			exchange_read(&exchange->errors, &exchange->log);
	}
}

static int exchange_end(struct exchange *exchange, struct process *process, const char *name, struct error *err)
{
	struct process_end end = { 0 };

	if (process_wait(process, &end, -1, -1, err) < 0)
		return -1;
	if (end.signaled)
		return error_set(err, ERR_INTERNAL, "%s was killed by signal %d", name, end.code);
	if (end.code != 0)
		return error_set(err, ERR_INTERNAL, "%s exited with %d: %s", name, end.code,
				 text_trim((char *)buffer_text(&exchange->errors)));
	if (buffer_failed(&exchange->output))
		return error_set(err, ERR_INTERNAL, "%s printed more than %zu bytes", name, exchange->output.limit);
	return 0;
}

int process_run(char **out_output, char *const *argv, const char *input, size_t limit, struct error *err)
{
	int in[2] = { -1, -1 };
	int out[2] = { -1, -1 };
	int log[2] = { -1, -1 };
	struct process process = { .pidfd = -1 };
	struct exchange exchange = { .input = text_or_empty(input), .left = strlen(text_or_empty(input)) };
	int r;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(log, O_CLOEXEC) < 0) {
		r = error_set_errno(err, ERR_INTERNAL, errno, "make pipes for %s", argv[0]);
	} else {
		r = process_spawn(&process,
				  &(struct process_options){ .path = argv[0],
							     .argv = argv,
							     .stdin_fd = in[0],
							     .stdout_fd = out[1],
							     .stderr_fd = log[1] },
				  err);
	}
	exchange_close(&in[0]);
	exchange_close(&out[1]);
	exchange_close(&log[1]);
	buffer_init(&exchange.output, limit);
	buffer_init(&exchange.errors, STDERR_KEPT);
	exchange.in = in[1];
	exchange.out = out[0];
	exchange.log = log[0];
	if (r == 0) {
		fd_set_nonblocking(exchange.in, true);
		if (!exchange.left)
			exchange_close(&exchange.in);
		exchange_run(&exchange);
		r = exchange_end(&exchange, &process, argv[0], err);
	}
	exchange_close(&exchange.in);
	exchange_close(&exchange.out);
	exchange_close(&exchange.log);
	if (r == 0 && out_output) {
		buffer_text(&exchange.output);
		*out_output = (char *)take_ptr(exchange.output.data);
	}
	buffer_fini(&exchange.output);
	buffer_fini(&exchange.errors);
	process_fini(&process);
	return r;
}
