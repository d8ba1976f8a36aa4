/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "unit/unit.h"

static char path[] = "/tmp/kist-trace-XXXXXX";

static char *contents(void)
{
	char *text = NULL;

	assert_int_equal(file_read(&text, NULL, AT_FDCWD, path, 1 << 20), 0);
	return text;
}

static void off(void **state)
{
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	trace_mark(NULL, "nothing");
	trace_is_init(NULL);
	assert_no_error(trace_close(NULL, &err), &err);
}

/* The other process's steps arrive without a word from it, also if it is killed. */
static void both_sides(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct trace *trace = NULL;
	char *text;
	pid_t pid;

	(void)state;
	assert_no_error(trace_open(&trace, path, &err), &err);
	trace_mark(trace, "one");
	pid = fork();
	if (pid == 0) {
		trace_is_init(trace);
		trace_mark_name(trace, "mount ", "/a \"quoted\" place");
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	trace_mark(trace, "two");
	assert_no_error(trace_close(trace, &err), &err);
	text = contents();
	assert_non_null(strstr(text, "{\"side\":\"host\",\"step\":\"one\",\"begin_us\":0.0,\"took_us\":"));
	assert_non_null(strstr(text, "{\"side\":\"init\",\"step\":\"mount /a \\\"quoted\\\" place\",\"begin_us\":"));
	assert_non_null(strstr(text, "{\"side\":\"host\",\"step\":\"two\",\"begin_us\":"));
	free(text);
}

/* More steps and longer names than there is room for: cut, never beyond. */
static void limits(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct trace *trace = NULL;
	char name[500];
	char *text;
	size_t lines = 0;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_no_error(trace_open(&trace, path, &err), &err);
	for (int i = 0; i < 5000; i++)
		trace_mark(trace, name);
	assert_no_error(trace_close(trace, &err), &err);
	text = contents();
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 1024);
	assert_null(strstr(text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
	free(text);
}

static void bad_path(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct trace *trace = NULL;

	(void)state;
	assert_int_equal(trace_open(&trace, "/no/such/folder/trace", &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_null(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off),
		cmocka_unit_test(both_sides),
		cmocka_unit_test(limits),
		cmocka_unit_test(bad_path),
	};
	int fd = mkstemp(path);
	int r;

	if (fd < 0)
		return 1;
	close(fd);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return r;
}
