/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/network_rate.h"

#include <string.h>

#include "unit/unit.h"

static void test_rates(void **state)
{
	static const struct {
		const char *text;
		uint64_t bits;
		uint64_t burst_bits;
	} cases[] = {
		{ "8000", 8000, 65536 * 8 },
		{ "10mbit", 10000000, 65536 * 8 },
		{ "2Mbit/256k", 2000000, 256 * 1024 * 8 },
		{ "1gbit", 1000000000, 3125000 * 8 },
		{ "1mbps", 8000000, 65536 * 8 },
		{ "64kbit/16k", 64000, 16384 * 8 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bits = 0, burst_bits = 0;
		struct error err = { 0 };

		assert_no_error(network_rate_parse(&bits, &burst_bits, cases[i].text, &err), &err);
		assert_int_equal(bits, cases[i].bits);
		assert_int_equal(burst_bits, cases[i].burst_bits);
	}
}

static void test_bad_rates(void **state)
{
	static const char *const cases[] = { "",	"0",	    "7999",	"fast",
					     "10 mbit", "-1mbit",   "500gbit",	"99999999999999999999gbit",
					     "1mbit/",	"1mbit/1k", "1mbit/1g", "1mbit/x",
					     "/64k" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bits, burst_bits;
		struct error err = { 0 };

		if (network_rate_parse(&bits, &burst_bits, cases[i], &err) == 0)
			fail_msg("\"%s\" was taken", cases[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_bad_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
