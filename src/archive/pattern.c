/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a pattern is matched by one function with backtracking over the
 * last star only, so no input takes more than length x length steps. For lists
 * a path is tried as it is and then each directory above it.
 */
#include "archive/pattern.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/quote.h"

bool pattern_is_magic(const char *text)
{
	return strpbrk(text, "*?[\\") != NULL;
}

/* The character at *at, which is moved behind it; a byte that begins none is one that stands for nothing. */
static uint32_t take_rune(const char **at)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	size_t size = utf8_sequence(*at, strnlen(*at, 4));
	uint32_t rune = (unsigned char)**at;

	if (size == 0) {
		(*at)++;
		return 0xfffd;
	}
	rune &= first[size];
	for (size_t i = 1; i < size; i++)
		rune = rune << 6 | ((unsigned char)(*at)[i] & 0x3f);
	*at += size;
	return rune;
}

/* One end of a range in a set; false: what stands there cannot be one. */
static bool take_end(const char **at, uint32_t *out_rune)
{
	if (!**at || **at == '-' || **at == ']')
		return false;
	if (**at == '\\')
		(*at)++;
	if (!**at)
		return false;
	*out_rune = take_rune(at);
	return true;
}

/* The set at *at (behind '['), against a character. Moves *at behind ']'. -1: broken, as Go's filepath.Match sees it. */
static int match_set(const char **at, uint32_t rune)
{
	const char *p = *at;
	bool negated = *p == '^';
	bool found = false;
	bool first = true;

	p += negated;
	while (first || *p != ']') {
		uint32_t low;
		uint32_t high;

		first = false;
		if (!take_end(&p, &low))
			return -1;
		high = low;
		if (*p == '-') {
			p++;
			if (!take_end(&p, &high))
				return -1;
		}
		found = found || (rune >= low && rune <= high);
	}
	*at = p + 1;
	return found != negated;
}

/* One pattern atom that is no star; moves both if they fit, the pattern in any case. -1: broken. */
static int match_one(const char **pattern, const char **name)
{
	const char *p = *pattern;
	bool usable = **name && **name != '/';
	const char *behind = *name;
	int r;

	if (*p == '[' || *p == '?') {
		uint32_t rune = usable ? take_rune(&behind) : 'x';

		*pattern = p + 1;
		r = *p == '?' ? 1 : match_set(pattern, rune);
		if (r <= 0 || !usable)
			return r < 0 ? -1 : 0;
		*name = behind;
		return 1;
	}
	if (*p == '\\' && p[1])
		p++;
	else if (*p == '\\')
		return -1;
	*pattern = p + 1;
	if (*p != **name)
		return 0;
	(*name)++;
	return 1;
}

struct star {
	const char *pattern; /* behind the star; NULL: none yet */
	const char *name;    /* where what it matches ends so far */
};

struct match {
	const char *pattern;
	const char *name;
	struct star shallow; /* the last "*": within a component */
	struct star deep;    /* the last "**" */
	bool deep_allowed;
};

static void begin_star(struct match *match)
{
	bool is_deep = match->deep_allowed && match->pattern[1] == '*';
	struct star *star = is_deep ? &match->deep : &match->shallow;

	match->pattern += strspn(match->pattern, "*");
	/* A double star with its slash matches no component, or whole ones. */
	if (is_deep && *match->pattern == '/')
		match->pattern++;
	*star = (struct star){ match->pattern, match->name };
	if (is_deep)
		match->shallow.pattern = NULL;
}

/* Lets the last shallow star take one more byte. */
static bool extend_shallow(struct match *match)
{
	struct star *star = &match->shallow;

	if (!star->pattern || !*star->name || *star->name == '/')
		return false;
	take_rune(&star->name);
	match->name = star->name;
	match->pattern = star->pattern;
	return true;
}

static bool extend_deep(struct match *match)
{
	struct star *star = &match->deep;

	if (!star->pattern || !*star->name)
		return false;
	take_rune(&star->name);
	if (star->pattern[-1] == '/') {
		/* What follows begins a component. */
		while (*star->name && star->name[-1] != '/')
			star->name++;
		if (!*star->name)
			return false;
	}
	match->shallow.pattern = NULL;
	match->name = star->name;
	match->pattern = star->pattern;
	return true;
}

