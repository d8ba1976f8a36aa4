/* SPDX-License-Identifier: Apache-2.0 */
/* The rows people compare such expanders by: word, and what becomes of it ("error: ..." must fail so). */
#include "builder/expand.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unit/unit.h"

static const char *get(void *arg, const char *name)
{
	static const char *const values[][2] = {
		{ "PWD", "/home" },	{ "SHELL", "bash" },	     { "NULL", "" },
		{ "KOREAN", "한국어" }, { "PATH", "/a/b/c.tar.gz" }, { "BLANKS", "one two  three" }
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		if (strcmp(values[i][0], name) == 0)
			return values[i][1];
	return NULL;
}

static const char *const words[][2] = {
	{ "", "" },
	{ "hello", "hello" },
	{ "he'll'o", "hello" },
	{ "he'llo", "error: single-quote" },
	{ "he\\'llo", "he'llo" },
	{ "he\\\\'llo", "error: single-quote" },
	{ "abc\\tdef", "abctdef" },
	{ "\"abc\\tdef\"", "abc\\tdef" },
	{ "\"abc\\\\tdef\"", "abc\\tdef" },
	{ "'abc\\tdef'", "abc\\tdef" },
	{ "hello\\", "hello" },
	{ "hello\\\\", "hello\\" },
	{ "\"hello", "error: double-quote" },
	{ "\"hello\\\"", "error: double-quote" },
	{ "\"hel'lo\"", "hel'lo" },
	{ "'hello\\'", "hello\\" },
	{ "\"''\"", "''" },
	{ "$.", "$." },
	{ "he$1x", "hex" },
	{ "he$.x", "he$.x" },
	{ "he$pwd.", "he." },
	{ "he$PWD", "he/home" },
	{ "he\\$PWD", "he$PWD" },
	{ "he\\\\$PWD", "he\\/home" },
	{ "\"he\\$PWD\"", "he$PWD" },
	{ "'he$PWD'", "he$PWD" },
	{ "he\\${PWD}", "he${PWD}" },
	{ "he${}", "error: bad substitution" },
	{ "he${:x}", "error: bad substitution" },
	{ "he${{x}}", "error: bad substitution" },
	{ "he${PWD", "error: missing '}'" },
	{ "he${", "error: missing '}'" },
	{ "he${PWD}", "he/home" },
	{ "he${hi:-there}", "hethere" },
	{ "he${hi-there}", "hethere" },
	{ "he${NULL:-there}", "hethere" },
	{ "he${NULL-there}", "he" },
	{ "he${PWD:-there}", "he/home" },
	{ "he${PWD:+there}", "hethere" },
	{ "he${hi:+there}", "he" },
	{ "he${NULL+there}", "hethere" },
	{ "he${NULL:+there}", "he" },
	{ "he${hi:-${PWD:-x}}", "he/home" },
	{ "he${hi:-\"a b\"}", "hea b" },
	{ "${hi:?no value}", "error: hi: no value" },
	{ "${hi:?}", "error: hi: is not allowed to be unset" },
	{ "${NULL:?}", "error: NULL: is not allowed to be empty" },
	{ "${NULL?x}", "" },
	{ "${PWD:?x}", "/home" },
	{ "${PWD!x}", "error: unsupported modifier (!) in substitution" },
	{ "${PWD:#x}", "error: unsupported modifier (:#) in substitution" },
	{ "${PATH#*/}", "a/b/c.tar.gz" },
	{ "${PATH##*/}", "c.tar.gz" },
	{ "${PATH%.*}", "/a/b/c.tar" },
	{ "${PATH%%.*}", "/a/b/c" },
	{ "${PATH%nothing}", "/a/b/c.tar.gz" },
	{ "${PATH/b/X}", "/a/X/c.tar.gz" },
	{ "${PATH//./-}", "/a/b/c-tar-gz" },
	{ "${PATH/[/X}", "/a/b/c.tar.gz" },
	{ "${PATH/\\//X}", "Xa/b/c.tar.gz" },
	{ "${KOREAN}한", "한국어한" },
	{ "$KOREAN한", "" },
};

static void test_words(void **state)
{
	const struct expand_scope scope = { get, NULL, '\\' };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *text = NULL;
		const char *wanted = text_after(words[i][1], "error: ");
		int r = expand_word(&text, words[i][0], &scope, &err);

		if (wanted) {
			assert_int_equal(r, -1);
			if (!strstr(err.message, wanted))
				fail_msg("%s: \"%s\" is not in \"%s\"", words[i][0], wanted, err.message);
			continue;
		}
		assert_no_error(r, &err);
		if (strcmp(text, words[i][1]) != 0)
			fail_msg("%s gave \"%s\", not \"%s\"", words[i][0], text, words[i][1]);
	}
}

static void test_splitting(void **state)
{
	static const char *const cases[][2] = {
		{ "hello", "hello" },
		{ "hello there", "hello|there" },
		{ "\"hello there\"", "hello there" },
		{ "$BLANKS", "one|two|three" },
		{ "\"$BLANKS\"", "one two  three" },
		{ "a${BLANKS}b", "aone|two|threeb" },
		{ "a\\ b c", "a b|c" },
		{ "  a  ", "a" },
	};
	const struct expand_scope scope = { get, NULL, '\\' };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(text_list_fini) struct text_list list = { 0 };
		AUTO_FREE char *joined = NULL;

		assert_no_error(expand_words(&list, cases[i][0], &scope, &err), &err);
		joined = text_list_join(&list, "|");
		assert_string_equal(joined, cases[i][1]);
	}
}

static void test_bodies(void **state)
{
	static const char *const cases[][2] = {
		{ "it's \"$PWD\"\n", "it's \"/home\"\n" },
		{ "\\$PWD \\\\ \\n ${hi:-x}\n", "$PWD \\ \\n x\n" },
	};
	const struct expand_scope scope = { get, NULL, '`' };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *text = NULL;

		assert_no_error(expand_body(&text, cases[i][0], &scope, &err), &err);
		assert_string_equal(text, cases[i][1]);
	}
}

static void test_depth(void **state)
{
	const struct expand_scope scope = { get, NULL, '\\' };
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_fini) struct text word = { 0 };
	AUTO_FREE char *text = NULL;

	(void)state;
	for (int i = 0; i < 10000; i++)
		text_add(&word, "${a:-");
	assert_int_equal(expand_word(&text, word.data, &scope, &err), -1);
	assert_non_null(strstr(err.message, "nested deeper"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_splitting),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
