/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include "base/clock.h"
#include "engine/container_view.h"

static const struct {
	int64_t seconds;
	const char *text;
} durations[] = {
	{ 0, "Less than a second" }, { 1, "1 second" },		 { 59, "59 seconds" },	  { 60, "About a minute" },
	{ 119, "About a minute" },   { 120, "2 minutes" },	 { 3599, "59 minutes" },  { 3600, "About an hour" },
	{ 7200, "2 hours" },	     { 47 * 3600, "47 hours" },	 { 3 * 86400, "3 days" }, { 20 * 86400, "2 weeks" },
	{ 90 * 86400, "3 months" },  { 800 * 86400, "2 years" },
};

static void test_durations(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		AUTO_FREE char *text = human_duration(durations[i].seconds * CLOCK_SECOND);

		assert_string_equal(text, durations[i].text);
	}
}

static void assert_status(const struct container_state *container, const char *state, const char *status)
{
	AUTO_FREE char *text = container_status_text(container, 1000 * CLOCK_SECOND);

	assert_string_equal(container_status(container), state);
	assert_string_equal(text, status);
}

static void test_status(void **state)
{
	struct container_state container = { 0 };

	(void)state;
	assert_status(&container, "created", "Created");
	container.running = true;
	container.started_ns = 700 * CLOCK_SECOND;
	assert_status(&container, "running", "Up 5 minutes");
	container.paused = true;
	assert_status(&container, "paused", "Up 5 minutes (Paused)");
	container.paused = false;
	container.restarting = true;
	container.exit_code = 1;
	container.finished_ns = 998 * CLOCK_SECOND;
	assert_status(&container, "restarting", "Restarting (1) 2 seconds ago");
	container.running = false;
	container.restarting = false;
	container.exit_code = 137;
	assert_status(&container, "exited", "Exited (137) 2 seconds ago");
	container.removing = true;
	assert_status(&container, "removing", "Removal In Progress");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
