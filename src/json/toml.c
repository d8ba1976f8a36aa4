/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: one pass over the text; `table` is the one [headers] opened last.
 * Values are turned into JSON text as they are read; the tree only holds what
 * may still grow.
 */
#include "json/toml.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "json/toml_tree.h"

#define SIZE_MAX_BYTES (4 * 1024 * 1024)
#define DEPTH_MAX 32
#define BARE "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define VALUE_CHARACTERS BARE "+.:"

struct parse {
	const char *at;
	const char *end;
	unsigned line;
	unsigned depth;
	struct toml_node *root;
	struct toml_node *table; /* borrowed: where keys go */
	struct error *err;
};

DEFINE_AUTO(struct toml_node, toml_node_free)

static int fail(struct parse *parse, const char *words)
{
	return error_set(parse->err, ERR_INVALID, "line %u: %s", parse->line, words);
}

/* ---- characters ---- */

static char peek(const struct parse *parse)
{
	return parse->at < parse->end ? *parse->at : '\0';
}

static bool take(struct parse *parse, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(parse->end - parse->at) < size || memcmp(parse->at, word, size) != 0)
		return false;
	parse->at += size;
	return true;
}

static void skip_blanks(struct parse *parse)
{
	while (peek(parse) == ' ' || peek(parse) == '\t')
		parse->at++;
}

static void skip_comment(struct parse *parse)
{
	if (peek(parse) == '#')
		while (parse->at < parse->end && *parse->at != '\n')
			parse->at++;
}

static bool take_newline(struct parse *parse)
{
	if (!take(parse, "\r\n") && !take(parse, "\n"))
		return false;
	parse->line++;
	return true;
}

/* Blanks, comments and lines: between the items of an array, or statements. */
static void skip_lines(struct parse *parse)
{
	do {
		skip_blanks(parse);
		skip_comment(parse);
	} while (take_newline(parse));
}

/* ---- strings ---- */

static void add_utf8(struct text *out, uint32_t point)
{
	if (point < 0x80) {
		text_add_char(out, (char)point);
	} else if (point < 0x800) {
		text_add_char(out, (char)(0xc0 | point >> 6));
		text_add_char(out, (char)(0x80 | (point & 0x3f)));
	} else if (point < 0x10000) {
		text_add_char(out, (char)(0xe0 | point >> 12));
		text_add_char(out, (char)(0x80 | (point >> 6 & 0x3f)));
		text_add_char(out, (char)(0x80 | (point & 0x3f)));
	} else {
		text_add_char(out, (char)(0xf0 | point >> 18));
		text_add_char(out, (char)(0x80 | (point >> 12 & 0x3f)));
		text_add_char(out, (char)(0x80 | (point >> 6 & 0x3f)));
		text_add_char(out, (char)(0x80 | (point & 0x3f)));
	}
}

static int take_point(struct parse *parse, struct text *out, int digits)
{
	char hex[9] = { 0 };
	uint32_t point;

	if (parse->end - parse->at < digits)
		return fail(parse, "a character's number is cut short");
	memcpy(hex, parse->at, (size_t)digits);
	if (strspn(hex, "0123456789abcdefABCDEF") != (size_t)digits)
		return fail(parse, "a character's number is not hexadecimal");
	point = (uint32_t)strtoul(hex, NULL, 16);
	if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return fail(parse, "there is no character of that number");
	parse->at += digits;
	add_utf8(out, point);
	return 0;
}

static int take_escape(struct parse *parse, struct text *out, bool lines)
{
	static const char from[] = "btnfre\"\\";
	static const char to[] = "\b\t\n\f\r\033\"\\";
	char c = peek(parse);
	const char *found = c ? strchr(from, c) : NULL;

	/* A line that ends in a backslash goes on at the next word. */
	if (lines && (c == '\n' || c == '\r' || c == ' ' || c == '\t')) {
		skip_blanks(parse);
		if (!take_newline(parse))
			return fail(parse, "a backslash before nothing it could mean");
		do
			skip_blanks(parse);
		while (take_newline(parse));
		return 0;
	}
	parse->at++;
	if (found)
		text_add_char(out, to[found - from]);
	else if (c == 'u' || c == 'U')
		return take_point(parse, out, c == 'u' ? 4 : 8);
	else
		return fail(parse, "a backslash before nothing it could mean");
	return 0;
}

