/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/instruction.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/suggest.h"
#include "json/value.h"

enum shape {
	SHAPE_WORDS,	     /* FROM, EXPOSE */
	SHAPE_JSON_OR_WORDS, /* ADD COPY VOLUME */
	SHAPE_JSON_OR_LINE,  /* RUN CMD ENTRYPOINT SHELL */
	SHAPE_NAMES,	     /* ARG */
	SHAPE_PAIRS,	     /* ENV LABEL */
	SHAPE_LINE,	     /* MAINTAINER STOPSIGNAL USER WORKDIR */
	SHAPE_HEALTH,	     /* HEALTHCHECK */
	SHAPE_NESTED	     /* ONBUILD */
};

static const struct {
	const char *keyword;
	enum shape shape;
} shapes[] = {
	{ "add", SHAPE_JSON_OR_WORDS },
	{ "arg", SHAPE_NAMES },
	{ "cmd", SHAPE_JSON_OR_LINE },
	{ "copy", SHAPE_JSON_OR_WORDS },
	{ "entrypoint", SHAPE_JSON_OR_LINE },
	{ "env", SHAPE_PAIRS },
	{ "expose", SHAPE_WORDS },
	{ "from", SHAPE_WORDS },
	{ "healthcheck", SHAPE_HEALTH },
	{ "label", SHAPE_PAIRS },
	{ "maintainer", SHAPE_LINE },
	{ "onbuild", SHAPE_NESTED },
	{ "run", SHAPE_JSON_OR_LINE },
	{ "shell", SHAPE_JSON_OR_LINE },
	{ "stopsignal", SHAPE_LINE },
	{ "user", SHAPE_LINE },
	{ "volume", SHAPE_JSON_OR_WORDS },
	{ "workdir", SHAPE_LINE },
};

static int find_shape(enum shape *out_shape, const char *keyword)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (text_equal(shapes[i].keyword, keyword)) {
			*out_shape = shapes[i].shape;
			return 1;
		}
	}
	return 0;
}

