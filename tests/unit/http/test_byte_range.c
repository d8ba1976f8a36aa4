/* SPDX-License-Identifier: Apache-2.0 */
#include "http/byte_range.h"

#include "unit/unit.h"

static void test_get(void **state)
{
	static const struct {
		const char *header;
		uint64_t size;
		int result;
		uint64_t offset;
		uint64_t count;
	} rows[] = {
		{ NULL, 100, RANGE_WHOLE, 0, 0 },
		{ "bytes=0-9", 100, RANGE_PART, 0, 10 },
		{ "bytes=90-", 100, RANGE_PART, 90, 10 },
		{ "bytes=-10", 100, RANGE_PART, 90, 10 },
		{ "bytes=-1000", 100, RANGE_PART, 0, 100 },
		{ "bytes=50-1000", 100, RANGE_PART, 50, 50 },
		{ "bytes=99-99", 100, RANGE_PART, 99, 1 },
		{ "bytes=100-", 100, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=50-40", 100, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-0", 100, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-5", 0, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=0-1,5-6", 100, RANGE_WHOLE, 0, 0 },
		{ "bytes=a-b", 100, RANGE_WHOLE, 0, 0 },
		{ "bytes=5-b", 100, RANGE_WHOLE, 0, 0 },
		{ "bytes=", 100, RANGE_WHOLE, 0, 0 },
		{ "bytes=-", 100, RANGE_WHOLE, 0, 0 },
		{ "lines=0-9", 100, RANGE_WHOLE, 0, 0 },
		{ "bytes=99999999999999999999-", 100, RANGE_WHOLE, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t offset = 0;
		uint64_t count = 0;

		if ((int)range_parse(&offset, &count, rows[i].header, rows[i].size) != rows[i].result)
			fail_msg("%s of %u", rows[i].header, (unsigned)rows[i].size);
		assert_int_equal(offset, rows[i].offset);
		assert_int_equal(count, rows[i].count);
	}
}

static void test_content(void **state)
{
	static const struct {
		const char *header;
		int result;
		uint64_t first;
		uint64_t last;
	} rows[] = {
		{ "0-99", 0, 0, 99 },	    { "bytes 100-199/500", 0, 100, 199 },
		{ "bytes 5-5/*", 0, 5, 5 }, { "7-6", -22, 0, 0 },
		{ "", -22, 0, 0 },	    { "1", -22, 0, 0 },
		{ "-5", -22, 0, 0 },	    { "a-b", -22, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t first = 0;
		uint64_t last = 0;

		assert_int_equal(range_parse_content(&first, &last, rows[i].header), rows[i].result);
		if (rows[i].result == 0) {
			assert_int_equal(first, rows[i].first);
			assert_int_equal(last, rows[i].last);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
