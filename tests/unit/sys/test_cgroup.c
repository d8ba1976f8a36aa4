/* SPDX-License-Identifier: Apache-2.0 */
/* Runs on what the host has: v1 and hybrid here, v2 in the virtual machine of tests/vm. */
#include "sys/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "sys/cgroup_tree.h"
#include "sys/namespace.h"
#include "sys/pidfd_wait.h"
#include "unit/unit.h"

static char path[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/kist-unit-%d/c", getpid());
	return 0;
}

static int tear_down(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(cgroup_closep) struct cgroup *cgroup = NULL;
	char parent[64];

	(void)state;
	snprintf(parent, sizeof(parent), "/kist-unit-%d", getpid());
	if (cgroup_open(&cgroup, parent, &err) < 0)
		return 0;
	return cgroup_remove(cgroup, &err);
}

static struct cgroup *need_cgroup(void)
{
	AUTO(error_clear) struct error err = { 0 };
	struct cgroup *cgroup = NULL;

	if (geteuid() != 0 || cgroup_detect() == CGROUP_NONE)
		skip();
	assert_no_error(cgroup_create(&cgroup, path, 0, &err), &err);
	return cgroup;
}

/* A child inside the group that runs fn; started by clone into the group where that is possible. */
static pid_t start_in(struct cgroup *cgroup, void (*fn)(void))
{
	AUTO(error_clear) struct error err = { 0 };
	int go[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid = namespace_clone(0, cgroup_clone_fd(cgroup), NULL);
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) == 1)
			fn();
		_exit(0);
	}
	assert_true(pid > 0);
	if (cgroup_clone_fd(cgroup) >= 0)
		assert_no_error(cgroup_add_cloned(cgroup, pid, &err), &err);
	else
		assert_no_error(cgroup_add(cgroup, pid, &err), &err);
	assert_int_equal(write(go[1], "g", 1), 1);
	close(go[0]);
	close(go[1]);
	return pid;
}

static void sleep_long(void)
{
	for (;;)
		pause();
}

