/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/capability.h"
#include "sys/idmap.h"
#include "sys/rlimit.h"
#include "sys/signal_name.h"
#include "unit/unit.h"

static void test_signals(void **state)
{
	(void)state;
	assert_int_equal(signal_parse("TERM"), SIGTERM);
	assert_int_equal(signal_parse("sigkill"), SIGKILL);
	assert_int_equal(signal_parse("9"), 9);
	assert_int_equal(signal_parse("RTMIN+3"), 37);
	assert_int_equal(signal_parse("SIGRTMAX-1"), 63);
	assert_int_equal(signal_parse("SIGRTMIN"), 34);
	assert_int_equal(signal_parse("0"), -EINVAL);
	assert_int_equal(signal_parse("65"), -EINVAL);
	assert_int_equal(signal_parse("RTMIN-1"), -EINVAL);
	assert_int_equal(signal_parse("RTMIN+31"), -EINVAL);
	assert_int_equal(signal_parse(""), -EINVAL);
	assert_int_equal(signal_parse("SIG"), -EINVAL);
	assert_int_equal(signal_parse("SIGPOLL"), SIGIO);
	for (int i = 1; i <= 64; i++) {
		if (signal_name(i))
			assert_int_equal(signal_parse(signal_name(i)), i);
		else
			assert_true(i == 32 || i == 33);
	}
	assert_null(signal_name(0));
	assert_null(signal_name(65));
}

static void test_rlimits(void **state)
{
	(void)state;
	assert_int_equal(rlimit_parse("RLIMIT_NOFILE"), RLIMIT_NOFILE);
	assert_int_equal(rlimit_parse("nofile"), RLIMIT_NOFILE);
	assert_int_equal(rlimit_parse("rlimit_as"), RLIMIT_AS);
	assert_int_equal(rlimit_parse("RLIMIT_"), -EINVAL);
	for (size_t i = 0; rlimit_name(i); i++)
		assert_int_equal(rlimit_parse(rlimit_name(i)), (int)i);
}

static void test_capability_names(void **state)
{
	(void)state;
	assert_int_equal(capability_parse("CAP_NET_ADMIN"), CAP_NET_ADMIN);
	assert_int_equal(capability_parse("net_admin"), CAP_NET_ADMIN);
	assert_int_equal(capability_parse("CAP_NOPE"), -EINVAL);
	assert_int_equal(capability_parse("CAP_"), -EINVAL);
	for (unsigned i = 0; capability_name(i); i++)
		assert_int_equal(capability_parse(capability_name(i)), (int)i);
	assert_true(capability_last() >= CAP_CHECKPOINT_RESTORE);
	assert_true((capability_bounding() & ~capability_all()) == 0);
}

/* In a child: bits in the exit code say what went wrong. */
static int apply_in_child(void)
{
	uint64_t keep = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_KILL;
	struct capability_sets sets = { .bounding = keep,
					.effective = keep,
					.permitted = keep,
					.inheritable = UINT64_C(1) << CAP_KILL,
					.ambient = keep };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	int wrong = 0;

	if (capability_apply_bounding(keep) < 0 || capability_bounding() != keep)
		wrong |= 1;
	if (capability_keep(1) < 0 || setresuid(12345, 12345, 12345) < 0)
		wrong |= 2;
	if (capability_apply(&sets) < 0)
		wrong |= 4;

	if (syscall(SYS_capget, &header, data) < 0 || data[0].permitted != keep || data[0].effective != keep ||
	    data[0].inheritable != 1U << CAP_KILL || data[1].permitted != 0)
		wrong |= 8;
	/* Grown again? Not possible. */
	sets.permitted = capability_all();
	if (capability_apply(&sets) < 0 || syscall(SYS_capget, &header, data) < 0 || data[0].permitted != keep)
		wrong |= 16;
	return wrong;
}

static void test_capability_apply(void **state)
{
	pid_t pid;
	int status = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(apply_in_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_idmap(void **state)
{
	const struct idmap_range ranges[] = { { 0, 100000, 1000 }, { 1000, 500, 1 } };

	(void)state;
	assert_true(idmap_to_host(ranges, 2, 0) == 100000);
	assert_true(idmap_to_host(ranges, 2, 999) == 100999);
	assert_true(idmap_to_host(ranges, 2, 1000) == 500);
	assert_true(idmap_to_host(ranges, 2, 1001) == -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_rlimits),
		cmocka_unit_test(test_capability_names),
		cmocka_unit_test(test_capability_apply),
		cmocka_unit_test(test_idmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