static int match_text(const char *pattern, const char *name, bool deep_allowed)
{
	struct match match = { .pattern = pattern, .name = name, .deep_allowed = deep_allowed };

	while (*match.pattern || *match.name) {
		int r = 0;

		if (*match.pattern == '*') {
			begin_star(&match);
			continue;
		}
		if (*match.pattern && *match.name)
			r = match_one(&match.pattern, &match.name);
		if (r < 0)
			return -1;
		if (r == 0 && !extend_shallow(&match) && !extend_deep(&match))
			return 0;
	}
	return 1;
}

/* Go finds a broken pattern wherever it is; so a walk over all of it comes first. */
static int check(const char *pattern, struct error *err)
{
	for (const char *p = pattern; *p;) {
		const char *name = "x";
		int r = *p == '*' ? 0 : match_one(&p, &name);

		if (r < 0)
			return error_set(err, ERR_INVALID, "syntax error in pattern: %s", pattern);
		p += *p == '*' ? 1 : 0;
	}
	return 0;
}

int pattern_match(const char *pattern, const char *name, struct error *err)
{
	if (check(pattern, err) < 0)
		return -1;
	return match_text(pattern, name, false);
}

/* ---- lists ---- */

int pattern_list_add(struct pattern_list *list, const char *line, struct error *err)
{
	AUTO_FREE char *copy = xstrdup(line);
	AUTO_FREE char *clean = NULL;
	char *text = text_trim(copy);
	struct pattern_rule rule = { 0 };
	char *start;

	if (!*text)
		return 0;
	rule.taken_back = *text == '!';
	if (rule.taken_back)
		text = text_trim(text + 1);
	if (!*text)
		return error_set(err, ERR_INVALID, "illegal exclusion pattern: \"!\"");
	clean = path_clean(text);
	start = clean;
	if (*start == '/' && start[1])
		start++;
	if (check(start, err) < 0)
		return -1;
	rule.pattern = xstrdup(start);
	list->rules = xgrow(list->rules, &list->capacity, list->count + 1, sizeof(*list->rules));
	list->rules[list->count++] = rule;
	list->any_taken_back |= rule.taken_back;
	return 0;
}

int pattern_list_parse(struct pattern_list *list, const char *text, size_t size, struct error *err)
{
	const char *end = text + size;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text);
		AUTO_FREE char *line = xstrndup(text, length);

		text += length + (newline != NULL);
		if (line[0] != '#' && pattern_list_add(list, line, err) < 0)
			return -1;
	}
	return 0;
}

void pattern_list_fini(struct pattern_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->rules[i].pattern);
	free(list->rules);
	*list = (struct pattern_list){ 0 };
}

static bool rule_matches(const struct pattern_rule *rule, const char *path)
{
	AUTO_FREE char *part = NULL;

	if (text_equal(rule->pattern, ".") || match_text(rule->pattern, path, true) > 0)
		return true;
	part = xstrdup(path);
	for (char *slash = strrchr(part, '/'); slash; slash = strrchr(part, '/')) {
		*slash = '\0';
		if (match_text(rule->pattern, part, true) > 0)
			return true;
	}
	return false;
}

bool pattern_list_matches(const struct pattern_list *list, const char *path)
{
	bool matched = false;

	for (size_t i = 0; i < list->count; i++)
		if (list->rules[i].taken_back == matched && rule_matches(&list->rules[i], path))
			matched = !matched;
	return matched;
}

bool pattern_list_may_take_back(const struct pattern_list *list, const char *directory)
{
	size_t size = strlen(directory);

	for (size_t i = 0; i < list->count; i++) {
		const struct pattern_rule *rule = &list->rules[i];

		if (!rule->taken_back)
			continue;
		/* Wildcards before the end of the directory's name may mean anything. */
		if (strcspn(rule->pattern, "*?[\\") < size ||
		    (strncmp(rule->pattern, directory, size) == 0 && rule->pattern[size] == '/'))
			return true;
	}
	return false;
}
