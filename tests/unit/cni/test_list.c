/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/list.h"

#include <stdlib.h>
#include <string.h>

#include "unit/unit.h"

static void test_good(void **state)
{
	struct cni_list list = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_no_error(cni_list_parse(&list,
				       "{\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"0.4.0\",\"1.1.0\",\"9.0.0\"],"
				       "\"name\":\"net\",\"disableCheck\":true,\"plugins\":[{\"type\":\"a\"},"
				       "{\"type\":\"b\",\"capabilities\":{\"portMappings\":true,\"mac\":false}}]}",
				       &err),
			&err);
	assert_string_equal(list.name, "net");
	assert_string_equal(list.version, "1.1.0");
	assert_true(list.no_check);
	assert_false(list.no_collect);
	assert_int_equal(cni_list_count(&list), 2);
	assert_string_equal(cni_list_type(&list, 1), "b");
	assert_true(cni_list_can(&list, "portMappings"));
	assert_false(cni_list_can(&list, "mac"));
	assert_false(cni_plugin_can(cni_list_plugin(&list, 0), "portMappings"));
	cni_list_fini(&list);
	/* One plugin, without a list around it. */
	assert_no_error(cni_list_parse(&list, "{\"cniVersion\":\"1.0.0\",\"name\":\"one\",\"type\":\"a\"}", &err),
			&err);
	assert_int_equal(cni_list_count(&list), 1);
	assert_string_equal(cni_list_type(&list, 0), "a");
	cni_list_fini(&list);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{ "{", "JSON" },
		{ "{\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"a\"}]}", "has no name" },
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}]}", "version \"\" is not spoken" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[]}", "0 plugins" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{}]}", "plugin 1 has no type" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},7]}",
		  "plugin 2 has no type" },
		{ "[1]", "no name" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cni_list list = { 0 };
		struct error err = { 0 };

		assert_int_equal(cni_list_parse(&list, cases[i].text, &err), -1);
		if (!strstr(err.message, cases[i].words))
			fail_msg("%s: %s", cases[i].text, err.message);
		error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
