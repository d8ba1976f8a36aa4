/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of a line, or of all of them, without knowing what a stage is made of. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/suggest.h"
#include "builder/check_private.h"
#include "oci/reference.h"

static bool all(const char *text, int (*is)(int))
{
	for (; *text; text++)
		if (isalpha((unsigned char)*text) && !is((unsigned char)*text))
			return false;
	return true;
}

static char *lower(const char *text)
{
	char *copy = xstrdup(text);

	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static bool is_from(const struct instruction *instruction)
{
	return text_equal(instruction->keyword, "from");
}

/* ---- comments that describe ---- */

/* names: what the comment's first word may be. */
static void check_description(struct checker *checker, const struct instruction *instruction,
			      const struct text_list *names)
{
	const char *comment = instruction->comment;
	AUTO_FREE char *first = NULL;
	AUTO_FREE char *written = NULL;

	if (text_empty(comment) || names->count == 0)
		return;
	comment = strrchr(comment, '\n') ? strrchr(comment, '\n') + 1 : comment;
	first = xstrndup(comment, strcspn(comment, " "));
	if (text_list_contains(names, first))
		return;
	written = check_written(instruction);
	check_found(checker, instruction, CHECK_DEFINITION_DESCRIPTION,
		    "Comment for %s should follow the format: `# %s <description>`",
		    is_from(instruction) ? "FROM" : "ARG", names->count > 1 ? "<arg_key>" : names->items[0]);
}

static void describe_arg(struct checker *checker, const struct instruction *instruction)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	for (size_t i = 0; i < instruction->args.count; i++) {
		const char *word = instruction->args.items[i];

		text_list_add_take(&names, xstrndup(word, strcspn(word, "=")));
	}
	check_description(checker, instruction, &names);
}

/* ---- FROM ... AS ---- */

static void check_as(struct checker *checker, const struct instruction *from)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE char *written = check_written(from);
	const char *as;

	if (from->args.count != 3)
		return;
	as = from->args.items[1];
	text_list_add_take(&names, lower(from->args.items[2]));
	if (!text_equal(names.items[0], from->args.items[2]))
		check_found(checker, from, CHECK_STAGE_NAME_CASING, "Stage name '%s' should be lowercase",
			    from->args.items[2]);
	/* A FROM of mixed case is told of by another rule. */
	if ((all(written, islower) && !all(as, islower)) || (all(written, isupper) && !all(as, isupper)))
		check_found(checker, from, CHECK_FROM_AS_CASING, "'%s' and '%s' keywords' casing do not match", as,
			    written);
	check_description(checker, from, &names);
}

static void check_names(struct checker *checker)
{
	const struct dockerfile *dockerfile = checker->dockerfile;
	AUTO(text_list_fini) struct text_list seen = { 0 };

	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct instruction *from = &dockerfile->instructions[i];
		AUTO_FREE char *name = NULL;

		if (!is_from(from) || from->args.count != 3)
			continue;
		name = lower(from->args.items[2]);
		if (text_equal(name, "scratch") || text_equal(name, "context"))
			check_found_at(checker, from->line, from->last_line, CHECK_RESERVED_STAGE,
				       "Stage name should not use the same name as reserved stage \"%s\"", name);
		if (text_list_contains(&seen, name))
			check_found_at(checker, from->line, from->last_line, CHECK_DUPLICATE_STAGE,
				       "Duplicate stage name \"%s\", stage names should be unique", name);
		text_list_add(&seen, name);
	}
}

/* ---- upper or lower case ---- */

static void check_casing(struct checker *checker)
{
	const struct dockerfile *dockerfile = checker->dockerfile;
	size_t lower_count = 0;
	size_t upper_count = 0;
	size_t first = 0;
	bool mostly_lower;

	while (first < dockerfile->count && !is_from(&dockerfile->instructions[first]))
		first++;
	for (size_t i = first; i < dockerfile->count; i++) {
		AUTO_FREE char *written = check_written(&dockerfile->instructions[i]);

		lower_count += all(written, islower);
		upper_count += all(written, isupper);
	}
	mostly_lower = lower_count > upper_count;
	for (size_t i = first; i < dockerfile->count; i++) {
		const struct instruction *instruction = &dockerfile->instructions[i];
		AUTO_FREE char *written = check_written(instruction);

		if (!all(written, mostly_lower ? islower : isupper))
			check_found_at(checker, instruction->line, instruction->last_line, CHECK_CONSISTENT_CASING,
				       "Command '%s' should match the case of the command majority (%s)", written,
				       mostly_lower ? "lowercase" : "uppercase");
	}
}

