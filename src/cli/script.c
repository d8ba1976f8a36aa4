/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/script.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

static bool is_instruction(const char *word)
{
	static const char *const names[] = { "add",    "arg",	"cmd",	       "copy",	"entrypoint", "env",
					     "expose", "from",	"healthcheck", "label", "maintainer", "onbuild",
					     "run",    "shell", "stopsignal",  "user",	"volume",     "workdir" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (text_equal_ignoring_case(word, names[i]))
			return true;
	return false;
}

/* Whether the next line belongs to this one; Windows' line ends count as blanks. */
static bool goes_on(const char *line)
{
	size_t size = strlen(line);

	while (size > 0 && isspace((unsigned char)line[size - 1]))
		size--;
	return size > 0 && line[size - 1] == '\\' && (size == 1 || line[size - 2] != '\\');
}

/* 1: a step; 0: nothing. */
static int add_step(struct text *out, const char *line, bool is_first, size_t number, struct error *err)
{
	const char *start = line + strspn(line, " \t\r");
	AUTO_FREE char *word = xstrndup(start, strcspn(start, " \t\r"));
	bool instruction = is_instruction(word);

	if (!*start || *start == '#') {
		text_add(out, start);
		return 0;
	}
	if (is_first && !text_equal_ignoring_case(word, "from") && !text_equal_ignoring_case(word, "arg"))
		return error_set(
			err, ERR_INVALID,
			"script, line %zu: the first step must be \"from IMAGE\" or \"from scratch\", not \"%s\"",
			number, word);
	if (!instruction)
		text_add(out, "RUN ");
	text_add(out, start);
	return 1;
}

char *script_dockerfile(const char *script, struct error *err)
{
	AUTO(text_list_fini) struct text_list lines = { 0 };
	AUTO(text_fini) struct text out = { 0 };
	bool inside = false;
	bool is_first = true;

	text_list_split(&lines, script, '\n');
	for (size_t i = 0; i < lines.count; i++) {
		const char *line = lines.items[i];
		int r = 0;

		if (inside)
			text_add(&out, line);
		else
			r = add_step(&out, line, is_first, i + 1, err);
		if (r < 0)
			return NULL;
		inside = (inside || r > 0) && goes_on(line);
		is_first = is_first && r == 0;
		text_add_char(&out, '\n');
	}
	if (is_first) {
		error_set(err, ERR_INVALID, "the script has no steps");
		return NULL;
	}
	return text_take(&out);
}
