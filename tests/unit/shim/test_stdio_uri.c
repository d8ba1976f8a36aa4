/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stdio_uri.h"

#include "base/cleanup.h"
#include "shim/bundle.h"
#include "unit/unit.h"

static void test_outputs(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct stdio_uri uri;

	(void)state;
	assert_no_error(stdio_uri_parse_output(&uri, "", &err), &err);
	assert_int_equal(uri.kind, STDIO_NONE);
	assert_null(uri.path);
	assert_no_error(stdio_uri_parse_output(&uri, "none:", &err), &err);
	assert_int_equal(uri.kind, STDIO_NONE);
	assert_string_equal(uri.path, "");
	stdio_uri_fini(&uri);
	assert_no_error(stdio_uri_parse_output(&uri, "/run/fifo/1?x", &err), &err);
	assert_int_equal(uri.kind, STDIO_PATH);
	assert_string_equal(uri.path, "/run/fifo/1?x");
	stdio_uri_fini(&uri);
	assert_no_error(stdio_uri_parse_output(&uri, "file:///a%20b%3f", &err), &err);
	assert_int_equal(uri.kind, STDIO_FILE);
	assert_string_equal(uri.path, "/a b?");
	stdio_uri_fini(&uri);
	assert_no_error(stdio_uri_parse_output(&uri, "json-file:///v/c-json.log?max-size=1000&max-file=3", &err), &err);
	assert_int_equal(uri.kind, STDIO_JSON_FILE);
	assert_string_equal(uri.path, "/v/c-json.log");
	assert_int_equal(uri.max_size, 1000);
	assert_int_equal(uri.max_file, 3);
	stdio_uri_fini(&uri);
	assert_no_error(
		stdio_uri_parse_output(
			&uri, "json-file:///v/c?compress=1&send=1&helper=/x/kist-log&attrs=%7b%22a%22:1%7d", &err),
		&err);
	assert_true(uri.compress && uri.send);
	assert_string_equal(uri.helper, "/x/kist-log");
	assert_string_equal(uri.attributes, "{\"a\":1}");
	stdio_uri_fini(&uri);
	assert_no_error(stdio_uri_parse_output(&uri, "binary:///x/logger?--id=a%20b&flag", &err), &err);
	assert_int_equal(uri.kind, STDIO_BINARY);
	assert_string_equal(uri.path, "/x/logger");
	assert_int_equal(uri.arguments.count, 3);
	assert_string_equal(uri.arguments.items[1], "a b");
	assert_string_equal(uri.arguments.items[2], "flag");
	stdio_uri_fini(&uri);
}

static void test_inputs(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	struct stdio_uri uri;

	(void)state;
	assert_no_error(stdio_uri_parse_input(&uri, NULL, &err), &err);
	assert_int_equal(uri.kind, STDIO_NONE);
	assert_no_error(stdio_uri_parse_input(&uri, "attach:", &err), &err);
	assert_int_equal(uri.kind, STDIO_ATTACH);
	assert_false(uri.once);
	stdio_uri_fini(&uri);
	assert_no_error(stdio_uri_parse_input(&uri, "attach:?once=1", &err), &err);
	assert_true(uri.once);
	stdio_uri_fini(&uri);
}

static void assert_refused(const char *text, enum error_kind kind, const char *message)
{
	AUTO(error_clear) struct error err = { 0 };
	struct stdio_uri uri;

	assert_int_equal(stdio_uri_parse_output(&uri, text, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_string_equal(err.message, message);
}

static void test_refused(void **state)
{
	(void)state;
	assert_refused("syslog://x", ERR_UNSUPPORTED, "stdio syslog://x: unknown scheme");
	assert_refused("attach:", ERR_UNSUPPORTED, "stdio attach:: unknown scheme");
	assert_refused("json-file://x", ERR_INVALID, "stdio json-file://x: not an absolute path");
	assert_refused("file:///%", ERR_INVALID, "stdio file:///%: malformed percent escape");
	assert_refused("file:///%00", ERR_INVALID, "stdio file:///%00: malformed percent escape");
	assert_refused("file:///%4", ERR_INVALID, "stdio file:///%4: malformed percent escape");
	assert_refused("json-file:///x?max-size=1m", ERR_INVALID,
		       "stdio json-file:///x?max-size=1m: option max-size=1m: not a number");
	assert_refused("json-file:///x?max-file=0", ERR_INVALID,
		       "stdio json-file:///x?max-file=0: option max-file=0: from 1 to 10000");
	assert_refused("json-file:///x?once=1", ERR_INVALID, "stdio json-file:///x?once=1: unknown option once=1");
	assert_refused("json-file:///x?compress=1", ERR_INVALID, "stdio json-file:///x?compress=1: no helper is named");
	assert_refused("none:?send=1", ERR_INVALID, "stdio none:?send=1: no helper is named");
	assert_refused("binary://x", ERR_INVALID, "stdio binary://x: not an absolute path");
}

static void test_ids(void **state)
{
	(void)state;
	assert_true(bundle_id_is_valid("a"));
	assert_true(bundle_id_is_valid("web-1.x_2"));
	assert_false(bundle_id_is_valid(NULL));
	assert_false(bundle_id_is_valid(""));
	assert_false(bundle_id_is_valid("../x"));
	assert_false(bundle_id_is_valid("a/b"));
	assert_false(bundle_id_is_valid("-a"));
	assert_false(bundle_id_is_valid("a-"));
	assert_false(bundle_id_is_valid("a..b"));
	assert_false(bundle_id_is_valid("0123456789012345678901234567890123456789012345678901234567890123456789"
					"0123456"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_inputs),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
