/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "sys/fd_pass.h"
#include "sys/pidfd_wait.h"

#define MESSAGE_MAX 4096
#define BARRIER_TIMEOUT_MS 30000

bool notify_wanted(void)
{
	return !text_empty(getenv("NOTIFY_SOCKET"));
}

static int fill_address(struct sockaddr_un *address, socklen_t *out_size, const char *path, struct error *err)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(err, ERR_INVALID, "socket path %s is longer than %zu bytes", path,
				 sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	*out_size = sizeof(*address);
	if (*path != '@')
		return 0;
	address->sun_path[0] = '\0';
	*out_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	return 0;
}

int notify_listen(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	AUTO_FREE char *folder = path_join(runtime->root, id);
	AUTO_FREE char *path = path_join(folder, "notify/notify.sock");
	struct sockaddr_un address;
	socklen_t size;

	if (fill_address(&address, &size, path, err) < 0)
		return -1;
	/* Everyone in the container may speak; who that is, the folder's mount decides. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || chmod(path, 0777) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "NOTIFY_SOCKET: make %s", path);
	return take_fd(&fd);
}

static int connect_host(struct error *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t size;

	if (fill_address(&address, &size, getenv("NOTIFY_SOCKET"), err) < 0)
		return -1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, errno, "NOTIFY_SOCKET: connect to %s",
				       getenv("NOTIFY_SOCKET"));
	return take_fd(&fd);
}

/* What a container may say; MAINPID, FDSTORE and BUSERROR are not its business. */
static bool is_passed_on(const char *line)
{
	static const char *const keys[] = { "READY=", "RELOADING=", "STOPPING=",	   "STATUS=",
					    "ERRNO=", "WATCHDOG=",  "EXTEND_TIMEOUT_USEC=" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (text_has_prefix(line, keys[i]))
			return true;
	return false;
}

static int send_text(int host_fd, const char *text, struct error *err)
{
	if (send(host_fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return error_set_errno(err, ERR_UNAVAILABLE, errno, "NOTIFY_SOCKET: send");
	return 0;
}

/* 1 if READY=1 was in it. */
static int pass_on(int host_fd, char *message, pid_t main_pid, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	bool ready = false;

	text_list_split(&lines, message, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		if (!is_passed_on(lines.items[i]))
			continue;
		ready |= text_equal(lines.items[i], "READY=1");
		text_addf(&out, "%s\n", lines.items[i]);
	}
	if (ready)
		text_addf(&out, "MAINPID=%d\n", main_pid);
	if (out.size && send_text(host_fd, out.data, err) < 0)
		return -1;
	return ready;
}

/* sd_notify_barrier(3): the other end closes the pipe when it has read all that was before. */
static int wait_for_barrier(int host_fd, const struct log *log, struct error *err)
{
	static const char barrier[] = "BARRIER=1";
	int ends[2];
	struct pollfd wait;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "NOTIFY_SOCKET: make a pipe");
	r = fd_pass_send(host_fd, barrier, sizeof(barrier) - 1, &ends[1], 1);
	close(ends[1]);
	wait = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	if (r == 0 && poll(&wait, 1, BARRIER_TIMEOUT_MS) == 0 && log)
		log_warn(log, "NOTIFY_SOCKET: no answer to the barrier within 30 s");
	close(ends[0]);
	return r < 0 ? error_set_errno(err, ERR_UNAVAILABLE, r, "NOTIFY_SOCKET: send a barrier") : 0;
}

static int forward(int fd, pid_t pid, pid_t main_pid, bool once, const struct log *log, struct error *err)
{
	AUTO_CLOSE int pidfd = pidfd_of(pid);
	AUTO_CLOSE int host_fd = connect_host(err);
	char message[MESSAGE_MAX + 1];

	if (host_fd < 0)
		return -1;
	for (;;) {
		struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
		ssize_t size;
		int r;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "NOTIFY_SOCKET: wait");
		if (!(fds[0].revents & POLLIN)) {
			if (pidfd < 0 || fds[1].revents)
				return 0;
			continue;
		}
		size = recv(fd, message, MESSAGE_MAX, 0);
		if (size < 0)
			continue;
		message[size] = '\0';
		r = pass_on(host_fd, message, main_pid, err);
		if (r < 0 || (r > 0 && wait_for_barrier(host_fd, log, err) < 0))
			return -1;
		if (r > 0 && once)
			return 0;
	}
}

static void forward_or_warn(int fd, pid_t pid, pid_t main_pid, bool once, const struct log *log)
{
	AUTO(error_clear) struct error err = { 0 };

	if (forward(fd, pid, main_pid, once, log, &err) < 0 && log)
		log_warn(log, err.message);
}

void notify_forward(int fd, pid_t pid, pid_t main_pid, const struct log *log)
{
	forward_or_warn(fd, pid, main_pid, true, log);
}

int notify_forward_beside(int fd, pid_t pid, const struct log *log, struct error *err)
{
	pid_t us = getpid();
	pid_t child = fork();

	if (child < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "NOTIFY_SOCKET: fork");
	if (child > 0)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	forward_or_warn(fd, pid, us, false, log);
	_exit(0);
}
