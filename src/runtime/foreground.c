/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: all signals are blocked and read from a signalfd, so that one
 * poll() sees the end of the process, signals, and both sides of the terminal.
 * Every signal goes to the process; SIGWINCH sets the size of its terminal.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/command.h"
#include "sys/pidfd_wait.h"
#include "sys/tty.h"

#define CHUNK 32768

struct foreground {
	struct runtime_process *process;
	int signal_fd;
	bool raw;
	bool input_open;
	struct termios saved;
};

static void block_all(int how)
{
	sigset_t all;

	sigfillset(&all);
	/* These say that we are broken: they must not wait. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigprocmask(how, &all, NULL);
}

void foreground_begin(void)
{
	block_all(SIG_BLOCK);
}

static void copy_size(const struct foreground *foreground)
{
	unsigned short rows;
	unsigned short columns;

	if (foreground->process->tty_fd >= 0 && tty_get_size(STDIN_FILENO, &rows, &columns) == 0)
		tty_set_size(foreground->process->tty_fd, rows, columns);
}

static void forward_signal(const struct foreground *foreground)
{
	struct signalfd_siginfo info;

	if (read(foreground->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		copy_size(foreground);
	/* SIGURG is the Go runtime's own; SIGCHLD, SIGPIPE are ours. */
	else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE && info.ssi_signo != SIGURG)
		pidfd_signal(foreground->process->pidfd, (int)info.ssi_signo);
}

static bool copy_some(int from, int to)
{
	char data[CHUNK];
	ssize_t size = read(from, data, sizeof(data));

	if (size < 0 && errno == EINTR)
		return true;
	return size > 0 && write_full(to, data, (size_t)size) >= 0;
}

/* What the terminal still holds when its last user has gone; EIO ends it. */
static void drain(const struct foreground *foreground)
{
	int fd = foreground->process->tty_fd;
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	while (fd >= 0 && poll(&wait, 1, 0) > 0 && wait.revents & POLLIN && copy_some(fd, STDOUT_FILENO))
		;
}

static bool step(struct foreground *foreground)
{
	struct runtime_process *process = foreground->process;
	struct pollfd fds[] = {
		{ .fd = process->pidfd, .events = POLLIN },
		{ .fd = foreground->signal_fd, .events = POLLIN },
		{ .fd = process->tty_fd, .events = POLLIN },
		{ .fd = process->tty_fd >= 0 && foreground->input_open ? STDIN_FILENO : -1, .events = POLLIN },
	};

	if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
		return errno == EINTR;
	if (fds[1].revents)
		forward_signal(foreground);
	if (fds[2].revents && !copy_some(process->tty_fd, STDOUT_FILENO))
		close(take_fd(&process->tty_fd));
	if (fds[3].revents && process->tty_fd >= 0)
		foreground->input_open = copy_some(STDIN_FILENO, process->tty_fd);
	return !fds[0].revents;
}

int foreground_wait(struct runtime_process *process, int *out_wait_status, struct error *err)
{
	struct foreground foreground = { .process = process, .input_open = true };
	sigset_t all;
	int status = 0;
	int r;

	sigfillset(&all);
	foreground.signal_fd = signalfd(-1, &all, SFD_CLOEXEC);
	if (foreground.signal_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "wait for signals");
	if (process->tty_fd >= 0 && isatty(STDIN_FILENO)) {
		copy_size(&foreground);
		foreground.raw = tty_set_raw(STDIN_FILENO, &foreground.saved) == 0;
	}
	while (step(&foreground))
		;
	drain(&foreground);
	if (foreground.raw)
		tty_restore(STDIN_FILENO, &foreground.saved);
	close(foreground.signal_fd);
	r = pidfd_wait(process->pidfd, true, &status);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "wait for the process");
	if (out_wait_status)
		*out_wait_status = status;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
