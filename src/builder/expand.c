/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one pass over the text with a cursor. Each construct returns
 * its value in a struct text; `words` collects the same characters a second
 * time, split at blanks that came from outside quotes.
 */
#include "builder/expand.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define DEPTH_MAX 64

struct expansion {
	const struct expand_scope *scope;
	const char *at;
	bool keep_quotes; /* heredoc bodies */
	unsigned depth;
	struct text_list *words; /* NULL: not wanted */
	struct text word;
	bool in_word;
};

static int read_until(struct expansion *expansion, struct text *out, char stop, bool raw_escapes, bool top,
		      struct error *err);

/* ---- words ---- */

static void add_raw(struct expansion *expansion, char c)
{
	text_add_char(&expansion->word, c);
	expansion->in_word = true;
}

static void add_splitting(struct expansion *expansion, char c)
{
	if (!isspace((unsigned char)c)) {
		add_raw(expansion, c);
		return;
	}
	if (!expansion->in_word)
		return;
	if (expansion->word.size && expansion->words)
		text_list_add_take(expansion->words, text_take(&expansion->word));
	text_reset(&expansion->word);
	expansion->in_word = false;
}

static void add_value(struct expansion *expansion, const struct text *value, bool splits)
{
	for (size_t i = 0; i < value->size; i++) {
		if (splits)
			add_splitting(expansion, value->data[i]);
		else
			add_raw(expansion, value->data[i]);
	}
	if (!splits)
		expansion->in_word = true;
}

/* ---- globs of # % / ---- */

/* Whether the pattern (* ? and escapes) matches the whole of text[0..size). */
static bool glob_matches(const char *pattern, const char *text, size_t size)
{
	const char *end = text + size;
	const char *star = NULL;
	const char *star_text = NULL;

	for (;;) {
		const char *p = pattern;

		if (*p == '*') {
			star = ++pattern;
			star_text = text;
			continue;
		}
		if (!*p && text == end)
			return true;
		if (*p == '\\' && p[1])
			p++;
		if (text < end && *p && (*p == *text || (*pattern == '?'))) {
			pattern = p + 1;
			text++;
			continue;
		}
		if (!star || star_text == end)
			return false;
		pattern = star;
		text = ++star_text;
	}
}

static void trim_prefix(struct text *out, const char *value, const char *pattern, bool longest)
{
	size_t size = strlen(value);
	size_t cut = 0;
	bool found = false;

	for (size_t i = 0; i <= size && (longest || !found); i++) {
		if (glob_matches(pattern, value, i)) {
			cut = i;
			found = true;
		}
	}
	text_add(out, value + cut);
}

static void trim_suffix(struct text *out, const char *value, const char *pattern, bool longest)
{
	size_t size = strlen(value);
	size_t keep = size;
	bool found = false;

	for (size_t i = size + 1; i > 0 && (longest || !found); i--) {
		if (glob_matches(pattern, value + i - 1, size - i + 1)) {
			keep = i - 1;
			found = true;
		}
	}
	text_add_bytes(out, value, keep);
}

/* The longest match that starts at `value`; SIZE_MAX: none. */
static size_t match_here(const char *pattern, const char *value)
{
	for (size_t size = strlen(value) + 1; size > 0; size--)
		if (glob_matches(pattern, value, size - 1))
			return size - 1;
	return SIZE_MAX;
}

static void replace(struct text *out, const char *value, const char *pattern, const char *replacement, bool all)
{
	bool done = !*pattern;

	while (*value) {
		size_t size = done ? SIZE_MAX : match_here(pattern, value);

		if (size == SIZE_MAX || size == 0) {
			text_add_char(out, *value++);
			continue;
		}
		text_add(out, replacement);
		value += size;
		done = !all;
	}
}

/* ---- $ ---- */

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Moves over a name; "" if there is none. */
static char *read_name(struct expansion *expansion)
{
	const char *start = expansion->at;

	if (isdigit((unsigned char)*start)) {
		expansion->at += strspn(start, "0123456789");
	} else if (*start && strchr("@*#?-$!0", *start)) {
		expansion->at++;
	} else {
		while (is_name_char(*expansion->at))
			expansion->at++;
	}
	return xstrndup(start, (size_t)(expansion->at - start));
}

static int missing_brace(struct error *err)
{
	return error_set(err, ERR_INVALID, "syntax error: missing '}'");
}

