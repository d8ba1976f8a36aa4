/* SPDX-License-Identifier: Apache-2.0 */
#include "json/value.h"

#include <string.h>

#include "unit/unit.h"

static void test_walk_and_print(void **state)
{
	static const char text[] = "{\"b\":[1,2.5,true,null,\"x\"],\"a\":{}}";
	AUTO(error_clear) struct error err = { 0 };
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO(text_fini) struct text out = { 0 };
	AUTO(text_list_fini) struct text_list keys = { 0 };
	const struct json_value *list;

	(void)state;
	assert_no_error(json_value_parse(&value, text, strlen(text), &err), &err);
	list = json_value_get(value, "b");
	assert_int_equal(json_value_count(list), 5);
	assert_int_equal(json_value_integer(json_value_at(list, 0)), 1);
	assert_int_equal(json_value_type(json_value_at(list, 3)), JSON_TYPE_NULL);
	assert_int_equal(json_value_type(json_value_get(value, "zz")), JSON_TYPE_NULL);
	assert_string_equal(json_value_text(json_value_at(list, 4)), "x");
	json_value_keys(&keys, value, true);
	assert_string_equal(keys.items[0], "a");
	json_value_encode(&out, value, NULL);
	assert_string_equal(out.data, text);
	text_reset(&out);
	json_value_encode(&out, json_value_get(value, "a"), "  ");
	assert_string_equal(out.data, "{}");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_walk_and_print) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
