/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/fd_pass.h"
#include "sys/pidfd_wait.h"
#include "unit/unit.h"

static void test_kinds(void **state)
{
	unsigned count = 0;

	(void)state;
	for (; namespace_kind_at(count); count++)
		assert_ptr_equal(namespace_kind_find(namespace_kind_at(count)->name), namespace_kind_at(count));
	assert_int_equal(count, 8);
	assert_int_equal(namespace_kind_find("network")->flag, CLONE_NEWNET);
	assert_string_equal(namespace_kind_of_flag(CLONE_NEWNS)->file, "mnt");
	assert_null(namespace_kind_find("net"));
}

static void test_clone(void **state)
{
	AUTO_CLOSE int pidfd = -1;
	AUTO_CLOSE int ns = -1;
	AUTO_CLOSE int mine = -1;
	unsigned long long started;
	int status = -1;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = namespace_clone(CLONE_NEWUTS | CLONE_NEWPID, -1, &pidfd);
	if (pid == 0) {
		if (getpid() == 1)
			pause();
		_exit(1);
	}
	assert_true(pid > 0 && pidfd >= 0);
	ns = namespace_open(pid, namespace_kind_find("uts"));
	mine = namespace_open(0, namespace_kind_find("uts"));
	assert_int_equal(namespace_type(ns), CLONE_NEWUTS);
	assert_int_equal(namespace_type(STDIN_FILENO), -ENOTTY);
	started = pid_start_time(pid);
	assert_true(started > 0);
	assert_int_equal(pidfd_wait(pidfd, false, &status), 0);
	assert_int_equal(pidfd_ended(pidfd, 0), 0);
	assert_int_equal(pidfd_signal(pidfd, SIGKILL), 0);
	assert_int_equal(pidfd_ended(pidfd, 5000), 1);
	assert_int_equal(pidfd_wait(pidfd, true, &status), 1);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(pidfd_signal(pidfd, SIGKILL), -ESRCH);
	assert_true(pid_start_time(pid) == 0);
}

static void test_exit_status(void **state)
{
	AUTO_CLOSE int pidfd = -1;
	int status = -1;
	pid_t pid = namespace_clone(0, -1, &pidfd);

	(void)state;
	if (pid == 0)
		_exit(42);
	assert_true(pid > 0);
	assert_int_equal(pidfd_wait(pidfd, true, &status), 1);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void test_fd_pass(void **state)
{
	int pair[2], pipe_fds[2], got[2] = { -1, -1 };
	size_t count = 2;
	char text[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(fd_pass_send(pair[0], "hi", 2, pipe_fds, 2), 0);
	assert_int_equal(fd_pass_receive(pair[1], text, sizeof(text), got, &count), 2);
	assert_int_equal(count, 2);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], text, 1), 1);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(got[0]);
	close(got[1]);
	/* More than there is room for: none comes. */
	count = 1;
	assert_int_equal(fd_pass_send(pair[0], "hi", 2, pipe_fds, 2), 0);
	assert_int_equal(fd_pass_receive(pair[1], text, sizeof(text), got, &count), -EMSGSIZE);
	assert_int_equal(count, 0);
	count = 2;
	close(pair[0]);
	assert_int_equal(fd_pass_receive(pair[1], text, sizeof(text), got, &count), 0);
	assert_int_equal(count, 0);
	assert_int_equal(fd_pass_send(pair[1], "hi", 2, NULL, 0), -EPIPE);
	close(pair[1]);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_fd_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
