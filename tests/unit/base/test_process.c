/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "unit/unit.h"

static char *argv_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void test_run_passes_input_and_output(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *output = NULL;
	char *const argv[] = { argv_of("tr"), argv_of("a-z"), argv_of("A-Z"), NULL };

	(void)state;
	assert_no_error(process_run(&output, argv, "hello", 100, &err), &err);
	assert_string_equal(output, "HELLO");
	free(output);
	output = NULL;
	/* The limit itself is not too much. */
	assert_no_error(process_run(&output, argv, "hello", 5, &err), &err);
	assert_string_equal(output, "HELLO");
	free(output);
	output = NULL;
	assert_int_equal(process_run(&output, argv, "hello", 4, &err), -1);
	assert_string_equal(err.message, "tr printed more than 4 bytes");
}

static void test_run_tells_stderr(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	char *const argv[] = { argv_of("sh"), argv_of("-c"), argv_of("echo boom >&2; exit 3"), NULL };

	(void)state;
	assert_int_equal(process_run(NULL, argv, NULL, 100, &err), -1);
	assert_string_equal(err.message, "sh exited with 3: boom");
}

static void test_run_bounds_output(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *output = NULL;
	char *const argv[] = { argv_of("sh"), argv_of("-c"), argv_of("head -c 100000 /dev/zero"), NULL };

	(void)state;
	assert_int_equal(process_run(&output, argv, NULL, 1000, &err), -1);
	assert_non_null(strstr(err.message, "printed more than 1000 bytes"));
}

static void test_spawn_maps_descriptors(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct process process = { .pidfd = -1 };
	struct process_end end;
	int a[2];
	int b[2];
	char got[8] = "";
	char *const argv[] = { argv_of("sh"), argv_of("-c"),
			       argv_of("echo A >&3; echo B >&4; ls /proc/self/fd | wc -l"), NULL };

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_no_error(process_spawn(&process,
				      &(struct process_options){
					      .path = "sh", .argv = argv, .fds = (int[]){ b[1], a[1] }, .fd_count = 2 },
				      &err),
			&err);
	assert_int_equal(process_wait(&process, &end, -1, -1, &err), 1);
	assert_false(end.signaled);
	assert_int_equal(end.code, 0);
	assert_int_equal(read(b[0], got, 2), 2);
	assert_string_equal(got, "A\n");
	assert_int_equal(read(a[0], got, 2), 2);
	assert_string_equal(got, "B\n");
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void test_missing_program_and_signals(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct process process = { .pidfd = -1 };
	struct process_end end;
	char *const none[] = { argv_of("/nonexistent/x"), NULL };
	char *const sleeper[] = { argv_of("sleep"), argv_of("60"), NULL };

	(void)state;
	assert_int_equal(process_spawn(&process, &(struct process_options){ .path = none[0], .argv = none }, &err), -1);
	assert_string_equal(err.message, "start /nonexistent/x: No such file or directory");
	error_clear(&err);
	assert_no_error(process_spawn(&process, &(struct process_options){ .path = "sleep", .argv = sleeper }, &err),
			&err);
	assert_int_equal(process_wait(&process, &end, 10, -1, &err), 0);
	process_kill(&process, SIGTERM);
	assert_int_equal(process_wait(&process, &end, -1, -1, &err), 1);
	assert_true(end.signaled);
	assert_int_equal(end.code, SIGTERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_passes_input_and_output), cmocka_unit_test(test_run_tells_stderr),
		cmocka_unit_test(test_run_bounds_output),	    cmocka_unit_test(test_spawn_maps_descriptors),
		cmocka_unit_test(test_missing_program_and_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