static void check_line(struct checker *checker, const struct instruction *instruction)
{
	if (instruction->blank_line)
		check_found_at(checker, instruction->blank_line, instruction->blank_line, CHECK_NO_EMPTY_CONTINUATION,
			       "Empty continuation line");
	if (text_equal(instruction->keyword, "maintainer"))
		check_found(checker, instruction, CHECK_MAINTAINER,
			    "Maintainer instruction is deprecated in favor of using label");
	else if (text_equal(instruction->keyword, "arg"))
		describe_arg(checker, instruction);
	else if (is_from(instruction))
		check_as(checker, instruction);
}

void check_lines(struct checker *checker)
{
	const struct dockerfile *dockerfile = checker->dockerfile;

	for (size_t i = 0; i < dockerfile->count; i++)
		check_line(checker, &dockerfile->instructions[i]);
	/* A file with a wrong line in it gets no verdict on the whole. */
	if (dockerfile->failed_line)
		return;
	check_names(checker);
	check_casing(checker);
}

/* ---- what FROM is made of ---- */

static const char *get_global(void *arg, const char *name)
{
	const struct stages *stages = arg;

	return text_map_get(&stages->global_args, name);
}

/* The ARGs before the first FROM, with a value or without, and the platform's. */
static void global_names(struct text_list *names, const struct checker *checker)
{
	const struct dockerfile *dockerfile = checker->dockerfile;

	for (size_t i = 0; i < dockerfile->count && !is_from(&dockerfile->instructions[i]); i++)
		for (size_t j = 0; j < dockerfile->instructions[i].args.count; j++) {
			const char *word = dockerfile->instructions[i].args.items[j];

			text_list_add_take(names, xstrndup(word, strcspn(word, "=")));
		}
	for (size_t i = 0; i < checker->stages.global_args.count; i++)
		text_list_add(names, checker->stages.global_args.items[i].key);
}

static const char *near_name(const struct text_list *names, const char *word)
{
	struct suggestion best = { 0 };

	for (size_t i = 0; i < names->count; i++)
		suggest_offer(&best, word, names->items[i]);
	return best.word;
}

static void report_undeclared(struct checker *checker, const struct instruction *from, const struct text_list *names,
			      const struct check_lookup *lookup)
{
	for (size_t i = 0; i < lookup->missing.count; i++) {
		const char *name = lookup->missing.items[i];
		const char *meant = near_name(names, name);

		if (text_list_contains(names, name))
			continue;
		check_found(checker, from, CHECK_UNDEFINED_ARG_IN_FROM, "FROM argument '%s' is not declared%s%s%s",
			    name, meant ? " (did you mean " : "", text_or_empty(meant), meant ? "?)" : "");
	}
}

/* A stage that is named after its platform is meant to be so. */
static void check_constant(struct checker *checker, const struct instruction *from, const char *value,
			   const struct platform *platform)
{
	const char *name = from->args.count == 3 ? from->args.items[2] : "";

	if (!strstr(name, platform->os) && !strstr(name, platform->architecture))
		check_found(checker, from, CHECK_CONST_PLATFORM,
			    "FROM --platform flag should not use constant value \"%s\"", value);
}

/* Whether the platform is $TARGETPLATFORM and nothing else. */
static bool is_target_platform(const struct checker *checker, const struct check_lookup *lookup, const char *value)
{
	return lookup->found.count == 1 && lookup->missing.count == 0 &&
	       text_equal(lookup->found.items[0], "TARGETPLATFORM") &&
	       text_equal(value, text_map_get(&checker->stages.global_args, "TARGETPLATFORM"));
}

