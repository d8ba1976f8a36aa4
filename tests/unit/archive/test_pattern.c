/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/pattern.h"

#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static void test_match(void **state)
{
	static const struct {
		const char *pattern;
		const char *name;
		int result; /* -1: broken */
	} cases[] = {
		{ "abc", "abc", 1 },
		{ "*", "abc", 1 },
		{ "*c", "abc", 1 },
		{ "a*", "a", 1 },
		{ "a*", "ab/c", 0 },
		{ "a*/b", "abc/b", 1 },
		{ "a*/b", "a/c/b", 0 },
		{ "a*b*c*d*e*/f", "axbxcxdxe/f", 1 },
		{ "a*b*c*d*e*/f", "axbxcxdxe/xxx/f", 0 },
		{ "a*b?c*x", "abxbbxdbxebxczzx", 1 },
		{ "a*b?c*x", "abxbbxdbxebxczzy", 0 },
		{ "ab[c]", "abc", 1 },
		{ "ab[b-d]", "abc", 1 },
		{ "ab[e-g]", "abc", 0 },
		{ "ab[^c]", "abc", 0 },
		{ "ab[^e-g]", "abc", 1 },
		{ "a\\*b", "a*b", 1 },
		{ "a\\*b", "ab", 0 },
		{ "a?b", "a/b", 0 },
		{ "a*b", "a/b", 0 },
		{ "[\\]a]", "]", 1 },
		{ "[\\-]", "-", 1 },
		{ "[x\\-]", "z", 0 },
		{ "[]a]", "]", -1 },
		{ "[!a]", "!", 1 },
		{ "[!a]", "b", 0 },
		{ "*??", "\xe2\x98\xba", 0 },
		{ "?", "\xff", 1 },
		{ "[\xce\xb1-\xce\xb6]", "\xce\xb2", 1 },
		{ "[", "a", -1 },
		{ "[^", "a", -1 },
		{ "[^bc", "a", -1 },
		{ "a[", "ab", -1 },
		{ "a\\", "a", -1 },
		{ "*x", "xxx", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		int r = pattern_match(cases[i].pattern, cases[i].name, &err);

		if (r != cases[i].result)
			fail_msg("%s on %s: %d", cases[i].pattern, cases[i].name, r);
	}
}

static void test_lists(void **state)
{
	static const struct {
		const char *lines;
		const char *path;
		bool result;
	} cases[] = {
		{ "**", "file", true },
		{ "**", "dir/file", true },
		{ "**/", "dir/file", true },
		{ "**/**", "dir/file", true },
		{ "dir/**", "dir/file", true },
		{ "dir/**", "dir/dir2/file", true },
		{ "**/dir2/*", "dir/dir2/file", true },
		{ "**/dir2/**", "dir/dir2/dir2/file", true },
		{ "**file", "file", true },
		{ "**file", "dir/file", true },
		{ "**/file", "dir/file", true },
		{ "**/file", "file", true },
		{ "**/file", "dir/afile", false },
		{ "**/file*", "dir/file.txt", true },
		{ "**/*.txt", "a/b/c.txt", true },
		{ "**/**/*.txt", "dir/dir/file.txt", true },
		{ "a**/*.txt", "a/file.txt", true },
		{ "a/*.txt", "a/dir/file.txt", false },
		{ "/dir", "dir/file", true },
		{ "dir", "dir/file", true },
		{ "./dir/", "dir", true },
		{ "*.go\n!main.go", "main.go", false },
		{ "*.go\n!main.go", "other.go", true },
		{ "dir\n!dir/keep", "dir/keep", false },
		{ "dir\n!dir/keep", "dir/other", true },
		{ "!x\nx", "x", true },
		{ "# comment\n\n  x  \n", "x", true },
		{ "#x", "#x", false },
		{ "*\n!a\na/b", "a/b", true },
		{ "*\n!a\na/b", "a/c", false },
		{ ".", "anything", true },
		{ "..", "x", false },
		{ "a/../b", "b", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(pattern_list_fini) struct pattern_list list = { 0 };

		assert_no_error(pattern_list_parse(&list, cases[i].lines, strlen(cases[i].lines), &err), &err);
		if (pattern_list_matches(&list, cases[i].path) != cases[i].result)
			fail_msg("\"%s\" on %s", cases[i].lines, cases[i].path);
	}
}

static void test_bad_lists(void **state)
{
	static const char *const cases[] = { "!", "a[", "x\\" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(pattern_list_fini) struct pattern_list list = { 0 };

		assert_int_equal(pattern_list_parse(&list, cases[i], strlen(cases[i]), &err), -1);
	}
}

/* The reference's tables: 1 it is meant, 0 it is not, -1 the pattern is broken. */
static void test_reference(void **state)
{
	static const struct {
		const char *lines;
		const char *path;
		int result;
	} cases[] = {
		{ "**", "file", 1 },
		{ "**", "file/", 1 },
		{ "**/", "file", 1 },
		{ "**/", "file/", 1 },
		{ "**", "/", 1 },
		{ "**/", "/", 1 },
		{ "**", "dir/file", 1 },
		{ "**/", "dir/file", 1 },
		{ "**", "dir/file/", 1 },
		{ "**/", "dir/file/", 1 },
		{ "**/**", "dir/file", 1 },
		{ "**/**", "dir/file/", 1 },
		{ "dir/**", "dir/file", 1 },
		{ "dir/**", "dir/file/", 1 },
		{ "dir/**", "dir/dir2/file", 1 },
		{ "dir/**", "dir/dir2/file/", 1 },
		{ "**/dir", "dir", 1 },
		{ "**/dir", "dir/file", 1 },
		{ "**/dir2/*", "dir/dir2/file", 1 },
		{ "**/dir2/*", "dir/dir2/file/", 1 },
		{ "**/dir2/**", "dir/dir2/dir3/file", 1 },
		{ "**/dir2/**", "dir/dir2/dir3/file/", 1 },
		{ "**file", "file", 1 },
		{ "**file", "dir/file", 1 },
		{ "**/file", "dir/file", 1 },
		{ "**file", "dir/dir/file", 1 },
		{ "**/file", "dir/dir/file", 1 },
		{ "**/file*", "dir/dir/file", 1 },
		{ "**/file*", "dir/dir/file.txt", 1 },
		{ "**/file*txt", "dir/dir/file.txt", 1 },
		{ "**/file*.txt", "dir/dir/file.txt", 1 },
		{ "**/file*.txt*", "dir/dir/file.txt", 1 },
		{ "**/**/*.txt", "dir/dir/file.txt", 1 },
		{ "**/**/*.txt2", "dir/dir/file.txt", 0 },
		{ "**/*.txt", "file.txt", 1 },
		{ "**/**/*.txt", "file.txt", 1 },
		{ "a**/*.txt", "a/file.txt", 1 },
		{ "a**/*.txt", "a/dir/file.txt", 1 },
		{ "a**/*.txt", "a/dir/dir/file.txt", 1 },
		{ "a/*.txt", "a/dir/file.txt", 0 },
		{ "a/*.txt", "a/file.txt", 1 },
		{ "a/*.txt**", "a/file.txt", 1 },
		{ "a[b-d]e", "ae", 0 },
		{ "a[b-d]e", "ace", 1 },
		{ "a[b-d]e", "aae", 0 },
		{ "a[^b-d]e", "aze", 1 },
		{ ".*", ".foo", 1 },
		{ ".*", "foo", 0 },
		{ "abc.def", "abcdef", 0 },
		{ "abc.def", "abc.def", 1 },
		{ "abc.def", "abcZdef", 0 },
		{ "abc?def", "abcZdef", 1 },
		{ "abc?def", "abcdef", 0 },
		{ "a\\\\", "a\\", 1 },
		{ "**/foo/bar", "foo/bar", 1 },
		{ "**/foo/bar", "dir/foo/bar", 1 },
		{ "**/foo/bar", "dir/dir2/foo/bar", 1 },
		{ "abc/**", "abc", 0 },
		{ "abc/**", "abc/def", 1 },
		{ "abc/**", "abc/def/ghi", 1 },
		{ "**/.foo", ".foo", 1 },
		{ "**/.foo", "bar.foo", 0 },
		{ "a(b)c/def", "a(b)c/def", 1 },
		{ "a(b)c/def", "a(b)c/xyz", 0 },
		{ "a.|)$(}+{bc", "a.|)$(}+{bc", 1 },
		{ "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
		  "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", 1 },
		{ "dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", 1 },
		{ "a\\*b", "a*b", 1 },
		{ "abc", "abc", 1 },
		{ "*", "abc", 1 },
		{ "*c", "abc", 1 },
		{ "a*", "a", 1 },
		{ "a*", "abc", 1 },
		{ "a*", "ab/c", 1 },
		{ "a*/b", "abc/b", 1 },
		{ "a*/b", "a/c/b", 0 },
		{ "a*b*c*d*e*/f", "axbxcxdxe/f", 1 },
		{ "a*b*c*d*e*/f", "axbxcxdxexxx/f", 1 },
		{ "a*b*c*d*e*/f", "axbxcxdxe/xxx/f", 0 },
		{ "a*b*c*d*e*/f", "axbxcxdxexxx/fff", 0 },
		{ "a*b?c*x", "abxbbxdbxebxczzx", 1 },
		{ "a*b?c*x", "abxbbxdbxebxczzy", 0 },
		{ "ab[c]", "abc", 1 },
		{ "ab[b-d]", "abc", 1 },
		{ "ab[e-g]", "abc", 0 },
		{ "ab[^c]", "abc", 0 },
		{ "ab[^b-d]", "abc", 0 },
		{ "ab[^e-g]", "abc", 1 },
		{ "a\\*b", "ab", 0 },
		{ "a?b", "a☺b", 1 },
		{ "a[^a]b", "a☺b", 1 },
		{ "a???b", "a☺b", 0 },
		{ "a[^a][^a][^a]b", "a☺b", 0 },
		{ "[a-ζ]*", "α", 1 },
		{ "*[a-ζ]", "A", 0 },
		{ "a?b", "a/b", 0 },
		{ "a*b", "a/b", 0 },
		{ "[\\]a]", "]", 1 },
		{ "[\\-]", "-", 1 },
		{ "[x\\-]", "x", 1 },
		{ "[x\\-]", "-", 1 },
		{ "[x\\-]", "z", 0 },
		{ "[\\-x]", "x", 1 },
		{ "[\\-x]", "-", 1 },
		{ "[\\-x]", "a", 0 },
		{ "[]a]", "]", -1 },
		{ "[-]", "-", -1 },
		{ "[x-]", "x", -1 },
		{ "[x-]", "-", -1 },
		{ "[x-]", "z", -1 },
		{ "[-x]", "x", -1 },
		{ "[-x]", "-", -1 },
		{ "[-x]", "a", -1 },
		{ "\\", "a", -1 },
		{ "[a-b-c]", "a", -1 },
		{ "[", "a", -1 },
		{ "[^", "a", -1 },
		{ "[^bc", "a", -1 },
		{ "a[", "a", -1 },
		{ "a[", "ab", -1 },
		{ "*x", "xxx", 1 },
		{ "**\n!util/docker/web", "util/docker/web/foo", 0 },
		{ "**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", 1 },
		{ "**\n!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
		  "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", 0 },
		{ "**\n!dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(pattern_list_fini) struct pattern_list list = { 0 };
		int r = pattern_list_parse(&list, cases[i].lines, strlen(cases[i].lines), &err);

		if (r == 0)
			r = pattern_list_matches(&list, cases[i].path);
		if (r != cases[i].result)
			fail_msg("\"%s\" on %s: %d", cases[i].lines, cases[i].path, r);
	}
}

/* Many stars on a text that almost fits: no time is lost. */
static void test_effort(void **state)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text pattern = { 0 };
	AUTO(text_fini) struct text name = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		text_add(&pattern, "*a");
	text_add(&pattern, "b");
	for (int i = 0; i < 3000; i++)
		text_add(&name, "a");
	assert_int_equal(pattern_match(pattern.data, name.data, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),	  cmocka_unit_test(test_lists),	 cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_reference), cmocka_unit_test(test_effort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
