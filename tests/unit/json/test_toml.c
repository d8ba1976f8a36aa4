/* SPDX-License-Identifier: Apache-2.0 */
#include "json/toml.h"

#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_documents(void **state)
{
	static const struct {
		const char *toml;
		const char *json;
	} rows[] = {
		{ "", "{}" },
		{ "# only a comment", "{}" },
		{ "a = 1 # one\r\nb='x'\n", "{\"a\":1,\"b\":\"x\"}" },
		{ "a.b.c = true\na.d = false", "{\"a\":{\"b\":{\"c\":true},\"d\":false}}" },
		{ "\"q.k\".'x y' = \"\"", "{\"q.k\":{\"x y\":\"\"}}" },
		{ "a = [1, 2,\n  # between\n 3,\n]", "{\"a\":[1,2,3]}" },
		{ "a = [[\"x\"], []]", "{\"a\":[[\"x\"],[]]}" },
		{ "a = { b = 1, c.d = \"2\" }", "{\"a\":{\"b\":1,\"c\":{\"d\":\"2\"}}}" },
		{ "[t]\na = 1\n[t.u]\nb = 2\n[v]", "{\"t\":{\"a\":1,\"u\":{\"b\":2}},\"v\":{}}" },
		{ "[a.b]\n[a]\nc = 1", "{\"a\":{\"b\":{},\"c\":1}}" },
		{ "[[r]]\na = 1\n[[r.m]]\nb = 2\n[[r.m]]\nb = 3\n[[r]]\na = 4",
		  "{\"r\":[{\"a\":1,\"m\":[{\"b\":2},{\"b\":3}]},{\"a\":4}]}" },
		{ "[host.\"https://m:5000/x\"]\nskip_verify = true",
		  "{\"host\":{\"https://m:5000/x\":{\"skip_verify\":true}}}" },
		{ "a = \"\\t\\\"\\\\\\u00e9\\U0001F600\"", "{\"a\":\"\\u0009\\\"\\\\\xc3\xa9\xf0\x9f\x98\x80\"}" },
		{ "a = 'C:\\x'", "{\"a\":\"C:\\\\x\"}" },
		{ "a = \"\"\"\none\n  two \\\n   three\"\"\"", "{\"a\":\"one\\u000a  two three\"}" },
		{ "a = '''x''y''''", "{\"a\":\"x''y'\"}" },
		{ "a = +1_000\nb = -2.5e3\nc = 0xff\nd = 0o17\ne = 0b101",
		  "{\"a\":1000,\"b\":-2.5e3,\"c\":255,\"d\":15,\"e\":5}" },
		{ "a = 1979-05-27T07:32:00Z", "{\"a\":\"1979-05-27T07:32:00Z\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *json = NULL;

		assert_int_equal(toml_to_json(&json, rows[i].toml, strlen(rows[i].toml), &err), 0);
		assert_string_equal(json, rows[i].json);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *toml;
		const char *message;
	} rows[] = {
		{ "a", "line 1: expected = behind the name" },
		{ "\n\na = ", "line 3: expected a value" },
		{ "a = 1 b = 2", "line 1: expected the end of the line" },
		{ "a = 1\na = 2", "line 2: this name is there twice" },
		{ "[a]\n[a]", "line 2: this name is there twice" },
		{ "a = 1\n[a]", "line 2: this name is there twice" },
		{ "a = 1\na.b = 2", "line 2: this name is no table" },
		{ "a = []\n[[a]]", "line 2: this name is no list of tables" },
		{ "a = \"x", "line 1: a text without an end" },
		{ "a = \"x\ny\"", "line 1: a text without an end" },
		{ "a = \"\\x\"", "line 1: a backslash before nothing it could mean" },
		{ "a = \"\\ud800\"", "line 1: there is no character of that number" },
		{ "a = [1 2]", "line 1: expected a comma or the end of the list" },
		{ "a = {b = 1", "line 1: expected a comma or the end of the table" },
		{ "a = 01", "line 1: expected a value" },
		{ "a = nan", "line 1: expected a value" },
		{ "a = 99999999999999999999", "line 1: the number is too large" },
		{ "[a", "line 1: expected the end of the table's name" },
		{ "= 1", "line 1: expected a name" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *json = NULL;

		assert_int_equal(toml_to_json(&json, rows[i].toml, strlen(rows[i].toml), &err), -1);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void test_depth(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *json = NULL;
	char deep[1000] = "a = ";

	(void)state;
	memset(deep + 4, '[', sizeof(deep) - 5);
	assert_int_equal(toml_to_json(&json, deep, strlen(deep), &err), -1);
	assert_string_equal(err.message, "line 1: nested too deep");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