static void check_platform(struct checker *checker, const struct instruction *from, const char *written,
			   const struct text_list *names)
{
	AUTO(check_lookup_fini) struct check_lookup lookup = { .get = get_global, .arg = &checker->stages };
	AUTO(platform_fini) struct platform platform = { 0 };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *value = NULL;
	const char *meant = NULL;

	if (check_expand(&value, written, &lookup, checker->dockerfile->escape, &err) < 0) {
		check_fail(checker, from->line, from->last_line, &err);
		return;
	}
	report_undeclared(checker, from, names, &lookup);
	if (is_target_platform(checker, &lookup, value))
		check_found(checker, from, CHECK_REDUNDANT_PLATFORM,
			    "Setting platform to predefined %s in FROM is redundant as this is the default behavior",
			    written);
	if (*value && platform_parse(&platform, value, &err) == 0) {
		if (lookup.found.count == 0 && lookup.missing.count == 0)
			check_constant(checker, from, value, &platform);
		return;
	}
	for (size_t i = 0; i < lookup.missing.count && !meant; i++)
		meant = near_name(names, lookup.missing.items[i]);
	if (*value)
		error_prefix(&err, "failed to parse platform %s", written);
	else
		error_set(&err, ERR_INVALID, "empty platform value from expression %s%s%s%s", written,
			  meant ? " (did you mean " : "", text_or_empty(meant), meant ? "?)" : "");
	check_fail(checker, from->line, from->last_line, &err);
}

static void check_from(struct checker *checker, const struct instruction *from, const struct text_list *names)
{
	AUTO(check_lookup_fini) struct check_lookup lookup = { .get = get_global, .arg = &checker->stages };
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *base = NULL;

	if (from->args.count == 0)
		return;
	if (check_expand(&base, from->args.items[0], &lookup, checker->dockerfile->escape, &err) < 0) {
		check_fail(checker, from->line, from->last_line, &err);
		return;
	}
	report_undeclared(checker, from, names, &lookup);
	if (!*base) {
		error_set(&err, ERR_INVALID, "base name (%s) should not be blank", from->args.items[0]);
		check_fail(checker, from->line, from->last_line, &err);
	}
	for (size_t i = 0; i < from->flags.count; i++) {
		const char *platform = text_after(from->flags.items[i], "--platform=");

		if (platform)
			check_platform(checker, from, platform, names);
	}
}

/* Whether the file still names images when nobody gives it arguments. */
static void check_defaults(struct checker *checker)
{
	static const struct text_map no_args = { 0 };
	AUTO(text_list_fini) struct text_list consumed = { 0 };
	AUTO(stages_fini) struct stages stages = { 0 };
	AUTO(error_clear) struct error err = { 0 };

	/* Its failure is this check's subject: the global ARGs are there all the same. */
	stages_load(&stages, checker->dockerfile, &no_args, checker->options->platform, NULL, &consumed, &err);
	for (size_t i = 0; i < checker->dockerfile->count; i++) {
		const struct instruction *from = &checker->dockerfile->instructions[i];
		AUTO(check_lookup_fini) struct check_lookup lookup = { .get = get_global, .arg = &stages };
		AUTO(reference_fini) struct reference reference = { 0 };
		AUTO(error_clear) struct error bad = { 0 };
		AUTO_FREE char *base = NULL;

		if (!is_from(from) || from->args.count == 0)
			continue;
		if (check_expand(&base, from->args.items[0], &lookup, checker->dockerfile->escape, &bad) < 0)
			return;
		if (reference_parse(&reference, base, &bad) < 0)
			check_found_at(checker, from->line, from->last_line, CHECK_DEFAULT_ARG_IN_FROM,
				       "Default value for ARG %s results in empty or invalid base image name",
				       from->args.items[0]);
	}
}

void check_from_lines(struct checker *checker)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	check_defaults(checker);
	global_names(&names, checker);
	for (size_t i = 0; i < checker->dockerfile->count; i++)
		if (is_from(&checker->dockerfile->instructions[i]))
			check_from(checker, &checker->dockerfile->instructions[i], &names);
}
