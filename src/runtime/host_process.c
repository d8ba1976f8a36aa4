/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/host_systemd.h"
#include "sys/fd_pass.h"
#include "sys/pidfd_wait.h"
#include "sys/rlimit.h"
#include "sys/tty.h"

void runtime_process_fini(struct runtime_process *process)
{
	int *fds[] = { &process->pidfd, &process->tty_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (*fds[i] >= 0)
			close(take_fd(fds[i]));
	for (size_t i = 0; i < RUNTIME_NET_COUNT; i++)
		if (process->net_fds[i] >= 0)
			close(take_fd(&process->net_fds[i]));
}

/* What our caller gave us never closes on exec; what we opened ourselves does, and must not get in. */
int host_process_check_preserved(const struct runtime_process_options *options, struct error *err)
{
	for (int i = 0; i < options->preserve_fds + options->listen_fds; i++) {
		int flags = fcntl(3 + i, F_GETFD);

		if (flags < 0 || flags & FD_CLOEXEC)
			return error_set(err, ERR_INVALID, "unable to stat preserved-fd %d (of %d): not open", i,
					 options->preserve_fds + options->listen_fds);
	}
	return 0;
}

int host_process_sync_pair(int out_fds[2], struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out_fds) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a socket pair for the container init");
	return 0;
}

static int set_oom_score(pid_t pid, struct optional_i64 score, struct error *err)
{
	char path[48];
	char text[24];
	int r;

	if (!score.set)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	snprintf(text, sizeof(text), "%lld", (long long)score.value);
	r = file_write_once(AT_FDCWD, path, text);
	/* It has ended meanwhile, and will say why. */
	if (r == -ESRCH)
		return 0;
	if (r == -EACCES || r == -EPERM)
		return error_set_errno(err, ERR_FORBIDDEN, r,
				       "process.oomScoreAdj: %s is below ours, which needs CAP_SYS_RESOURCE", text);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "process.oomScoreAdj: write %s", text);
	return 0;
}

int host_process_prepare(const struct runtime_process *process, const struct plan *plan, struct error *err)
{
	if (plan->cgroup && host_systemd_attach(plan->record, process->pid, err) < 0)
		return -1;
	if (plan->new_namespaces & CLONE_NEWUSER && idmap_write(process->pid, &plan->idmap, err) < 0)
		return -1;
	return set_oom_score(process->pid, plan->process->oom_score_adj, err);
}

int host_process_connect(const char *path, struct error *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);

	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make socket");
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "socket path %s is longer than %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (*path == '@') {
		address.sun_path[0] = '\0';
		size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	}
	if (connect(fd, (struct sockaddr *)&address, size) < 0)
		return error_set_errno(err, ERR_INVALID, errno, "connect to %s", path);
	return take_fd(&fd);
}

static int send_fd(const char *path, const char *name, int fd, struct error *err)
{
	AUTO_CLOSE int socket_fd = host_process_connect(path, err);
	int r;

	if (socket_fd < 0)
		return -1;
	r = fd_pass_send(socket_fd, name, strlen(name), &fd, 1);
	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "send %s to %s", name, path);
	return 0;
}

/* From outside, and late: a limit must not hinder our own init, and raising one needs our privileges. */
int host_process_limit(const struct runtime_process *process, const struct plan *plan, struct error *err)
{
	for (size_t i = 0; i < plan->process->rlimits.count; i++) {
		const struct spec_rlimit *wanted = &plan->process->rlimits.items[i];
		const struct rlimit limit = { wanted->soft, wanted->hard };

		if (prlimit(process->pid, rlimit_parse(wanted->type), &limit, NULL) < 0)
			return error_set_errno(err, ERR_INVALID, errno, "error setting rlimit type %s to %llu/%llu%s",
					       wanted->type, (unsigned long long)wanted->soft,
					       (unsigned long long)wanted->hard,
					       errno == EPERM ? " (raising a hard limit needs CAP_SYS_RESOURCE)" : "");
	}
	return 0;
}

int host_process_deliver(struct runtime_process *process, struct sync_message *message, const struct plan *plan,
			 struct error *err)
{
	const struct runtime_process_options *options = plan->options;

	process->tty_fd = take_fd(&message->fds[0]);
	for (size_t i = 0; i < RUNTIME_NET_COUNT; i++)
		process->net_fds[i] = take_fd(&message->fds[1 + i]);
	if (options->keep_newlines && process->tty_fd >= 0)
		tty_keep_newlines(process->tty_fd);
	if (options->console_socket) {
		if (send_fd(options->console_socket, "/dev/ptmx", process->tty_fd, err) < 0)
			return error_prefix(err, "console socket");
		close(take_fd(&process->tty_fd));
	}
	if (options->pidfd_socket && send_fd(options->pidfd_socket, "pidfd", process->pidfd, err) < 0)
		return error_prefix(err, "pidfd socket");
	return 0;
}

int host_process_write_pid_file(const char *path, pid_t pid, struct error *err)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%d", pid);
	int r;

	if (!path)
		return 0;
	r = file_publish(AT_FDCWD, path, text, (size_t)size, 0666);
	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "write pid file %s", path);
	return 0;
}

int host_process_await_exec(int sync_fd, struct error *err)
{
	struct sync_message message;

	if (sync_receive(sync_fd, &message, err) < 0)
		return -1;
	sync_message_fini(&message);
	if (message.word != 0)
		return error_set(err, ERR_INTERNAL, "unexpected word '%c' from container init", message.word);
	return 0;
}

void host_process_destroy(struct runtime_process *process)
{
	int status;

	if (process->pidfd < 0)
		return;
	pidfd_signal(process->pidfd, SIGKILL);
	pidfd_wait(process->pidfd, true, &status);
	runtime_process_fini(process);
}
