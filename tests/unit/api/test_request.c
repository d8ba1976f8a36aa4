/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/request.h"

#include <string.h>

#include "unit/unit.h"

static void test_booleans_as_docker_reads_them(void **state)
{
	static const char *const no[] = { "", "0", "no", "No", "FALSE", "none", "  false " };
	static const char *const yes[] = { "1", "true", "True", "yes", "on", "x", "00" };

	(void)state;
	assert_false(docker_bool(NULL));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(docker_bool(no[i]));
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(docker_bool(yes[i]));
}

static void test_versions_compare(void **state)
{
	int64_t old = 0;
	int64_t new = 0;

	(void)state;
	assert_int_equal(api_version_parse(&old, "1.9/", 3), 0);
	assert_int_equal(api_version_parse(&new, "1.24", 4), 0);
	assert_int_equal(new, API_VERSION(1, 24));
	assert_true(old < new);
	assert_int_equal(api_version_parse(&new, "2", 1), 0);
	assert_int_equal(new, API_VERSION(2, 0));
	assert_true(api_version_parse(&new, "1.", 2) < 0);
	assert_true(api_version_parse(&new, "1.2.3", 5) < 0);
	assert_true(api_version_parse(&new, "", 0) < 0);
	assert_true(api_version_parse(&new, "99999999999999999999.1", 22) < 0);
}

static void test_mux_header(void **state)
{
	const uint8_t expected[] = { 2, 0, 0, 0, 0x01, 0x02, 0x03, 0x04 };
	uint8_t header[MUX_HEADER_BYTES];

	(void)state;
	mux_header(header, 2, 0x01020304);
	assert_memory_equal(header, expected, sizeof(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_booleans_as_docker_reads_them),
		cmocka_unit_test(test_versions_compare),
		cmocka_unit_test(test_mux_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
