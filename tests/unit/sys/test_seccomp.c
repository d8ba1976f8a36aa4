/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/seccomp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "unit/unit.h"

static char cache[] = "/tmp/kist-unit-seccomp-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(cache) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return remove_tree(AT_FDCWD, cache);
}

static char *all_names[] = { (char[]){ "exit_group" },
			     (char[]){ "exit" },
			     (char[]){ "write" },
			     (char[]){ "getpid" },
			     (char[]){ "read" },
			     (char[]){ "faccessat2" },
			     NULL };
static char *one_name[] = { (char[]){ "getppid" }, NULL };
static char *dup_name[] = { (char[]){ "dup" }, NULL };
static const struct seccomp_arg dup_args[] = { { 0, 1, 0, "SCMP_CMP_EQ" }, { 0, 2, 0, "SCMP_CMP_EQ" } };
static const struct seccomp_rule rules[] = {
	{ .names = all_names, .name_count = 6, .action = "SCMP_ACT_ALLOW" },
	{ .names = one_name, .name_count = 1, .action = "SCMP_ACT_ERRNO", .errno_ret = { true, ENOTTY } },
	{ .names = dup_name, .name_count = 1, .action = "SCMP_ACT_ALLOW", .args = dup_args, .arg_count = 2 },
};
static const struct seccomp_profile profile = {
	.default_action = "SCMP_ACT_ERRNO",
	.rules = rules,
	.rule_count = 3,
};

static int errno_of(long number, long arg)
{
	return syscall(number, arg, 0, 0, 0, 0, 0) < 0 ? errno : 0;
}

/* Under the filter only what it allows may be called: _exit carries the result. */
static int under_filter(const struct seccomp_filter *filter)
{
	int wrong = 0;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (seccomp_filter_load(filter) < 0)
		return 1;
	if (errno_of(SYS_getpid, 0) != 0)
		wrong |= 2;
	if (errno_of(SYS_getppid, 0) != ENOTTY)
		wrong |= 4;
	if (errno_of(SYS_getuid, 0) != EPERM)
		wrong |= 8;
	/* faccessat2 (439) is the newest that is named: 450 is newer. */
	if (errno_of(450, 0) != ENOSYS)
		wrong |= 16;
	if (errno_of(SYS_dup, 1) != 0 || errno_of(SYS_dup, 2) != 0)
		wrong |= 32;
	if (errno_of(SYS_dup, 0) != EPERM)
		wrong |= 64;
	return wrong;
}

static void assert_works(const struct seccomp_filter *filter)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		syscall(SYS_exit_group, under_filter(filter));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_filter(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter filter = { 0 };

	(void)state;
	assert_no_error(seccomp_filter_build(&filter, &profile, NULL, &err), &err);
	assert_false(filter.notify);
	assert_works(&filter);
}

static void test_many_architectures(void **state)
{
	char *architectures[] = { (char[]){ "SCMP_ARCH_X86_64" }, (char[]){ "SCMP_ARCH_X86" },
				  (char[]){ "SCMP_ARCH_X32" }, (char[]){ "SCMP_ARCH_LOONGARCH64" } };
	struct seccomp_profile many = profile;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter filter = { 0 };

	(void)state;
#ifndef __x86_64__
	skip();
#endif
	many.architectures = architectures;
	many.architecture_count = 4;
	assert_no_error(seccomp_filter_build(&filter, &many, NULL, &err), &err);
	assert_works(&filter);
}

static char *cache_file(void)
{
	AUTO_CLOSEDIR DIR *dir = opendir(cache);
	const struct dirent *entry;
	char *found = NULL;

	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			found = strdup(entry->d_name);
	return found;
}

