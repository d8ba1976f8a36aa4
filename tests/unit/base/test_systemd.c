/* SPDX-License-Identifier: Apache-2.0 */
#include "base/systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/unit.h"

static void test_sockets_are_ours_only_by_pid(void **state)
{
	char pid[32];

	(void)state;
	assert_int_equal(systemd_listen_fds(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	assert_int_equal(systemd_listen_fds(), 2);
	assert_null(getenv("LISTEN_FDS"));
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "2", 1);
	assert_int_equal(systemd_listen_fds(), 0);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "-2", 1);
	assert_int_equal(systemd_listen_fds(), 0);
}

static void test_notify_reaches_an_abstract_socket(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char name[64];
	char got[64] = { 0 };

	(void)state;
	snprintf(name, sizeof(name), "@kist-notify-%d", (int)getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	systemd_notify("READY=1");
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), 7);
	assert_string_equal(got, "READY=1");
	unsetenv("NOTIFY_SOCKET");
	systemd_notify("READY=1");
	assert_true(recv(fd, got, sizeof(got), 0) < 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets_are_ours_only_by_pid),
		cmocka_unit_test(test_notify_reaches_an_abstract_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