static int unknown_keyword(const char *keyword, const char *written, struct error *err)
{
	struct suggestion best = { 0 };
	AUTO_FREE char *upper = NULL;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		suggest_offer(&best, keyword, shapes[i].keyword);
	if (!best.word)
		return error_set(err, ERR_INVALID, "unknown instruction: %s", written);
	upper = xstrdup(best.word);
	for (char *c = upper; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return error_set(err, ERR_INVALID, "unknown instruction: %s (did you mean %s?)", written, upper);
}

static const char *skip_blanks(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

/* The end of the word at `at`: blanks inside quotes and behind the escape character do not end it. */
static const char *word_end(const char *at, char escape)
{
	char quote = 0;

	for (; *at && (quote || !isspace((unsigned char)*at)); at++) {
		if (*at == escape && quote != '\'' && at[1])
			at++;
		else if (quote && *at == quote)
			quote = 0;
		else if (!quote && (*at == '"' || *at == '\''))
			quote = *at;
	}
	return at;
}

static void split_words(struct text_list *words, const char *at, char escape, bool quoted)
{
	for (at = skip_blanks(at); *at; at = skip_blanks(at)) {
		const char *end = quoted ? word_end(at, escape) : at + strcspn(at, " \t\r\n\v\f");

		text_list_add_take(words, xstrndup(at, (size_t)(end - at)));
		at = end;
	}
}

static void add_line(struct text_list *args, const char *rest)
{
	AUTO_FREE char *copy = xstrdup(rest);
	const char *trimmed = text_trim(copy);

	if (*trimmed)
		text_list_add(args, trimmed);
}

/* 1 when the rest is a JSON array of strings, 0 when it is no JSON (shell form), or fails. */
/*
 * "\u0000" is a string for the language, and none for a program's argument: it becomes another character, which no text
 * has, until somebody wants to use it.
 */
static char *without_nul(const char *text, bool *out_found)
{
	struct text out = { 0 };

	*out_found = false;
	while (*text) {
		bool nul = text_has_prefix(text, "\\u0000");
		size_t size = nul ? 6 : *text == '\\' && text[1] ? 2 : 1;

		*out_found = *out_found || nul;
		text_add_bytes(&out, nul ? INSTRUCTION_NUL : text, nul ? strlen(INSTRUCTION_NUL) : size);
		text += size;
	}
	return text_take(&out);
}

static int parse_json(struct instruction *instruction, const char *rest, struct error *err)
{
	AUTO(error_clear) struct error not_json = { 0 };
	AUTO(json_value_freep) struct json_value *value = NULL;
	AUTO_FREE char *plain = NULL;
	bool has_nul;

	rest = skip_blanks(rest);
	if (*rest != '[')
		return 0;
	plain = without_nul(rest, &has_nul);
	if (json_value_parse(&value, plain, strlen(plain), &not_json) < 0 || json_value_type(value) != JSON_TYPE_ARRAY)
		return 0;
	for (size_t i = 0; i < json_value_count(value); i++) {
		const char *text = json_value_text(json_value_at(value, i));

		if (!text) {
			text_list_fini(&instruction->args);
			return error_set(err, ERR_INVALID,
					 "when using JSON array syntax, arrays must be comprised of strings only");
		}
		text_list_add(&instruction->args, text);
	}
	instruction->json = true;
	instruction->has_nul = has_nul;
	return 1;
}

static int parse_pairs(struct instruction *instruction, const char *rest, char escape, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };
	const char *second;

	split_words(&words, rest, escape, true);
	if (words.count == 0)
		return 0;
	if (!strchr(words.items[0], '=')) {
		/* The old form: ENV KEY everything else. */
		instruction->legacy = true;
		second = skip_blanks(word_end(skip_blanks(rest), escape));
		if (!*second)
			return error_set(err, ERR_INVALID, "%s must have two arguments",
					 text_equal(instruction->keyword, "env") ? "ENV" : "LABEL");
		text_list_add(&instruction->args, words.items[0]);
		add_line(&instruction->args, second);
		return 0;
	}
	for (size_t i = 0; i < words.count; i++) {
		const char *equals = strchr(words.items[i], '=');

		if (!equals)
			return error_set(err, ERR_INVALID,
					 "Syntax error - can't find = in \"%s\". Must be of the form: name=value",
					 words.items[i]);
		text_list_add_take(&instruction->args, xstrndup(words.items[i], (size_t)(equals - words.items[i])));
		text_list_add(&instruction->args, equals + 1);
	}
	return 0;
}

static int parse_health(struct instruction *instruction, const char *rest, struct error *err)
{
	const char *end;

	rest = skip_blanks(rest);
	end = rest + strcspn(rest, " \t\r\n\v\f");
	if (end == rest)
		return 0;
	text_list_add_take(&instruction->args, xstrndup(rest, (size_t)(end - rest)));
	if (parse_json(instruction, end, err) < 0)
		return -1;
	if (!instruction->json)
		add_line(&instruction->args, end);
	return 0;
}

static int parse_nested(struct instruction *instruction, const char *rest, char escape, struct error *err)
{
	rest = skip_blanks(rest);
	if (!*rest)
		return 0;
	/* The language knows no ONBUILD of an ONBUILD; refusing it here also bounds the recursion. */
	if (strncasecmp(rest, "onbuild", 7) == 0 && (!rest[7] || isspace((unsigned char)rest[7])))
		return error_set(err, ERR_INVALID, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	instruction->nested = xcalloc(1, sizeof(*instruction->nested));
	return instruction_parse(instruction->nested, rest, escape, err);
}

static int parse_args(struct instruction *instruction, enum shape shape, const char *rest, char escape,
		      struct error *err)
{
	int r;

	switch (shape) {
	case SHAPE_WORDS:
		split_words(&instruction->args, rest, escape, false);
		return 0;
	case SHAPE_NAMES:
		split_words(&instruction->args, rest, escape, true);
		return 0;
	case SHAPE_JSON_OR_WORDS:
		r = parse_json(instruction, rest, err);
		if (r == 0)
			split_words(&instruction->args, rest, escape, false);
		return r < 0 ? -1 : 0;
	case SHAPE_JSON_OR_LINE:
		r = parse_json(instruction, rest, err);
		if (r == 0)
			add_line(&instruction->args, rest);
		return r < 0 ? -1 : 0;
	case SHAPE_PAIRS:
		return parse_pairs(instruction, rest, escape, err);
	case SHAPE_HEALTH:
		return parse_health(instruction, rest, err);
	case SHAPE_NESTED:
		return parse_nested(instruction, rest, escape, err);
	case SHAPE_LINE:
		add_line(&instruction->args, rest);
		return 0;
	}
	return 0;
}

/* Takes the "--flag" words off the front; returns what is left. */
static const char *parse_flags(struct instruction *instruction, const char *rest, char escape)
{
	for (rest = skip_blanks(rest); text_has_prefix(rest, "--"); rest = skip_blanks(rest)) {
		const char *end = word_end(rest, escape);

		if (end - rest == 2)
			return end;
		text_list_add_take(&instruction->flags, xstrndup(rest, (size_t)(end - rest)));
		rest = end;
	}
	return rest;
}

int instruction_parse(struct instruction *instruction, const char *line, char escape, struct error *err)
{
	const char *start = skip_blanks(line);
	const char *end = start + strcspn(start, " \t\r\n\v\f");
	AUTO_FREE char *written = xstrndup(start, (size_t)(end - start));
	enum shape shape;

	instruction->original = xstrdup(line);
	instruction->keyword = xstrdup(written);
	for (char *c = instruction->keyword; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!find_shape(&shape, instruction->keyword))
		return unknown_keyword(instruction->keyword, written, err);
	end = parse_flags(instruction, end, escape);
	return parse_args(instruction, shape, end, escape, err);
}

void instruction_fini(struct instruction *instruction)
{
	free(instruction->keyword);
	free(instruction->original);
	free(instruction->comment);
	text_list_fini(&instruction->flags);
	text_list_fini(&instruction->args);
	for (size_t i = 0; i < instruction->heredoc_count; i++) {
		free(instruction->heredocs[i].name);
		free(instruction->heredocs[i].body);
	}
	free(instruction->heredocs);
	if (instruction->nested)
		instruction_fini(instruction->nested);
	free(instruction->nested);
	*instruction = (struct instruction){ 0 };
}

/* "<<EOF", "3<<-'EOF'": fills name and expand; 1 if the word is one, 0 if not. */
static int parse_heredoc_word(struct heredoc *out_heredoc, bool *out_strip_tabs, const char *word)
{
	struct text name = { 0 };
	bool quoted = false;
	char quote = 0;

	word += strspn(word, "0123456789");
	if (!text_has_prefix(word, "<<") || word[2] == '<')
		return 0;
	word += 2;
	*out_strip_tabs = *word == '-';
	word += *out_strip_tabs;
	for (; *word; word++) {
		if (quote && *word == quote) {
			quote = 0;
		} else if (!quote && (*word == '"' || *word == '\'')) {
			quote = *word;
			quoted = true;
		} else if (*word == '<') {
			break;
		} else {
			text_add_char(&name, *word);
		}
	}
	if (*word || quote || !name.size) {
		text_fini(&name);
		return 0;
	}
	*out_heredoc = (struct heredoc){ .name = text_take(&name), .expand = !quoted };
	return 1;
}

void instruction_find_heredocs(struct instruction *instruction, const char *line, bool **out_strip_tabs)
{
	const struct instruction *last = instruction->nested ? instruction->nested : instruction;
	AUTO(text_list_fini) struct text_list words = { 0 };
	size_t capacity = 0;
	size_t strip_capacity = 0;
	bool *strip = NULL;

	*out_strip_tabs = NULL;
	if (last->json || !(text_equal(last->keyword, "run") || text_equal(last->keyword, "copy") ||
			    text_equal(last->keyword, "add")))
		return;
	split_words(&words, line, '\\', true);
	for (size_t i = 0; i < words.count; i++) {
		struct heredoc heredoc;
		bool tabs;

		if (!parse_heredoc_word(&heredoc, &tabs, words.items[i]))
			continue;
		instruction->heredocs = xgrow(instruction->heredocs, &capacity, instruction->heredoc_count + 1,
					      sizeof(*instruction->heredocs));
		strip = xgrow(strip, &strip_capacity, instruction->heredoc_count + 1, sizeof(*strip));
		strip[instruction->heredoc_count] = tabs;
		instruction->heredocs[instruction->heredoc_count++] = heredoc;
	}
	*out_strip_tabs = strip;
}