static void test_cache(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter first = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter second = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter third = { 0 };
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int fd = -1;
	char byte = 0;

	(void)state;
	assert_no_error(seccomp_filter_build(&first, &profile, cache, &err), &err);
	name = cache_file();
	assert_non_null(name);
	assert_no_error(seccomp_filter_build(&second, &profile, cache, &err), &err);
	assert_int_equal(first.count, second.count);
	assert_memory_equal(first.program, second.program, first.count * sizeof(*first.program));
	assert_works(&second);
	/* A file that is not what its name says does not count: one byte of the program turned over. */
	assert_true(asprintf(&path, "%s/%s", cache, name) > 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(lseek(fd, -3, SEEK_END) > 0 && read(fd, &byte, 1) == 1);
	byte = (char)(byte ^ 0x55);
	assert_true(lseek(fd, -3, SEEK_END) > 0 && write(fd, &byte, 1) == 1);
	assert_no_error(seccomp_filter_build(&third, &profile, cache, &err), &err);
	assert_memory_equal(first.program, third.program, first.count * sizeof(*first.program));
}

/* Two profiles that differ only in where a text ends, or in errnoRet, must not share a program. */
static void test_cache_is_exact(void **state)
{
	struct seccomp_rule other_rules[3];
	struct seccomp_profile other = profile;
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter first = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter second = { 0 };

	(void)state;
	memcpy(other_rules, rules, sizeof(rules));
	other_rules[1].errno_ret.value = EINVAL;
	other.rules = other_rules;
	assert_no_error(seccomp_filter_build(&first, &profile, cache, &err), &err);
	assert_no_error(seccomp_filter_build(&second, &other, cache, &err), &err);
	assert_true(first.count != second.count ||
		    memcmp(first.program, second.program, first.count * sizeof(*first.program)) != 0);
}

/* A folder that others may write into is no cache. */
static void test_cache_is_ours(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter filter = { 0 };
	char shared[64];

	(void)state;
	snprintf(shared, sizeof(shared), "%s/shared", cache);
	assert_int_equal(mkdir(shared, 0700), 0);
	assert_int_equal(chmod(shared, 01777), 0);
	assert_no_error(seccomp_filter_build(&filter, &profile, shared, &err), &err);
	assert_int_equal(rmdir(shared), 0); /* nothing was written there */
}

static void assert_refused(const struct seccomp_profile *bad, const char *words)
{
	AUTO(error_clear) struct error err = { 0 };
	struct seccomp_filter filter;

	assert_int_equal(seccomp_filter_build(&filter, bad, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.message, words));
}

static void test_bad_profiles(void **state)
{
	char *flags[] = { (char[]){ "SECCOMP_FILTER_FLAG_NOPE" } };
	char *architectures[] = { (char[]){ "SCMP_ARCH_PDP11" } };
	const struct seccomp_arg bad_arg = { 6, 0, 0, "SCMP_CMP_EQ" };
	struct seccomp_rule rule = rules[0];
	struct seccomp_profile bad = { .default_action = "SCMP_ACT_MAYBE" };

	(void)state;
	assert_refused(&bad, "SCMP_ACT_MAYBE");
	bad.default_action = "SCMP_ACT_NOTIFY";
	assert_refused(&bad, "default");
	bad.default_action = "SCMP_ACT_ALLOW";
	bad.default_errno_ret = (struct optional_u64){ true, 1 };
	assert_refused(&bad, "errnoRet");
	bad.default_errno_ret.set = false;
	bad.flags = flags;
	bad.flag_count = 1;
	assert_refused(&bad, "SECCOMP_FILTER_FLAG_NOPE");
	bad.flag_count = 0;
	bad.architectures = architectures;
	bad.architecture_count = 1;
	assert_refused(&bad, "PDP11");
	bad.architecture_count = 0;
	bad.rules = &rule;
	bad.rule_count = 1;
	rule.action = "SCMP_ACT_NOTIFY";
	assert_refused(&bad, "write");
	rule.action = "SCMP_ACT_ERRNO";
	rule.args = &bad_arg;
	rule.arg_count = 1;
	assert_refused(&bad, "index");
}

static void test_notify(void **state)
{
	char *names[] = { (char[]){ "getppid" } };
	const struct seccomp_rule rule = { .names = names, .name_count = 1, .action = "SCMP_ACT_NOTIFY" };
	const struct seccomp_profile notify = { .default_action = "SCMP_ACT_ALLOW", .rules = &rule, .rule_count = 1 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(seccomp_filter_fini) struct seccomp_filter filter = { 0 };
	int status = -1;
	pid_t pid;

	(void)state;
	assert_no_error(seccomp_filter_build(&filter, &notify, NULL, &err), &err);
	assert_true(filter.notify);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(seccomp_filter_load(&filter) > 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter),	      cmocka_unit_test(test_many_architectures),
		cmocka_unit_test(test_cache),	      cmocka_unit_test(test_cache_is_exact),
		cmocka_unit_test(test_cache_is_ours), cmocka_unit_test(test_bad_profiles),
		cmocka_unit_test(test_notify),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
