/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sys/cpu_list.h"

static void lists_are_read(void **state)
{
	struct cpu_list list;

	(void)state;
	assert_int_equal(cpu_list_parse(&list, "0-3,8,70"), 0);
	assert_int_equal(list.words[0], 0x10f);
	assert_int_equal(list.words[1], 1UL << 6);
	assert_int_equal(cpu_list_count(&list), 6);
	assert_int_equal(cpu_list_parse(&list, ""), 0);
	assert_int_equal(cpu_list_count(&list), 0);
	assert_int_equal(cpu_list_parse(&list, "8191"), 0);
	assert_int_equal(cpu_list_count(&list), 1);
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const bad[] = { "a", "1-", "-1", "1,,2", "1,", "3-1", "0x1", " 1", "1-2-3" };
	struct cpu_list list;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cpu_list_parse(&list, bad[i]), -EINVAL);
	assert_int_equal(cpu_list_parse(&list, "8192"), -ERANGE);
	assert_int_equal(cpu_list_parse(&list, "0-99999999999999999999999"), -ERANGE);
}

static void a_process_can_be_put_anywhere(void **state)
{
	struct cpu_list list;

	(void)state;
	assert_int_equal(cpu_list_parse(&list, ""), 0);
	assert_int_equal(cpu_list_apply(&list), -EINVAL);
	assert_int_equal(cpu_list_apply_all(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(a_process_can_be_put_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
