/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container_restart.h"

#include <string.h>

#include "base/clock.h"
#include "engine/container_document.h"
#include "unit/unit.h"

static void test_pauses_double_up_to_a_minute(void **state)
{
	static const int64_t expected[] = { 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000 };
	int64_t delay_ms = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		delay_ms = restart_delay_ms(delay_ms, CLOCK_SECOND);
		assert_int_equal(delay_ms, expected[i]);
	}
	/* A run of ten seconds counts as a good one. */
	assert_int_equal(restart_delay_ms(delay_ms, 10 * CLOCK_SECOND - 1), 60000);
	assert_int_equal(restart_delay_ms(delay_ms, 10 * CLOCK_SECOND), 100);
}

static bool wants(const char *name, int64_t retries, int64_t exit_code, int64_t count)
{
	const struct restart_policy policy = { .name = (char *)(uintptr_t)name, .maximum_retry_count = retries };

	return restart_is_wanted(&policy, exit_code, count);
}

static void test_policies(void **state)
{
	(void)state;
	assert_false(wants("no", 0, 1, 0));
	assert_false(wants("", 0, 1, 0));
	assert_true(wants("always", 0, 0, 1000));
	assert_true(wants("unless-stopped", 0, 0, 1000));
	assert_false(wants("on-failure", 0, 0, 0));
	assert_true(wants("on-failure", 0, 1, 1000));
	assert_true(wants("on-failure", 3, 1, 2));
	assert_false(wants("on-failure", 3, 1, 3));
}

static bool opens(const char *name, bool stopped, int64_t exit_code, bool was_started)
{
	const struct container_document document = {
		.host.restart_policy.name = (char *)(uintptr_t)name,
		.state = { .manually_stopped = stopped, .exit_code = exit_code, .started_ns = was_started },
	};

	return restart_at_open(&document);
}

static void test_who_starts_with_the_engine(void **state)
{
	(void)state;
	assert_true(opens("always", true, 0, true));
	assert_false(opens("always", false, 0, false));
	assert_true(opens("unless-stopped", false, 0, true));
	assert_false(opens("unless-stopped", true, 0, true));
	assert_true(opens("on-failure", false, 1, true));
	assert_false(opens("on-failure", true, 137, true));
	assert_false(opens("on-failure", false, 0, true));
	assert_false(opens("no", false, 1, true));
}

#define IDENTITY(letter) letter letter letter letter letter letter letter letter letter letter letter letter

static void test_nobody_starts_before_whom_he_needs(void **state)
{
	char *link_items[] = { (char *)(uintptr_t) "/database:db", NULL };
	char *from_items[] = { (char *)(uintptr_t) "files:ro", NULL };
	/* Newest first, as the engine lists them. */
	const struct container_document documents[] = {
		{ .id = (char *)(uintptr_t)IDENTITY("a"), .name = (char *)(uintptr_t) "files" },
		{ .id = (char *)(uintptr_t)IDENTITY("b"),
		  .name = (char *)(uintptr_t) "database",
		  .host.volumes_from = { .items = from_items, .count = 1 } },
		{ .id = (char *)(uintptr_t)IDENTITY("c"),
		  .name = (char *)(uintptr_t) "web",
		  .host.links = { .items = link_items, .count = 1 } },
		{ .id = (char *)(uintptr_t)IDENTITY("d"),
		  .name = (char *)(uintptr_t) "watcher",
		  .host.network_mode = (char *)(uintptr_t) "container:" IDENTITY("c") },
		{ .id = (char *)(uintptr_t)IDENTITY("e"),
		  .name = (char *)(uintptr_t) "circle",
		  .host.pid_mode = (char *)(uintptr_t) "container:circle" },
	};
	const struct container_document *all[5];
	static const size_t expected[] = { 4, 0, 1, 2, 3 };
	size_t order[5];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		all[i] = &documents[i];
	restart_order(order, all, 5);
	assert_memory_equal(order, expected, sizeof(order));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pauses_double_up_to_a_minute),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_who_starts_with_the_engine),
		cmocka_unit_test(test_nobody_starts_before_whom_he_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