/* One character of a text, or what a backslash means. */
static int take_character(struct parse *parse, struct text *out, bool basic, bool lines)
{
	char c = *parse->at;

	if (c == '\0' || (!lines && (c == '\n' || c == '\r')))
		return fail(parse, "a text without an end");
	parse->at++;
	if (basic && c == '\\')
		return take_escape(parse, out, lines);
	if (c == '\n')
		parse->line++;
	text_add_char(out, c);
	return 0;
}

static int take_string(struct parse *parse, struct text *out)
{
	bool basic = peek(parse) == '"';
	const char *one = basic ? "\"" : "'";
	const char *three = basic ? "\"\"\"" : "'''";
	bool lines = take(parse, three);
	const char *quote = lines ? three : one;

	if (lines)
		take_newline(parse);
	else
		parse->at++;
	while (parse->at < parse->end) {
		if (!take(parse, quote)) {
			if (take_character(parse, out, basic, lines) < 0)
				return -1;
			continue;
		}
		/* Up to two more quotes may stand before the last three. */
		for (int i = 0; lines && i < 2 && peek(parse) == *one; i++)
			text_add_char(out, *parse->at++);
		return 0;
	}
	return fail(parse, "a text without an end");
}

/* ---- values ---- */

static bool is_number(const char *text, bool *out_whole)
{
	const char *c = *text == '-' || *text == '+' ? text + 1 : text;
	size_t digits = strspn(c, "0123456789");

	*out_whole = c[digits] == '\0';
	if (digits == 0 || (digits > 1 && *c == '0'))
		return false;
	c += digits;
	if (*c == '.') {
		digits = strspn(c + 1, "0123456789");
		if (digits == 0)
			return false;
		c += digits + 1;
	}
	if (*c == 'e' || *c == 'E') {
		c += c[1] == '-' || c[1] == '+' ? 2 : 1;
		digits = strspn(c, "0123456789");
		if (digits == 0)
			return false;
		c += digits;
	}
	return *c == '\0';
}

/* 0x1f, 0o17, 0b11: the number, or 0 for none. */
static bool is_based(const char *text, unsigned long long *out_value)
{
	int base = text_has_prefix(text, "0x")	 ? 16
		   : text_has_prefix(text, "0o") ? 8
		   : text_has_prefix(text, "0b") ? 2
						 : 0;
	char *end = NULL;

	if (base == 0 || text[2] == '\0' || text[2] == '-' || text[2] == '+')
		return false;
	*out_value = strtoull(text + 2, &end, base);
	return *end == '\0' && *out_value <= INT64_MAX;
}

/* 1979-05-27, 07:32:00, or both: not looked at closer, a text to us. */
static bool is_date(const char *text)
{
	return strlen(text) >= 8 && strspn(text, "0123456789") >= 2 && strpbrk(text, "-:") &&
	       strspn(text, "0123456789-:.+TtZz ") == strlen(text);
}

static char *take_word(struct parse *parse)
{
	struct text word = { 0 };

	while (peek(parse) && strchr(VALUE_CHARACTERS, peek(parse))) {
		char c = *parse->at++;
		bool between = c == '_' && word.size && strchr("0123456789abcdefABCDEF", word.data[word.size - 1]);

		if (!between)
			text_add_char(&word, c);
	}
	return text_take(&word);
}

