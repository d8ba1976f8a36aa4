/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "unit/unit.h"

static void test_reads_like_a_sentence(void **state)
{
	AUTO(error_clear) struct error err = { 0 };

	(void)state;
	assert_int_equal(error_set_errno(&err, ERR_NOT_FOUND, -ENOENT, "open %s", "tmp/3c"), -1);
	assert_int_equal(error_prefix(&err, "fetch layer"), -1);
	assert_string_equal(err.message, "fetch layer: open tmp/3c: No such file or directory");
	assert_int_equal(err.errnum, ENOENT);
	assert_string_equal(error_kind_name(err.kind), "not_found");
	assert_int_equal(error_kind_parse("not_found"), ERR_NOT_FOUND);
}

static void test_crosses_a_pipe(void **state)
{
	AUTO(error_clear) struct error sent = { 0 };
	AUTO(error_clear) struct error got = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	error_set(&sent, ERR_CONFLICT, "busy");
	assert_int_equal(error_send(fds[1], &sent), 0);
	close(fds[1]);
	assert_int_equal(error_receive(fds[0], &got), 1);
	assert_int_equal(got.kind, ERR_CONFLICT);
	assert_string_equal(got.message, "busy");
	error_clear(&got);
	assert_int_equal(error_receive(fds[0], &got), 0);
	close(fds[0]);
}

struct counter {
	struct mutex mutex;
	struct condition changed;
	int value;
};

static void *count(void *arg)
{
	struct counter *counter = arg;

	for (int i = 0; i < 1000; i++) {
		AUTO_UNLOCK struct mutex *held = mutex_hold(&counter->mutex);

		counter->value++;
		condition_broadcast(&counter->changed);
	}
	return NULL;
}

static void test_threads_count(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct counter counter = { 0 };
	pthread_t threads[2];

	(void)state;
	mutex_init(&counter.mutex);
	condition_init(&counter.changed);
	for (int i = 0; i < 2; i++)
		assert_no_error(thread_start(&threads[i], "count", count, &counter, &err), &err);
	mutex_lock(&counter.mutex);
	while (counter.value < 2000)
		condition_wait(&counter.changed, &counter.mutex);
	assert_false(condition_wait_until(&counter.changed, &counter.mutex, 1));
	mutex_unlock(&counter.mutex);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	condition_fini(&counter.changed);
	mutex_fini(&counter.mutex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_like_a_sentence),
		cmocka_unit_test(test_crosses_a_pipe),
		cmocka_unit_test(test_threads_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