/* The word behind an operator, up to `stop`; nested constructs are expanded, nothing is collected as words. */
static int read_operand(struct expansion *expansion, struct text *out, char stop, bool raw_escapes, struct error *err)
{
	struct expansion inner = { .scope = expansion->scope,
				   .at = expansion->at,
				   .keep_quotes = expansion->keep_quotes,
				   .depth = expansion->depth + 1 };
	int r;

	if (inner.depth > DEPTH_MAX)
		return error_set(err, ERR_INVALID, "syntax error: substitutions nested deeper than %d", DEPTH_MAX);
	r = read_until(&inner, out, stop, raw_escapes, false, err);
	text_fini(&inner.word);
	expansion->at = inner.at;
	return r;
}

static int required(const char *name, const char *word, bool set, struct error *err)
{
	if (*word)
		return error_set(err, ERR_INVALID, "%s: %s", name, word);
	return error_set(err, ERR_INVALID, "%s: is not allowed to be %s", name, set ? "empty" : "unset");
}

static int apply_operator(struct text *out, char operation, bool null_is_unset, const char *name, const char *word,
			  const char *value, struct error *err)
{
	bool usable = value && !(null_is_unset && !*value);
	bool longest = word[0] == operation;

	switch (operation) {
	case '-':
		text_add(out, usable ? value : word);
		return 0;
	case '+':
		text_add(out, usable ? word : "");
		return 0;
	case '?':
		if (!usable)
			return required(name, word, value != NULL, err);
		text_add(out, value);
		return 0;
	case '#':
		trim_prefix(out, text_or_empty(value), word + longest, longest);
		return 0;
	default:
		trim_suffix(out, text_or_empty(value), word + longest, longest);
		return 0;
	}
}

static int expand_replacement(struct expansion *expansion, struct text *out, const char *value, struct error *err)
{
	AUTO(text_fini) struct text pattern = { 0 };
	AUTO(text_fini) struct text replacement = { 0 };
	bool all = *expansion->at == '/';

	expansion->at += all;
	if (read_operand(expansion, &pattern, '/', true, err) < 0 ||
	    read_operand(expansion, &replacement, '}', true, err) < 0)
		return -1;
	replace(out, text_or_empty(value), text_or_empty(pattern.data), text_or_empty(replacement.data), all);
	return 0;
}

/* Behind "${". */
static int expand_braces(struct expansion *expansion, struct text *out, struct error *err)
{
	AUTO(text_fini) struct text word = { 0 };
	AUTO_FREE char *name = NULL;
	const char *value;
	bool null_is_unset;
	char operation;

	if (!*expansion->at)
		return missing_brace(err);
	if (strchr("{}:", *expansion->at))
		return error_set(err, ERR_INVALID, "syntax error: bad substitution");
	name = read_name(expansion);
	value = expansion->scope->get(expansion->scope->arg, name);
	operation = *expansion->at;
	if (!operation)
		return missing_brace(err);
	expansion->at++;
	if (operation == '}') {
		text_add(out, text_or_empty(value));
		return 0;
	}
	if (operation == '/')
		return expand_replacement(expansion, out, value, err);
	null_is_unset = operation == ':';
	if (null_is_unset && !*expansion->at)
		return missing_brace(err);
	if (null_is_unset)
		operation = *expansion->at++;
	if (!strchr(null_is_unset ? "+-?" : "+-?#%", operation))
		return error_set(err, ERR_INVALID, "unsupported modifier (%s%c) in substitution",
				 null_is_unset ? ":" : "", operation);
	if (read_operand(expansion, &word, '}', operation == '#' || operation == '%', err) < 0)
		return -1;
	return apply_operator(out, operation, null_is_unset, name, text_or_empty(word.data), value, err);
}

static int expand_dollar(struct expansion *expansion, struct text *out, struct error *err)
{
	AUTO_FREE char *name = NULL;
	const char *value;

	expansion->at++;
	if (*expansion->at == '{') {
		expansion->at++;
		return expand_braces(expansion, out, err);
	}
	name = read_name(expansion);
	if (!*name) {
		text_add_char(out, '$');
		return 0;
	}
	value = expansion->scope->get(expansion->scope->arg, name);
	text_add(out, text_or_empty(value));
	return 0;
}

/* ---- quotes ---- */