static void test_create_and_remove(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(cgroup_closep) struct cgroup *again = NULL;
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	assert_string_equal(cgroup_path(cgroup), path);
	for (size_t i = 0; i < cgroup_hierarchy_count(cgroup); i++) {
		struct cgroup_hierarchy hierarchy;

		cgroup_get_hierarchy(cgroup, i, &hierarchy);
		assert_true(hierarchy.exists);
	}
	assert_no_error(cgroup_open(&again, path, &err), &err);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
	cgroup_close(take_ptr(again));
	assert_int_equal(cgroup_open(&again, path, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void test_bad_paths(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct cgroup *cgroup;

	(void)state;
	assert_int_equal(cgroup_create(&cgroup, "relative", 0, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	error_clear(&err);
	assert_int_equal(cgroup_create(&cgroup, "/a/../../b", 0, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static void test_processes(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(cgroup_closep) struct cgroup *busy = NULL;
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE pid_t *pids = NULL;
	size_t count = 0;
	pid_t pid = start_in(cgroup, sleep_long);
	int status = 0;

	(void)state;
	assert_no_error(cgroup_pids(cgroup, &pids, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_int_equal(pids[0], pid);
	assert_int_equal(cgroup_create(&busy, path, CGROUP_REFUSE_BUSY, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	assert_no_error(cgroup_freeze(cgroup, true, &err), &err);
	assert_int_equal(cgroup_is_frozen(cgroup, &err), 1);
	kill(pid, SIGTERM);
	/* What is frozen by v1 dies when it thaws, by v2 at once. */
	if (cgroup_get_mode(cgroup) != CGROUP_V2)
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_no_error(cgroup_freeze(cgroup, false, &err), &err);
	assert_int_equal(cgroup_is_frozen(cgroup, &err), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
}

static void fork_on(void)
{
	for (int i = 0; i < 8; i++)
		if (fork() == 0)
			sleep_long();
	sleep_long();
}

static void test_kill_all(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(error_clear) struct error err = { 0 };
	size_t count = 0;
	pid_t pid = start_in(cgroup, fork_on);

	(void)state;
	for (int i = 0; i < 6000 && count < 9; i++) {
		AUTO_FREE pid_t *pids = NULL;

		assert_no_error(cgroup_pids(cgroup, &pids, &count, &err), &err);
		clock_sleep_ms(10);
	}
	assert_int_equal(count, 9);
	/* Also what is frozen dies. */
	assert_no_error(cgroup_freeze(cgroup, true, &err), &err);
	assert_no_error(cgroup_kill(cgroup, SIGKILL, &err), &err);
	waitpid(pid, NULL, 0);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
}

static void test_pids_limit(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(cgroup_stats_fini) struct cgroup_stats stats = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct cgroup_limits limits = { .pids_limit = { true, 4 } };
	pid_t pid;

	(void)state;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	pid = start_in(cgroup, fork_on);
	for (int i = 0; i < 6000; i++) {
		cgroup_stats_fini(&stats);
		assert_no_error(cgroup_stats_read(cgroup, &stats, &err), &err);
		if (stats.pids_current >= 4)
			break;
		clock_sleep_ms(10);
	}
	clock_sleep_ms(50);
	cgroup_stats_fini(&stats);
	assert_no_error(cgroup_stats_read(cgroup, &stats, &err), &err);
	assert_int_equal(stats.pids_current, 4);
	assert_int_equal(stats.pids_limit, 4);
	limits.pids_limit.value = -1;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	assert_no_error(cgroup_kill(cgroup, SIGKILL, &err), &err);
	waitpid(pid, NULL, 0);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
}

static void eat_memory(void)
{
	size_t size = 64 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)memory)[i] = 1;
}

static void test_memory_limit(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(cgroup_stats_fini) struct cgroup_stats stats = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct cgroup_limits limits = { .memory_limit = { true, 16 << 20 }, .memory_swap = { true, 16 << 20 } };
	AUTO_CLOSE int watch = -1;
	struct pollfd poll_fd = { .events = POLLIN };
	int status = 0;
	pid_t pid;

	(void)state;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	/* Up, and down again: each order of the two files must be found. */
	limits.memory_limit.value = limits.memory_swap.value = 32 << 20;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	limits.memory_limit.value = limits.memory_swap.value = 16 << 20;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	watch = cgroup_oom_watch(cgroup);
	assert_true(watch >= 0);
	pid = start_in(cgroup, eat_memory);
	poll_fd.fd = watch;
	assert_int_equal(poll(&poll_fd, 1, 20000), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(cgroup_oom_kills(cgroup) >= 1);
	assert_no_error(cgroup_stats_read(cgroup, &stats, &err), &err);
	assert_true(stats.memory_limit == 16 << 20);
	assert_true(stats.oom_kills >= 1);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
}

static void spin(void)
{
	int64_t end = clock_monotonic_ns() + 600 * CLOCK_MS;

	while (clock_monotonic_ns() < end)
		;
}

static void test_cpu_limit(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(cgroup_stats_fini) struct cgroup_stats stats = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	struct cgroup_limits limits = {
		.cpu_quota = { true, 20000 },
		.cpu_period = { true, 100000 },
		.cpu_shares = { true, 512 },
		.cpuset_cpus = "0",
	};
	pid_t pid;

	(void)state;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	/* So little that even a starved child meets it. */
	limits.cpu_quota.value = 2000;
	limits.cpu_period.value = 50000;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	pid = start_in(cgroup, spin);
	waitpid(pid, NULL, 0);
	assert_no_error(cgroup_stats_read(cgroup, &stats, &err), &err);
	/* A twenty-fifth of 600 ms, and generous room for a slow machine. */
	assert_true(stats.cpu_total_ns > 0 && stats.cpu_total_ns < 300 * CLOCK_MS);
	assert_true(stats.cpu_throttled_periods > 0);
	limits = (struct cgroup_limits){ .cpu_quota = { true, -1 } };
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	limits = (struct cgroup_limits){ .cpuset_cpus = "4000" };
	assert_int_equal(cgroup_apply(cgroup, &limits, &err), -1);
	assert_non_null(strstr(err.message, "cpuset.cpus"));
	error_clear(&err);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
}

static void open_devices(void)
{
	int wrong = 0;

	if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
		wrong |= 1;
	if (open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0)
		wrong |= 2;
	_exit(wrong);
}

static void test_devices(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(error_clear) struct error err = { 0 };
	const struct cgroup_device_rule rules[] = {
		{ .allow = false, .type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true },
		{ .allow = true, .type = 'c', .major = 1, .minor = 3, .read = true, .write = true, .mknod = true },
	};
	struct cgroup_limits limits = { .devices_set = true, .devices = rules, .device_count = 2 };
	int status = -1;
	pid_t pid;

	(void)state;
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
	pid = start_in(cgroup, open_devices);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_no_error(cgroup_remove(cgroup, &err), &err);
}

static void test_unified(void **state)
{
	AUTO(cgroup_closep) struct cgroup *cgroup = need_cgroup();
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_map_fini) struct text_map unified = { 0 };
	struct cgroup_limits limits = { .unified = &unified };

	(void)state;
	text_map_set(&unified, "nodot", "1");
	assert_int_equal(cgroup_apply(cgroup, &limits, &err), -1);
	error_clear(&err);
	text_map_fini(&unified);
	text_map_set(&unified, "nosuch.file", "1");
	assert_int_equal(cgroup_apply(cgroup, &limits, &err), -1);
	assert_int_equal(err.kind, ERR_UNSUPPORTED);
	if (cgroup_get_mode(cgroup) != CGROUP_V2)
		return;
	error_clear(&err);
	text_map_fini(&unified);
	text_map_set(&unified, "memory.high", "33554432");
	assert_no_error(cgroup_apply(cgroup, &limits, &err), &err);
}

static void test_host(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list names = { 0 };

	(void)state;
	if (cgroup_detect() == CGROUP_NONE)
		skip();
	assert_no_error(cgroup_controllers(&names, &err), &err);
	assert_true(text_list_contains(&names, "memory"));
	assert_true(text_list_contains(&names, "pids"));
}

static void write_file(const char *folder, const char *name, const char *text)
{
	AUTO_FREE char *file = xasprintf("%s/%s", folder, name);

	assert_int_equal(file_write_atomic(AT_FDCWD, file, text, strlen(text), 0600, FILE_NO_SYNC), 0);
}

/* Two first containers at once: one finds the parent which the other made, but has not filled yet. */
static void test_cpuset_of_a_parent_without(void **state)
{
	char root[] = "/tmp/kist-unit-XXXXXX";
	const char *const folders[] = { "", "/a", "/a/b" };
	AUTO_FREE char *got = NULL;
	AUTO_FREE char *file = NULL;

	(void)state;
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < 3; i++) {
		AUTO_FREE char *folder = xasprintf("%s%s", root, folders[i]);

		assert_int_equal(mkdir_all(AT_FDCWD, folder, 0700), 0);
		write_file(folder, "cpuset.cpus", i == 0 ? "0-1\n" : "\n");
		write_file(folder, "cpuset.mems", i == 0 ? "0\n" : "\n");
	}
	assert_int_equal(cgroup_v1_inherit_cpuset(root, "/a/b", false), 0);
	file = xasprintf("%s/a/b/cpuset.cpus", root);
	assert_int_equal(file_read(&got, NULL, AT_FDCWD, file, 64), 0);
	assert_int_equal(strncmp(got, "0-1", 3), 0);
	remove_tree(AT_FDCWD, root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_create_and_remove),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_kill_all),
		cmocka_unit_test(test_pids_limit),
		cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_cpu_limit),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_unified),
		cmocka_unit_test(test_cpuset_of_a_parent_without),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
