/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_good(void **state)
{
	static const char text[] =
		"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"b0\"},{\"name\":\"eth0\",\"sandbox\":\"/n\"}],"
		"\"ips\":[{\"address\":\"10.1.0.5/16\",\"gateway\":\"10.1.0.1\",\"interface\":1}],"
		"\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dns\":{\"nameservers\":[\"10.1.0.1\"]}}\n";
	struct cni_result result = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_no_error(cni_result_parse(&result, text, strlen(text), &err), &err);
	assert_int_equal(result.interfaces.count, 2);
	assert_string_equal(result.ips.items[0].address, "10.1.0.5/16");
	assert_int_equal(result.ips.items[0].interface.value, 1);
	assert_string_equal(result.dns.servers.items[0], "10.1.0.1");
	cni_result_fini(&result);
	/* A plugin without a result of its own. */
	assert_no_error(cni_result_parse(&result, " \n", 2, &err), &err);
	assert_int_equal(result.ips.count, 0);
	cni_result_fini(&result);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{ "hello", "JSON" },
		{ "[]", "object" },
		{ "{\"ips\":[{}]}", "address" },
		{ "{\"ips\":[{\"address\":\"ten\"}]}", "\"ten\" is no address" },
		{ "{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "is no address with a prefix" },
		{ "{\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"10.0.0.1/8\"}]}", "gateway" },
		{ "{\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":0}]}", "interface 0 of 0" },
		{ "{\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":-1}]}", "interface -1" },
		{ "{\"routes\":[{\"dst\":\"default\"}]}", "route" },
		{ "{\"ips\":7}", "ips" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cni_result result = { 0 };
		struct error err = { 0 };

		assert_int_equal(cni_result_parse(&result, cases[i].text, strlen(cases[i].text), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.message, cases[i].words))
			fail_msg("%s: %s", cases[i].text, err.message);
		error_clear(&err);
	}
}

static void test_failures(void **state)
{
	static const char whole[] = "{\"code\":7,\"msg\":\"no subnet\",\"details\":\"in range 1\"}";
	char *sentence = cni_failure_text(whole, strlen(whole));

	(void)state;
	assert_string_equal(sentence, "no subnet; in range 1");
	free(sentence);
	assert_null(cni_failure_text("oops", 4));
	assert_null(cni_failure_text("{}", 2));
}

static void test_versions(void **state)
{
	(void)state;
	assert_true(cni_version_is_known("0.3.0"));
	assert_true(cni_version_is_known("1.1.0"));
	assert_false(cni_version_is_known("0.2.0"));
	assert_false(cni_version_is_known(NULL));
	assert_true(cni_version_has_families("0.4.0"));
	assert_false(cni_version_has_families("1.0.0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
