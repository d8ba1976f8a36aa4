/* SPDX-License-Identifier: Apache-2.0 */
#include "http/uri.h"

#include <errno.h>
#include <stdlib.h>

#include "unit/unit.h"

static void test_path_and_query(void **state)
{
	struct http_uri uri = { 0 };

	(void)state;
	assert_int_equal(http_uri_parse(&uri, "/images/a%2Fb/json?x=1&y=a+b%26c&x=2&flag&=odd#part"), 0);
	assert_string_equal(uri.path, "/images/a/b/json");
	assert_string_equal(http_uri_query(&uri, "x", 0), "1");
	assert_string_equal(http_uri_query(&uri, "x", 1), "2");
	assert_null(http_uri_query(&uri, "x", 2));
	assert_string_equal(http_uri_query(&uri, "y", 0), "a b&c");
	assert_string_equal(http_uri_query(&uri, "flag", 0), "");
	assert_null(http_uri_query(&uri, "part", 0));
	http_uri_fini(&uri);
}

static void test_plus_is_a_plus_in_the_path(void **state)
{
	struct http_uri uri = { 0 };

	(void)state;
	assert_int_equal(http_uri_parse(&uri, "/a+b"), 0);
	assert_string_equal(uri.path, "/a+b");
	http_uri_fini(&uri);
}

static void test_refuses_broken_escapes(void **state)
{
	static const char *const bad[] = { "/%", "/%4", "/%zz", "/%00", "/a?b=%", "/a?%4=1", "/a?b=1&c=%00" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http_uri uri = { 0 };

		assert_int_equal(http_uri_parse(&uri, bad[i]), -EINVAL);
		assert_null(uri.path);
	}
}

static void expect_match(const char *pattern, const char *path, const char *name, const char *value)
{
	struct text_map params = { 0 };

	assert_true(http_route_match(pattern, path, &params));
	if (name)
		assert_string_equal(text_map_get(&params, name), value);
	text_map_fini(&params);
}

static void test_routes(void **state)
{
	struct text_map params = { 0 };

	(void)state;
	expect_match("/_ping", "/_ping", NULL, NULL);
	expect_match("/containers/{id}/json", "/containers/ab/json", "id", "ab");
	expect_match("/images/{name...}/json", "/images/reg:5000/a/b:tag/json", "name", "reg:5000/a/b:tag");
	expect_match("/images/{name...}/json", "/images/json/json", "name", "json");
	expect_match("/v2/{name...}/blobs/uploads/{id}", "/v2/a/blobs/uploads/b/blobs/uploads/7", "name",
		     "a/blobs/uploads/b");
	expect_match("/x/{all...}", "/x/a/b/", "all", "a/b/");
	assert_false(http_route_match("/containers/{id}/json", "/containers/a/b/json", &params));
	assert_false(http_route_match("/containers/{id}/json", "/containers//json", &params));
	assert_false(http_route_match("/containers/{id}", "/containers/a/json", &params));
	assert_false(http_route_match("/_ping", "/_ping/", &params));
	text_map_fini(&params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_and_query),
		cmocka_unit_test(test_plus_is_a_plus_in_the_path),
		cmocka_unit_test(test_refuses_broken_escapes),
		cmocka_unit_test(test_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