static int read_single(struct expansion *expansion, struct text *out, struct error *err)
{
	const char *end = strchr(++expansion->at, '\'');

	if (!end)
		return error_set(err, ERR_INVALID,
				 "unexpected end of statement while looking for matching single-quote");
	text_add_bytes(out, expansion->at, (size_t)(end - expansion->at));
	expansion->at = end + 1;
	return 0;
}

static int read_double(struct expansion *expansion, struct text *out, struct error *err)
{
	char escape = expansion->scope->escape;

	expansion->at++;
	for (;;) {
		char c = *expansion->at;

		if (!c)
			return error_set(err, ERR_INVALID,
					 "unexpected end of statement while looking for matching double-quote");
		if (c == '"') {
			expansion->at++;
			return 0;
		}
		if (c == '$') {
			if (expand_dollar(expansion, out, err) < 0)
				return -1;
			continue;
		}
		if (c == escape) {
			char next = expansion->at[1];

			if (!next) {
				expansion->at++;
				continue;
			}
			if (next == '"' || next == '$' || next == escape)
				c = *++expansion->at;
		}
		text_add_char(out, c);
		expansion->at++;
	}
}

/* ---- all ---- */

/* A quote or a dollar. `out` gets the value. */
static int read_special(struct expansion *expansion, struct text *out, struct error *err)
{
	AUTO(text_fini) struct text value = { 0 };
	char kind = *expansion->at;
	int r;

	if (kind == '$')
		r = expand_dollar(expansion, &value, err);
	else
		r = kind == '"' ? read_double(expansion, &value, err) : read_single(expansion, &value, err);
	if (r < 0)
		return -1;
	add_value(expansion, &value, kind == '$');
	text_add_bytes(out, value.data, value.size);
	return 0;
}

static bool is_special(const struct expansion *expansion, char c)
{
	return c == '$' || (!expansion->keep_quotes && (c == '"' || c == '\''));
}

/* Behind the escape character: the next one counts as it is. */
static void read_escaped(struct expansion *expansion, struct text *out, bool raw_escapes)
{
	char escape = expansion->scope->escape;
	char c = *expansion->at;

	/* In a heredoc only what would expand needs protection; anywhere else the escape goes. */
	if (raw_escapes || (expansion->keep_quotes && c != '$' && c != escape))
		text_add_char(out, escape);
	if (!c)
		return;
	expansion->at++;
	add_raw(expansion, c);
	text_add_char(out, c);
}

static int read_until(struct expansion *expansion, struct text *out, char stop, bool raw_escapes, bool top,
		      struct error *err)
{
	for (;;) {
		char c = *expansion->at;

		if (!c)
			return top ? 0 : missing_brace(err);
		if (is_special(expansion, c)) {
			if (read_special(expansion, out, err) < 0)
				return -1;
			continue;
		}
		expansion->at++;
		if (!top && c == stop)
			return 0;
		if (c == expansion->scope->escape) {
			read_escaped(expansion, out, raw_escapes);
			continue;
		}
		add_splitting(expansion, c);
		text_add_char(out, c);
	}
}

static int expand(char **out_text, struct text_list *out_words, const char *word, const struct expand_scope *scope,
		  bool keep_quotes, struct error *err)
{
	struct expansion expansion = { .scope = scope, .at = word, .keep_quotes = keep_quotes, .words = out_words };
	AUTO(text_fini) struct text out = { 0 };
	int r = read_until(&expansion, &out, '\0', false, true, err);

	if (r == 0 && out_words && expansion.word.size)
		text_list_add_take(out_words, text_take(&expansion.word));
	text_fini(&expansion.word);
	if (r < 0)
		return -1;
	if (out_text)
		*out_text = text_take(&out);
	return 0;
}

int expand_word(char **out_text, const char *word, const struct expand_scope *scope, struct error *err)
{
	if (expand(out_text, NULL, word, scope, false, err) < 0)
		return error_prefix(err, "failed to process \"%s\"", word);
	return 0;
}

int expand_words(struct text_list *out_words, const char *word, const struct expand_scope *scope, struct error *err)
{
	if (expand(NULL, out_words, word, scope, false, err) < 0)
		return error_prefix(err, "failed to process \"%s\"", word);
	return 0;
}

int expand_body(char **out_text, const char *body, const struct expand_scope *scope, struct error *err)
{
	struct expand_scope plain = *scope;

	plain.escape = '\\';
	return expand(out_text, NULL, body, &plain, true, err);
}
