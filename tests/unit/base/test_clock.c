/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "unit/unit.h"

static void test_formats_as_go(void **state)
{
	char text[CLOCK_TEXT_MAX];
	int64_t ns = 0;

	(void)state;
	assert_string_equal(clock_format(text, 0), "0001-01-01T00:00:00Z");
	assert_string_equal(clock_format(text, 1500000000 * CLOCK_SECOND), "2017-07-14T02:40:00Z");
	assert_string_equal(clock_format(text, 1500000000 * CLOCK_SECOND + 120000000), "2017-07-14T02:40:00.12Z");
	assert_string_equal(clock_format_fixed(text, 1500000000 * CLOCK_SECOND), "2017-07-14T02:40:00.000000000Z");
	assert_int_equal(clock_parse(&ns, "2017-07-14T04:40:00.12+02:00"), 0);
	assert_true(ns == 1500000000 * CLOCK_SECOND + 120000000);
	assert_true(clock_parse(&ns, "2017-07-14") < 0);
	assert_true(clock_parse(&ns, "2017-13-14T04:40:00Z") < 0);
	assert_true(clock_parse(&ns, "2017-07-14T04:40:00") < 0);
}

static void test_durations(void **state)
{
	static const char *const texts[] = { "1ns", "1.5ms", "500ms", "30s", "1m30s", "1h0m0s", "-2.25s" };
	char out[CLOCK_TEXT_MAX];
	int64_t ns = 0;

	(void)state;
	assert_int_equal(clock_parse_duration(&ns, "1h2m3.5s"), 0);
	assert_true(ns == INT64_C(3723500) * CLOCK_MS);
	assert_int_equal(clock_parse_duration(&ns, "100ms"), 0);
	assert_true(ns == 100 * CLOCK_MS);
	assert_int_equal(clock_parse_duration(&ns, "-5s"), 0);
	assert_true(ns == -5 * CLOCK_SECOND);
	assert_true(clock_parse_duration(&ns, "5") < 0);
	assert_true(clock_parse_duration(&ns, "") < 0);
	assert_true(clock_parse_duration(&ns, "5x") < 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(clock_parse_duration(&ns, texts[i]), 0);
		assert_string_equal(clock_format_duration(out, ns), texts[i]);
	}
	assert_string_equal(clock_format_duration(out, 0), "0s");
	assert_int_equal(clock_parse_moment(&ns, "1500000000.5"), 0);
	assert_true(ns == 1500000000 * CLOCK_SECOND + 500000000);
	assert_int_equal(clock_parse_moment(&ns, "2017-07-14"), 0);
	assert_true(clock_parse_moment(&ns, "99999999999999999999") < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_formats_as_go), cmocka_unit_test(test_durations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
