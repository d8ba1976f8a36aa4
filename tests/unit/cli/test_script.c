/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/script.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "unit/unit.h"

static void test_scripts(void **state)
{
	static const struct {
		const char *script;
		const char *dockerfile; /* NULL: refused */
		const char *said;
	} cases[] = {
		{ "from a", "from a\n" },
		{ "#!/usr/bin/kist\n\nfrom a\nmake -C /x\n", "#!/usr/bin/kist\n\nfrom a\nRUN make -C /x\n\n" },
		{ "arg V=1\nfrom a:$V\n  env A=1\nrun env", "arg V=1\nfrom a:$V\nenv A=1\nrun env\n" },
		{ "FROM a\napt-get \\\n  copy x\nenvoy", "FROM a\nRUN apt-get \\\n  copy x\nRUN envoy\n" },
		{ "from a\necho \\\\\ncopy a b\n", "from a\nRUN echo \\\\\ncopy a b\n\n" },
		{ "from a\necho \\ \r\nb\ncmd [\"x\"]", "from a\nRUN echo \\ \r\nb\ncmd [\"x\"]\n" },
		{ "# only\n\n", NULL, "the script has no steps" },
		{ "", NULL, "the script has no steps" },
		{ "\nmake\n", NULL, "script, line 2: the first step must be \"from IMAGE\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(error_clear) struct error err = { 0 };
		AUTO_FREE char *text = script_dockerfile(cases[i].script, &err);

		if (!text_equal(text, cases[i].dockerfile))
			fail_msg("%s: %s", cases[i].script, text_or_empty(text));
		if (!text && !strstr(err.message, cases[i].said))
			fail_msg("%s: %s", cases[i].script, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_scripts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
