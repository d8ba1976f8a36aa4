/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/dockerfile.h"

#include <stdlib.h>
#include <string.h>

#include "unit/unit.h"

static void test_dumps(void **state)
{
	static const char *const cases[][2] = {
		{ "FROM a\nRUN echo hi", "(from \"a\")\n(run \"echo hi\")\n" },
		{ "from --platform=$P a AS b", "(from [\"--platform=$P\"] \"a\" \"AS\" \"b\")\n" },
		{ "RUN a \\\n  b \\  \n# no\n\n  c", "(run \"a   b   c\")\n" },
		{ "RUN [\"a\", \"b c\"]", "(run \"a\" \"b c\")\n" },
		{ "RUN [a]", "(run \"[a]\")\n" },
		{ "CMD [\"\\u0000\\\\u0000\"]", "(cmd \"\\x00\\\\u0000\")\n" },
		{ "ENV A=1 B=\"x y\" C=d\\ e",
		  "(env \"A\" \"1\" \"=\" \"B\" \"\\\"x y\\\"\" \"=\" \"C\" \"d\\\\ e\" \"=\")\n" },
		{ "ENV A 1 2  3", "(env \"A\" \"1 2  3\" \"\")\n" },
		{ "COPY --from=x --chown=1:1 a b /c", "(copy [\"--from=x\" \"--chown=1:1\"] \"a\" \"b\" \"/c\")\n" },
		{ "ARG A=\"b c\" D", "(arg \"A=\\\"b c\\\"\" \"D\")\n" },
		{ "HEALTHCHECK --interval=5s CMD [\"a\",\"b\"]",
		  "(healthcheck [\"--interval=5s\"] \"CMD\" \"a\" \"b\")\n" },
		{ "ONBUILD RUN make -j", "(onbuild (run \"make -j\"))\n" },
		{ "#escape=`\nRUN a `\n b", "(run \"a  b\")\n" },
		{ "\xef\xbb\xbf"
		  "FROM a\r\nCMD b\r\n",
		  "(from \"a\")\n(cmd \"b\")\n" },
		{ "RUN a\\\\\nCMD b", "(run \"a\\\\\\\\\")\n(cmd \"b\")\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;
		AUTO_FREE char *dump = NULL;

		assert_no_error(dockerfile_parse(&dockerfile, cases[i][0], strlen(cases[i][0]), &err), &err);
		dump = dockerfile_dump(dockerfile);
		assert_string_equal(dump, cases[i][1]);
	}
}

static void test_errors(void **state)
{
	static const char *const cases[][2] = {
		{ "", "the Dockerfile cannot be empty" },
		{ "# only\n\n", "file with no instructions" },
		{ "FROM a\n\nRUM x", "dockerfile parse error on line 3: unknown instruction: RUM (did you mean RUN?)" },
		{ "FROM a\nXYZZY x", "dockerfile parse error on line 2: unknown instruction: XYZZY" },
		{ "ENV A", "dockerfile parse error on line 1: ENV must have two arguments" },
		{ "ENV A=1 B", "dockerfile parse error on line 1: Syntax error - can't find = in \"B\". Must be of the "
			       "form: name=value" },
		{ "CMD [\"a\",\\\n 1]",
		  "dockerfile parse error on lines 1-2: when using JSON array syntax, arrays must be "
		  "comprised of strings only" },
		{ "RUN <<EOF\na", "dockerfile parse error on lines 1-2: unterminated heredoc" },
		{ "#escape=x\nFROM a",
		  "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\" },
		{ "#syntax=a\n#syntax=b\nFROM a",
		  "dockerfile parse error on line 2: only one syntax parser directive can be used" },
		{ "ONBUILD ONBUILD RUN x",
		  "dockerfile parse error on line 1: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;

		assert_int_equal(dockerfile_parse(&dockerfile, cases[i][0], strlen(cases[i][0]), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_string_equal(err.message, cases[i][1]);
	}
}

static void test_heredocs_and_comments(void **state)
{
	static const char text[] =
		"# syntax=docker/dockerfile:1\n# what it is for\nARG X\nRUN <<A cat <<-'B'\none\nA\n\ttwo\n\tB\n"
		"CMD x\n";
	AUTO(error_clear) struct error err = { 0 };
	AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;
	const struct instruction *run;

	(void)state;
	assert_no_error(dockerfile_parse(&dockerfile, text, strlen(text), &err), &err);
	assert_string_equal(dockerfile->syntax, "docker/dockerfile:1");
	assert_int_equal(dockerfile->count, 3);
	assert_string_equal(dockerfile->instructions[0].comment, "what it is for");
	run = &dockerfile->instructions[1];
	assert_int_equal(run->heredoc_count, 2);
	assert_string_equal(run->heredocs[0].body, "one\n");
	assert_true(run->heredocs[0].expand);
	assert_string_equal(run->heredocs[1].name, "B");
	assert_string_equal(run->heredocs[1].body, "two\n");
	assert_false(run->heredocs[1].expand);
	assert_int_equal(run->line, 4);
	assert_int_equal(run->last_line, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dumps),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_heredocs_and_comments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