static int take_scalar(struct parse *parse, struct toml_node *node)
{
	AUTO_FREE char *word = take_word(parse);
	unsigned long long based;
	bool whole;

	if (text_equal(word, "true") || text_equal(word, "false")) {
		node->raw = take_ptr(word);
	} else if (is_number(word, &whole)) {
		/* JSON has no plus, and whole numbers have an end. */
		if (whole && strlen(word) > 19)
			return fail(parse, "the number is too large");
		node->raw = xstrdup(*word == '+' ? word + 1 : word);
	} else if (is_based(word, &based)) {
		node->raw = xasprintf("%llu", based);
	} else if (is_date(word)) {
		struct text quoted = { 0 };

		toml_encode_text(&quoted, word, strlen(word));
		node->raw = text_take(&quoted);
	} else {
		return fail(parse, "expected a value");
	}
	return 0;
}

static int take_value(struct parse *parse, struct toml_node **out_node);

static int take_array(struct parse *parse, struct toml_node *array)
{
	array->closed = true;
	parse->at++;
	for (;;) {
		struct toml_node *item = NULL;

		skip_lines(parse);
		if (take(parse, "]"))
			return 0;
		if (take_value(parse, &item) < 0)
			return -1;
		toml_node_add(array, NULL, item);
		skip_lines(parse);
		if (take(parse, "]"))
			return 0;
		if (!take(parse, ","))
			return fail(parse, "expected a comma or the end of the list");
	}
}

static int take_pair(struct parse *parse, struct toml_node *table);

static int take_inline_table(struct parse *parse, struct toml_node *table)
{
	parse->at++;
	skip_blanks(parse);
	while (!take(parse, "}")) {
		if (table->count && !take(parse, ","))
			return fail(parse, "expected a comma or the end of the table");
		skip_blanks(parse);
		if (take_pair(parse, table) < 0)
			return -1;
		skip_blanks(parse);
	}
	table->closed = true;
	return 0;
}

static int take_any(struct parse *parse, struct toml_node **out_node)
{
	char c = peek(parse);
	AUTO(toml_node_freep)
	struct toml_node *node = toml_node_new(c == '[' ? TOML_ARRAY : c == '{' ? TOML_TABLE : TOML_VALUE);
	int r;

	if (c == '"' || c == '\'') {
		AUTO(text_fini) struct text text = { 0 };
		struct text quoted = { 0 };

		r = take_string(parse, &text);
		toml_encode_text(&quoted, text.data, text.size);
		node->raw = text_take(&quoted);
	} else if (c == '[') {
		r = take_array(parse, node);
	} else if (c == '{') {
		r = take_inline_table(parse, node);
	} else {
		r = take_scalar(parse, node);
	}
	if (r < 0)
		return -1;
	*out_node = take_ptr(node);
	return 0;
}

static int take_value(struct parse *parse, struct toml_node **out_node)
{
	int r;

	if (++parse->depth > DEPTH_MAX)
		return fail(parse, "nested too deep");
	r = take_any(parse, out_node);
	parse->depth--;
	return r;
}

/* ---- keys ---- */

static int take_simple_key(struct parse *parse, char **out_key)
{
	AUTO(text_fini) struct text key = { 0 };

	if (peek(parse) == '"' || peek(parse) == '\'') {
		if (take_string(parse, &key) < 0)
			return -1;
	} else {
		while (peek(parse) && strchr(BARE, peek(parse)))
			text_add_char(&key, *parse->at++);
		if (key.size == 0)
			return fail(parse, "expected a name");
	}
	*out_key = text_take(&key);
	return 0;
}

/* a."b.c".d */
static int take_key(struct parse *parse, struct text_list *out_parts)
{
	do {
		char *part = NULL;

		skip_blanks(parse);
		if (take_simple_key(parse, &part) < 0)
			return -1;
		text_list_add_take(out_parts, part);
		if (out_parts->count > DEPTH_MAX)
			return fail(parse, "nested too deep");
		skip_blanks(parse);
	} while (take(parse, "."));
	return 0;
}

