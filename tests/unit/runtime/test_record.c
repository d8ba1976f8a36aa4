/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "sys/pidfd_wait.h"
#include "unit/unit.h"

static char root[] = "/tmp/kist-record-XXXXXX";
static struct runtime runtime = { .root = root };

static void ids(void **state)
{
	static const char *const good[] = { "a", "A9", "a_b+c-d.e", "0" };
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "a b", "\xc3\xa4", "a\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };

		assert_no_error(record_check_id(good[i], &err), &err);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };

		assert_int_equal(record_check_id(bad[i], &err), -1);
	}
}

static void save_and_load(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(record_fini) struct record record = { .id = xstrdup("c"), .pid = getpid(), .own_pid_namespace = true };
	AUTO(record_fini) struct record loaded = { 0 };
	AUTO_CLOSE int folder = record_make_folder(&runtime, "c", &err);

	(void)state;
	assert_true(folder >= 0);
	record.start_time = pid_start_time(getpid());
	assert_no_error(record_begin(folder, &record, "{\"ociVersion\":\"1.0.0\"}", 22, &err), &err);
	assert_no_error(record_save(folder, &record, &err), &err);
	assert_no_error(record_load(&loaded, folder, "c", &err), &err);
	assert_true(record_is_alive(&loaded) && loaded.own_pid_namespace);
	assert_int_equal(record_status(&loaded, folder), RUNTIME_RUNNING);
	assert_int_equal(file_write_atomic(folder, "start", "", 0, 0600, FILE_NO_SYNC), 0);
	assert_int_equal(record_status(&loaded, folder), RUNTIME_CREATED);
	loaded.start_time++; /* a pid that was reused */
	assert_int_equal(record_status(&loaded, folder), RUNTIME_STOPPED);
	assert_int_equal(record_make_folder(&runtime, "c", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	error_clear(&err);
	assert_no_error(record_remove_folder(&runtime, "c", &err), &err);
	assert_int_equal(record_open_folder(&runtime, "c", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void a_zombie_has_stopped(void **state)
{
	struct record record = { 0 };
	siginfo_t info;

	(void)state;
	record.pid = fork();
	if (record.pid == 0)
		_exit(0);
	waitid(P_PID, (id_t)record.pid, &info, WEXITED | WNOWAIT);
	record.start_time = pid_start_time((pid_t)record.pid);
	assert_false(record_is_alive(&record));
	waitpid((pid_t)record.pid, NULL, 0);
}

static void damage_is_told(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(record_fini) struct record record = { 0 };
	AUTO_CLOSE int folder = record_make_folder(&runtime, "d", &err);

	(void)state;
	assert_no_error(record_load(&record, folder, "d", &err), &err); /* nothing written yet */
	assert_int_equal(record.pid, 0);
	assert_int_equal(record_status(&record, folder), RUNTIME_CREATING);
	assert_int_equal(file_write_atomic(folder, "state.json", "{\"pid\":", 7, 0600, FILE_NO_SYNC), 0);
	record_fini(&record);
	assert_int_equal(record_load(&record, folder, "d", &err), -1);
	assert_non_null(strstr(err.message, "damaged"));
	error_clear(&err);
	assert_no_error(record_remove_folder(&runtime, "d", &err), &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(a_zombie_has_stopped),
		cmocka_unit_test(damage_is_told),
	};
	int failed;

	if (!mkdtemp(root))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(root);
	return failed;
}