/* The table of that name in `table`, made if there is none; the last one of an array of tables. NULL: it is no table. */
static struct toml_node *enter(struct parse *parse, struct toml_node *table, const char *key)
{
	struct toml_node *found = toml_node_find(table, key);

	if (!found) {
		found = toml_node_new(TOML_TABLE);
		toml_node_add(table, key, found);
	}
	if (found->kind == TOML_ARRAY && found->of_tables)
		found = found->items[found->count - 1];
	if (found->kind == TOML_TABLE)
		return found;
	fail(parse, "this name is no table");
	return NULL;
}

static int take_pair(struct parse *parse, struct toml_node *table)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	struct toml_node *value = NULL;

	if (take_key(parse, &parts) < 0)
		return -1;
	for (size_t i = 0; i + 1 < parts.count; i++) {
		table = enter(parse, table, parts.items[i]);
		if (!table)
			return -1;
		if (table->closed)
			return fail(parse, "this table is closed");
	}
	if (toml_node_find(table, parts.items[parts.count - 1]))
		return fail(parse, "this name is there twice");
	if (!take(parse, "="))
		return fail(parse, "expected = behind the name");
	skip_blanks(parse);
	if (take_value(parse, &value) < 0)
		return -1;
	toml_node_add(table, parts.items[parts.count - 1], value);
	return 0;
}

/* ---- headers ---- */

/* [[name]]: one more table in the array. */
static int open_item(struct parse *parse, struct toml_node *table, const char *key)
{
	struct toml_node *array = toml_node_find(table, key);

	if (!array) {
		array = toml_node_new(TOML_ARRAY);
		array->of_tables = true;
		toml_node_add(table, key, array);
	}
	if (!array->of_tables)
		return fail(parse, "this name is no list of tables");
	parse->table = toml_node_new(TOML_TABLE);
	toml_node_add(array, NULL, parse->table);
	return 0;
}

static int open_table(struct parse *parse, struct toml_node *table, const char *key)
{
	struct toml_node *found = toml_node_find(table, key);

	if (found && (found->kind != TOML_TABLE || found->closed))
		return fail(parse, "this name is there twice");
	parse->table = enter(parse, table, key);
	if (!parse->table)
		return -1;
	parse->table->closed = true;
	return 0;
}

static int take_header(struct parse *parse)
{
	AUTO(text_list_fini) struct text_list parts = { 0 };
	struct toml_node *table = parse->root;
	bool item = take(parse, "[[");

	if (!item)
		parse->at++;
	if (take_key(parse, &parts) < 0)
		return -1;
	if (!take(parse, item ? "]]" : "]"))
		return fail(parse, "expected the end of the table's name");
	for (size_t i = 0; i + 1 < parts.count; i++) {
		table = enter(parse, table, parts.items[i]);
		if (!table)
			return -1;
	}
	return item ? open_item(parse, table, parts.items[parts.count - 1])
		    : open_table(parse, table, parts.items[parts.count - 1]);
}

/* ---- together ---- */

static int take_statement(struct parse *parse)
{
	int r = peek(parse) == '[' ? take_header(parse) : take_pair(parse, parse->table);

	if (r < 0)
		return -1;
	skip_blanks(parse);
	skip_comment(parse);
	return parse->at == parse->end || take_newline(parse) ? 0 : fail(parse, "expected the end of the line");
}

int toml_to_json(char **out_json, const char *text, size_t size, struct error *err)
{
	AUTO(toml_node_freep) struct toml_node *root = toml_node_new(TOML_TABLE);
	struct parse parse = { .at = text, .end = text + size, .line = 1, .root = root, .table = root, .err = err };
	struct text json = { 0 };

	if (size > SIZE_MAX_BYTES)
		return error_set(err, ERR_INVALID, "larger than %d bytes", SIZE_MAX_BYTES);
	for (skip_lines(&parse); parse.at < parse.end; skip_lines(&parse))
		if (take_statement(&parse) < 0)
			return -1;
	toml_node_encode(&json, root);
	*out_json = text_take(&json);
	return 0;
}
