/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: the source is read once, left to right. Outside {{ }} it is
 * text; inside, one token at a time. Blocks nest by recursion, bounded by
 * TEMPLATE_DEPTH_MAX, since the template may come from anywhere.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "cli/template_tree.h"

enum token_kind {
	TOKEN_END, /* }} */
	TOKEN_EOF,
	TOKEN_WORD,
	TOKEN_FIELD,
	TOKEN_DOT,
	TOKEN_VARIABLE,
	TOKEN_NUMBER,
	TOKEN_TEXT,
	TOKEN_CHAR,
	TOKEN_PIPE,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_DECLARE,
	TOKEN_ASSIGN,
	TOKEN_SPACE
};

struct token {
	enum token_kind kind;
	size_t start;
	size_t end;
};

struct scanner {
	const char *source;
	size_t size;
	size_t at;
	bool trim_next; /* after -}} */
	unsigned depth;
	unsigned loops;
	struct text_list variables;
	struct node *definitions; /* borrowed */
	struct token token;	  /* looked at, not taken */
	bool peeked;
	struct error *err;
};

/* ---- nodes ---- */

struct node *node_new(enum node_kind kind, size_t position)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->kind = kind;
	node->position = position;
	node->start = position;
	node->end = position;
	return node;
}

void node_add(struct node *parent, struct node *child)
{
	parent->items = xgrow(parent->items, &parent->capacity, parent->count + 1, sizeof(*parent->items));
	parent->items[parent->count++] = child;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++)
		node_free(node->items[i]);
	free(node->items);
	free(node->text);
	text_list_fini(&node->names);
	free(node);
}

/* ---- tokens ---- */

static int fail(struct scanner *scanner, const char *reason, size_t start, size_t end)
{
	size_t line = 1;

	for (size_t i = 0; i < start && i < scanner->size; i++)
		line += scanner->source[i] == '\n';
	if (end > start)
		return error_set(scanner->err, ERR_INVALID, "template: :%zu: %s \"%.*s\"", line, reason,
				 (int)(end - start), scanner->source + start);
	return error_set(scanner->err, ERR_INVALID, "template: :%zu: %s", line, reason);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool starts(const struct scanner *scanner, size_t at, const char *text)
{
	return strncmp(scanner->source + at, text, strlen(text)) == 0;
}

static bool at_end_mark(const struct scanner *scanner, size_t at)
{
	return starts(scanner, at, "}}") ||
	       (isspace((unsigned char)scanner->source[at]) && starts(scanner, at + 1, "-}}"));
}

static int scan_quoted(struct scanner *scanner, struct token *token, char quote)
{
	size_t at = token->start + 1;

	for (; at < scanner->size && scanner->source[at] != quote; at++) {
		if (quote != '`' && scanner->source[at] == '\n')
			break;
		if (quote != '`' && scanner->source[at] == '\\')
			at++;
	}
	if (at >= scanner->size || scanner->source[at] != quote)
		return fail(scanner,
			    quote == '`'    ? "unterminated raw quoted string"
			    : quote == '\'' ? "unterminated character constant"
					    : "unterminated quoted string",
			    0, 0);
	token->kind = quote == '\'' ? TOKEN_CHAR : TOKEN_TEXT;
	token->end = at + 1;
	return 0;
}

static size_t word_end(const struct scanner *scanner, size_t at)
{
	while (at < scanner->size && is_word(scanner->source[at]))
		at++;
	return at;
}

static int scan_word(struct scanner *scanner, struct token *token)
{
	const char *source = scanner->source;
	size_t at = token->start;
	char c = source[at];
	bool sign = (c == '-' || c == '+') && isdigit((unsigned char)source[at + 1]);

	if (c == '.' && !isdigit((unsigned char)source[at + 1])) {
		token->end = word_end(scanner, at + 1);
		token->kind = token->end > at + 1 ? TOKEN_FIELD : TOKEN_DOT;
		return 0;
	}
	if (c == '$') {
		token->end = word_end(scanner, at + 1);
		token->kind = TOKEN_VARIABLE;
		return 0;
	}
	if (sign || isdigit((unsigned char)c) || c == '.') {
		for (at += 1; is_word(source[at]) || source[at] == '.'; at++)
			continue;
		token->end = at;
		token->kind = TOKEN_NUMBER;
		return 0;
	}
	if (!is_word(c)) {
		token->end = at + 1;
		return fail(scanner, "unexpected bad character in command:", at, at + 1);
	}
	token->end = word_end(scanner, at);
	token->kind = TOKEN_WORD;
	return 0;
}

/* Punctuation of one or two characters; false if it is none. */
static bool scan_mark(const struct scanner *scanner, struct token *token)
{
	static const struct {
		const char *text;
		enum token_kind kind;
	} marks[] = { { ":=", TOKEN_DECLARE }, { "=", TOKEN_ASSIGN }, { "|", TOKEN_PIPE },
		      { "(", TOKEN_OPEN },     { ")", TOKEN_CLOSE },  { ",", TOKEN_COMMA } };

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (!starts(scanner, token->start, marks[i].text))
			continue;
		token->kind = marks[i].kind;
		token->end = token->start + strlen(marks[i].text);
		return true;
	}
	return false;
}

static int next_token(struct scanner *scanner, struct token *token)
{
	char c;

	if (scanner->peeked) {
		*token = scanner->token;
		scanner->peeked = false;
		scanner->at = token->end;
		return 0;
	}
	*token = (struct token){ .start = scanner->at, .end = scanner->at };
	if (scanner->at >= scanner->size)
		return fail(scanner, "unclosed action", scanner->at, scanner->at);
	if (at_end_mark(scanner, scanner->at)) {
		bool trim = !starts(scanner, scanner->at, "}}");

		token->kind = TOKEN_END;
		token->end = scanner->at + (trim ? 4 : 2);
		scanner->trim_next = trim;
		scanner->at = token->end;
		return 0;
	}
	c = scanner->source[scanner->at];
	if (isspace((unsigned char)c)) {
		token->kind = TOKEN_SPACE;
		while (isspace((unsigned char)scanner->source[token->end]) && !at_end_mark(scanner, token->end))
			token->end++;
	} else if (c == '"' || c == '`' || c == '\'') {
		if (scan_quoted(scanner, token, c) < 0)
			return -1;
	} else if (!scan_mark(scanner, token) && scan_word(scanner, token) < 0) {
		return -1;
	}
	scanner->at = token->end;
	return 0;
}

static int peek_token(struct scanner *scanner, struct token *token)
{
	if (next_token(scanner, token) < 0)
		return -1;
	scanner->token = *token;
	scanner->peeked = true;
	return 0;
}

/* The next one that is no white space. */
static int next_solid(struct scanner *scanner, struct token *token)
{
	do
		if (next_token(scanner, token) < 0)
			return -1;
	while (token->kind == TOKEN_SPACE);
	return 0;
}

static int peek_solid(struct scanner *scanner, struct token *token)
{
	if (next_solid(scanner, token) < 0)
		return -1;
	scanner->token = *token;
	scanner->peeked = true;
	return 0;
}

static char *token_text(const struct scanner *scanner, const struct token *token)
{
	return xstrndup(scanner->source + token->start, token->end - token->start);
}

static bool token_is(const struct scanner *scanner, const struct token *token, const char *word)
{
	return token->kind == TOKEN_WORD && token->end - token->start == strlen(word) &&
	       starts(scanner, token->start, word);
}

static int unexpected(struct scanner *scanner, const struct token *token, const char *where)
{
	AUTO_FREE char *text = token_text(scanner, token);
	AUTO_FREE char *reason = xasprintf("unexpected <%s> in %s", text, where);

	return fail(scanner, reason, token->start, token->start);
}

/* ---- operands ---- */

static void add_utf8(struct text *out, uint32_t rune)
{
	if (rune < 0x80) {
		text_add_char(out, (char)rune);
	} else if (rune < 0x800) {
		text_add_char(out, (char)(0xc0 | rune >> 6));
		text_add_char(out, (char)(0x80 | (rune & 63)));
	} else if (rune < 0x10000) {
		text_add_char(out, (char)(0xe0 | rune >> 12));
		text_add_char(out, (char)(0x80 | (rune >> 6 & 63)));
		text_add_char(out, (char)(0x80 | (rune & 63)));
	} else {
		text_add_char(out, (char)(0xf0 | rune >> 18));
		text_add_char(out, (char)(0x80 | (rune >> 12 & 63)));
		text_add_char(out, (char)(0x80 | (rune >> 6 & 63)));
		text_add_char(out, (char)(0x80 | (rune & 63)));
	}
}

/* Hex or octal digits of \x41, \u0041, \101; moves *at behind them. */
static int escape_digits(struct text *out, const char **at, unsigned base, size_t count, bool rune)
{
	uint32_t value = 0;

	for (; count > 0; count--, (*at)++) {
		const char *digits = "0123456789abcdef";
		const char *found = **at ? strchr(digits, tolower((unsigned char)**at)) : NULL;

		if (!found || (unsigned)(found - digits) >= base)
			return -EINVAL;
		value = value * base + (uint32_t)(found - digits);
	}
	if (value == 0 || value > 0x10ffff || (!rune && value > 255))
		return -EINVAL;
	if (rune)
		add_utf8(out, value);
	else
		text_add_char(out, (char)value);
	return 0;
}

static int unescape(struct text *out, const char **at)
{
	static const char letters[] = "abfnrtv\\'\"";
	static const char values[] = "\a\b\f\n\r\t\v\\'\"";
	const char *found = **at ? strchr(letters, **at) : NULL;

	if (found) {
		text_add_char(out, values[found - letters]);
		(*at)++;
		return 0;
	}
	if (**at >= '0' && **at <= '7')
		return escape_digits(out, at, 8, 3, false);
	(*at)++;
	switch ((*at)[-1]) {
	case 'x':
		return escape_digits(out, at, 16, 2, false);
	case 'u':
		return escape_digits(out, at, 16, 4, true);
	case 'U':
		return escape_digits(out, at, 16, 8, true);
	default:
		return -EINVAL;
	}
}

static int unquote(struct text *out, const char *text, size_t size)
{
	AUTO_FREE char *inner = xstrndup(text + 1, size - 2);
	const char *at = inner;

	if (text[0] == '`') {
		text_add(out, inner);
		return 0;
	}
	while (*at) {
		if (*at != '\\') {
			text_add_char(out, *at++);
			continue;
		}
		at++;
		if (unescape(out, &at) < 0)
			return -EINVAL;
	}
	return 0;
}

static struct node *parse_text_constant(struct scanner *scanner, const struct token *token)
{
	AUTO(node_freep) struct node *node = node_new(NODE_CONSTANT, token->start);
	AUTO(text_fini) struct text text = { 0 };

	if (unquote(&text, scanner->source + token->start, token->end - token->start) < 0) {
		fail(scanner, "invalid syntax", token->start, token->start);
		return NULL;
	}
	node->text = text_take(&text);
	node->constant = template_text(node->text);
	if (token->kind == TOKEN_CHAR)
		node->constant = template_integer((unsigned char)node->text[0]);
	return take_ptr(node);
}

static struct node *parse_number(struct scanner *scanner, const struct token *token)
{
	AUTO(node_freep) struct node *node = node_new(NODE_CONSTANT, token->start);
	AUTO_FREE char *text = token_text(scanner, token);
	char *end;
	long long integer;

	errno = 0;
	integer = strtoll(text, &end, 0);
	node->constant = template_integer(integer);
	if (*end != '\0' || errno) {
		node->constant = (struct template_value){ .kind = TEMPLATE_REAL, .real = strtod(text, &end) };
		if (*end != '\0') {
			fail(scanner, "bad number syntax:", token->start, token->end);
			return NULL;
		}
	}
	return take_ptr(node);
}

static struct node *parse_word(struct scanner *scanner, const struct token *token)
{
	AUTO(node_freep) struct node *node = node_new(NODE_CONSTANT, token->start);

	if (token_is(scanner, token, "true") || token_is(scanner, token, "false")) {
		node->constant = template_boolean(token_is(scanner, token, "true"));
	} else if (token_is(scanner, token, "nil")) {
		node->constant = (struct template_value){ .kind = TEMPLATE_NIL };
	} else {
		node->kind = NODE_FUNCTION;
		node->text = token_text(scanner, token);
		if (!template_function_exists(node->text)) {
			AUTO_FREE char *reason = xasprintf("function \"%s\" not defined", node->text);

			fail(scanner, reason, token->start, token->start);
			return NULL;
		}
	}
	return take_ptr(node);
}

static struct node *parse_pipe(struct scanner *scanner, enum token_kind end, const char *where);

static struct node *parse_operand_start(struct scanner *scanner, const struct token *token)
{
	struct node *node;

	switch (token->kind) {
	case TOKEN_FIELD:
		node = node_new(NODE_DOT, token->start);
		text_list_add_take(&node->names,
				   xstrndup(scanner->source + token->start + 1, token->end - token->start - 1));
		return node;
	case TOKEN_DOT:
		return node_new(NODE_DOT, token->start);
	case TOKEN_VARIABLE:
		node = node_new(NODE_VARIABLE, token->start);
		node->text = token_text(scanner, token);
		if (!text_list_contains(&scanner->variables, node->text)) {
			AUTO_FREE char *reason = xasprintf("undefined variable \"%s\"", node->text);

			fail(scanner, reason, token->start, token->start);
			node_free(node);
			return NULL;
		}
		return node;
	case TOKEN_NUMBER:
		return parse_number(scanner, token);
	case TOKEN_TEXT:
	case TOKEN_CHAR:
		return parse_text_constant(scanner, token);
	case TOKEN_WORD:
		return parse_word(scanner, token);
	case TOKEN_OPEN: {
		AUTO(node_freep) struct node *pipe = parse_pipe(scanner, TOKEN_CLOSE, "parenthesized pipeline");

		if (!pipe)
			return NULL;
		node = node_new(NODE_PAREN, token->start);
		node_add(node, take_ptr(pipe));
		return node;
	}
	default:
		unexpected(scanner, token, "operand");
		return NULL;
	}
}

/* An operand with the fields that follow without a space. */
static struct node *parse_operand(struct scanner *scanner, const struct token *first)
{
	AUTO(node_freep) struct node *node = parse_operand_start(scanner, first);
	bool chained = false;
	struct token token;

	if (!node)
		return NULL;
	for (;;) {
		if (peek_token(scanner, &token) < 0)
			return NULL;
		if (token.kind != TOKEN_FIELD)
			break;
		if (node->kind == NODE_CONSTANT || node->kind == NODE_FUNCTION) {
			unexpected(scanner, &token, "operand");
			return NULL;
		}
		next_token(scanner, &token);
		text_list_add_take(&node->names,
				   xstrndup(scanner->source + token.start + 1, token.end - token.start - 1));
		if (!chained)
			node->position = token.start;
		chained = true;
	}
	node->start = first->start;
	node->end = scanner->peeked ? scanner->token.start : scanner->at;
	return take_ptr(node);
}

/* ---- pipelines ---- */

static struct node *parse_command(struct scanner *scanner)
{
	AUTO(node_freep) struct node *command = node_new(NODE_COMMAND, scanner->at);
	struct token token;

	for (;;) {
		struct node *operand;

		if (peek_solid(scanner, &token) < 0)
			return NULL;
		if (token.kind == TOKEN_END || token.kind == TOKEN_CLOSE || token.kind == TOKEN_PIPE)
			break;
		next_token(scanner, &token);
		if (command->count == 0)
			command->position = command->start = token.start;
		operand = parse_operand(scanner, &token);
		if (!operand)
			return NULL;
		node_add(command, operand);
		command->end = operand->end;
	}
	if (command->count == 0) {
		fail(scanner, "missing value for command", scanner->at, scanner->at);
		return NULL;
	}
	return take_ptr(command);
}

/* "$x :=", "$i, $x :=" or "$x =" at the start of a pipeline; 0 also if there is none. */
static int parse_variables(struct scanner *scanner, struct node *pipe, bool range)
{
	size_t saved = scanner->at;
	AUTO(text_list_fini) struct text_list names = { 0 };
	struct token token;

	if (scanner->peeked)
		saved = scanner->token.start;
	for (;;) {
		if (next_solid(scanner, &token) < 0)
			return -1;
		if (token.kind != TOKEN_VARIABLE)
			break;
		text_list_add_take(&names, token_text(scanner, &token));
		if (next_solid(scanner, &token) < 0)
			return -1;
		if (token.kind == TOKEN_DECLARE || token.kind == TOKEN_ASSIGN) {
			pipe->assign = token.kind == TOKEN_ASSIGN;
			text_list_add_all(&pipe->names, &names);
			return 0;
		}
		if (token.kind != TOKEN_COMMA || !range || names.count > 1)
			break;
	}
	scanner->at = saved;
	scanner->peeked = false;
	return 0;
}

static struct node *parse_pipe(struct scanner *scanner, enum token_kind end, const char *where)
{
	AUTO(node_freep) struct node *pipe = node_new(NODE_PIPE, scanner->at);
	struct token token;

	if (++scanner->depth > TEMPLATE_DEPTH_MAX) {
		fail(scanner, "template is nested too deeply", scanner->at, scanner->at);
		return NULL;
	}
	if (parse_variables(scanner, pipe, text_equal(where, "range")) < 0)
		return NULL;
	do {
		struct node *command;

		if (peek_solid(scanner, &token) < 0)
			return NULL;
		if (token.kind == end && pipe->count == 0) {
			AUTO_FREE char *reason = xasprintf("missing value for %s", where);

			fail(scanner, reason, scanner->at, scanner->at);
			return NULL;
		}
		command = parse_command(scanner);
		if (!command)
			return NULL;
		node_add(pipe, command);
		if (pipe->count > 1 && command->items[0]->kind == NODE_CONSTANT) {
			AUTO_FREE char *reason = xasprintf("non executable command in pipeline stage %zu", pipe->count);

			fail(scanner, reason, token.start, token.start);
			return NULL;
		}
		if (next_solid(scanner, &token) < 0)
			return NULL;
	} while (token.kind == TOKEN_PIPE);
	if (token.kind != end) {
		unexpected(scanner, &token, where);
		return NULL;
	}
	if (!pipe->assign)
		text_list_add_all(&scanner->variables, &pipe->names);
	scanner->depth--;
	return take_ptr(pipe);
}

/* ---- blocks ---- */

enum stop { STOP_NONE, STOP_EOF, STOP_END, STOP_ELSE };

static enum stop parse_list(struct scanner *scanner, struct node *list);

static struct node *parse_block(struct scanner *scanner, enum node_kind kind, const char *name, size_t position);

/* Behind {{else: "}}" or " if ...}}". */
static int parse_else(struct scanner *scanner, struct node *block, enum node_kind kind)
{
	AUTO(node_freep) struct node *list = node_new(NODE_LIST, scanner->at);
	struct token token;
	enum stop stop;

	if (next_solid(scanner, &token) < 0)
		return -1;
	if ((kind == NODE_IF && token_is(scanner, &token, "if")) ||
	    (kind == NODE_WITH && token_is(scanner, &token, "with"))) {
		struct node *inner = parse_block(scanner, kind, kind == NODE_IF ? "if" : "with", token.start);

		if (!inner)
			return -1;
		node_add(list, inner);
		node_add(block, take_ptr(list));
		return 0;
	}
	if (token.kind != TOKEN_END)
		return unexpected(scanner, &token, "else");
	stop = parse_list(scanner, list);
	if (stop == STOP_NONE)
		return -1;
	if (stop != STOP_END)
		return fail(scanner, stop == STOP_EOF ? "unexpected EOF" : "expected end; found {{else}}", scanner->at,
			    scanner->at);
	node_add(block, take_ptr(list));
	return 0;
}

static struct node *parse_block(struct scanner *scanner, enum node_kind kind, const char *name, size_t position)
{
	AUTO(node_freep) struct node *block = node_new(kind, position);
	AUTO(node_freep) struct node *list = node_new(NODE_LIST, position);
	size_t variables = scanner->variables.count;
	struct node *pipe;
	enum stop stop;

	if (++scanner->depth > TEMPLATE_DEPTH_MAX) {
		fail(scanner, "template is nested too deeply", position, position);
		return NULL;
	}
	pipe = parse_pipe(scanner, TOKEN_END, name);
	if (!pipe)
		return NULL;
	node_add(block, pipe);
	scanner->loops += kind == NODE_RANGE;
	stop = parse_list(scanner, list);
	scanner->loops -= kind == NODE_RANGE;
	if (stop == STOP_NONE)
		return NULL;
	if (stop == STOP_EOF) {
		fail(scanner, "unexpected EOF", scanner->at, scanner->at);
		return NULL;
	}
	node_add(block, take_ptr(list));
	if (stop == STOP_ELSE && parse_else(scanner, block, kind) < 0)
		return NULL;
	while (scanner->variables.count > variables)
		text_list_remove(&scanner->variables, scanner->variables.count - 1);
	scanner->depth--;
	return take_ptr(block);
}

static int expect_end(struct scanner *scanner, const char *where)
{
	struct token token;

	if (next_solid(scanner, &token) < 0)
		return -1;
	return token.kind == TOKEN_END ? 0 : unexpected(scanner, &token, where);
}

static int parse_jump(struct scanner *scanner, struct node *list, enum node_kind kind, const struct token *token)
{
	if (scanner->loops == 0)
		return fail(scanner,
			    kind == NODE_BREAK ? "{{break}} outside {{range}}" : "{{continue}} outside {{range}}",
			    token->start, token->start);
	node_add(list, node_new(kind, token->start));
	return expect_end(scanner, "break or continue");
}

/* ---- named templates ---- */

static int parse_name(struct scanner *scanner, char **out_name, size_t *out_position, const char *where)
{
	AUTO(node_freep) struct node *node = NULL;
	struct token token;

	if (next_solid(scanner, &token) < 0)
		return -1;
	if (token.kind != TOKEN_TEXT) {
		AUTO_FREE char *text = token_text(scanner, &token);
		AUTO_FREE char *reason = xasprintf("unexpected \"%s\" in %s", text, where);

		return fail(scanner, reason, token.start, token.start);
	}
	*out_position = token.start;
	node = parse_operand(scanner, &token);
	if (!node)
		return -1;
	*out_name = xstrdup(node->constant.text);
	return 0;
}

/* The text of a definition, up to its end; it sees no variables from around it. */
static int parse_definition(struct scanner *scanner, const char *name, size_t position)
{
	AUTO(node_freep) struct node *definition = node_new(NODE_DEFINE, position);
	AUTO(node_freep) struct node *list = node_new(NODE_LIST, position);
	struct text_list outside = scanner->variables;
	unsigned loops = scanner->loops;
	enum stop stop;

	if (++scanner->depth > TEMPLATE_DEPTH_MAX)
		return fail(scanner, "template is nested too deeply", position, position);
	definition->text = xstrdup(name);
	scanner->variables = (struct text_list){ 0 };
	scanner->loops = 0;
	text_list_add(&scanner->variables, "$");
	stop = parse_list(scanner, list);
	text_list_fini(&scanner->variables);
	scanner->variables = outside;
	scanner->loops = loops;
	scanner->depth--;
	if (stop == STOP_NONE)
		return -1;
	if (stop != STOP_END)
		return fail(scanner, stop == STOP_EOF ? "unexpected EOF" : "unexpected {{else}} in define clause",
			    scanner->at, scanner->at);
	node_add(definition, take_ptr(list));
	node_add(scanner->definitions, take_ptr(definition));
	return 0;
}

static int parse_define(struct scanner *scanner, size_t position)
{
	AUTO_FREE char *name = NULL;

	if (scanner->depth > 0)
		return fail(scanner, "unexpected <define> in command", position, position);
	if (parse_name(scanner, &name, &position, "define clause") < 0 || expect_end(scanner, "define clause") < 0)
		return -1;
	return parse_definition(scanner, name, position);
}

/* {{template "x" PIPE}}; {{block "x" PIPE}}...{{end}} also defines it. */
static int parse_template_call(struct scanner *scanner, struct node *list, bool block, size_t position)
{
	const char *where = block ? "block clause" : "template clause";
	AUTO(node_freep) struct node *call = node_new(NODE_TEMPLATE, position);
	struct node *pipe;
	struct token token;

	if (parse_name(scanner, &call->text, &call->position, where) < 0 || peek_solid(scanner, &token) < 0)
		return -1;
	if (token.kind != TOKEN_END || block) {
		pipe = parse_pipe(scanner, TOKEN_END, where);
		if (!pipe)
			return -1;
		node_add(call, pipe);
	} else {
		next_token(scanner, &token);
	}
	call->start = position >= 2 ? position - 2 : 0;
	call->end = scanner->at;
	if (block && parse_definition(scanner, call->text, position) < 0)
		return -1;
	node_add(list, take_ptr(call));
	return 0;
}

/* 1: the word is no such keyword. */
static int parse_named(struct scanner *scanner, struct node *list, const struct token *token)
{
	struct token taken;

	if (!token_is(scanner, token, "define") && !token_is(scanner, token, "template") &&
	    !token_is(scanner, token, "block"))
		return 1;
	next_token(scanner, &taken);
	if (token_is(scanner, token, "define"))
		return parse_define(scanner, token->start);
	return parse_template_call(scanner, list, token_is(scanner, token, "block"), token->start);
}

/* What stands behind "{{". */
static enum stop parse_action(struct scanner *scanner, struct node *list)
{
	static const struct {
		const char *word;
		enum node_kind kind;
	} blocks[] = { { "if", NODE_IF }, { "with", NODE_WITH }, { "range", NODE_RANGE } };
	struct node *node = NULL;
	struct node *pipe;
	struct token token;
	int named;

	if (peek_solid(scanner, &token) < 0)
		return STOP_NONE;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (!token_is(scanner, &token, blocks[i].word))
			continue;
		next_token(scanner, &token);
		node = parse_block(scanner, blocks[i].kind, blocks[i].word, token.start);
		if (!node)
			return STOP_NONE;
		node_add(list, node);
		return STOP_EOF;
	}
	named = parse_named(scanner, list, &token);
	if (named <= 0)
		return named < 0 ? STOP_NONE : STOP_EOF;
	if (token_is(scanner, &token, "end")) {
		next_token(scanner, &token);
		return expect_end(scanner, "end") < 0 ? STOP_NONE : STOP_END;
	}
	if (token_is(scanner, &token, "else")) {
		next_token(scanner, &token);
		return STOP_ELSE;
	}
	if (token_is(scanner, &token, "break") || token_is(scanner, &token, "continue")) {
		next_token(scanner, &token);
		return parse_jump(scanner, list, token_is(scanner, &token, "break") ? NODE_BREAK : NODE_CONTINUE,
				  &token) < 0
			       ? STOP_NONE
			       : STOP_EOF;
	}
	pipe = parse_pipe(scanner, TOKEN_END, "command");
	if (!pipe)
		return STOP_NONE;
	node = node_new(NODE_ACTION, token.start);
	node_add(node, pipe);
	node_add(list, node);
	return STOP_EOF;
}

static void add_text(struct scanner *scanner, struct node *list, size_t start, size_t end, bool trim_end)
{
	struct node *node;

	if (scanner->trim_next)
		while (start < end && isspace((unsigned char)scanner->source[start]))
			start++;
	scanner->trim_next = false;
	if (trim_end)
		while (end > start && isspace((unsigned char)scanner->source[end - 1]))
			end--;
	if (start == end)
		return;
	node = node_new(NODE_TEXT, start);
	node->text = xstrndup(scanner->source + start, end - start);
	node_add(list, node);
}

static int skip_comment(struct scanner *scanner)
{
	const char *end = strstr(scanner->source + scanner->at, "*/");

	if (!end)
		return fail(scanner, "unclosed comment", scanner->at, scanner->at);
	scanner->at = (size_t)(end - scanner->source) + 2;
	if (!at_end_mark(scanner, scanner->at))
		return fail(scanner, "comment ends before closing delimiter", scanner->at, scanner->at);
	scanner->trim_next = !starts(scanner, scanner->at, "}}");
	scanner->at += scanner->trim_next ? 4 : 2;
	return 0;
}

/* STOP_NONE: err is filled. */
static enum stop parse_list(struct scanner *scanner, struct node *list)
{
	for (;;) {
		const char *open = strstr(scanner->source + scanner->at, "{{");
		size_t end = open ? (size_t)(open - scanner->source) : scanner->size;
		bool trim = open && open[2] == '-' && isspace((unsigned char)open[3]);
		enum stop stop;

		add_text(scanner, list, scanner->at, end, trim);
		scanner->at = end;
		if (!open)
			return STOP_EOF;
		scanner->at += trim ? 3 : 2;
		if (starts(scanner, scanner->at + (trim ? 1 : 0), "/*")) {
			if (skip_comment(scanner) < 0)
				return STOP_NONE;
			continue;
		}
		stop = parse_action(scanner, list);
		if (stop != STOP_EOF)
			return stop;
	}
}

int template_parse(struct template **out_template, const char *source, struct error *err)
{
	AUTO(template_freep) struct template *template = xcalloc(1, sizeof(*template));
	struct scanner scanner = { .err = err };
	enum stop stop;

	template->source = xstrdup(source);
	template->root = node_new(NODE_LIST, 0);
	template->definitions = node_new(NODE_LIST, 0);
	scanner.definitions = template->definitions;
	scanner.source = template->source;
	scanner.size = strlen(source);
	text_list_add(&scanner.variables, "$");
	stop = parse_list(&scanner, template->root);
	if (stop == STOP_END || stop == STOP_ELSE)
		fail(&scanner, stop == STOP_END ? "unexpected {{end}}" : "unexpected {{else}}", scanner.at, scanner.at);
	text_list_fini(&scanner.variables);
	if (stop != STOP_EOF)
		return -1;
	*out_template = take_ptr(template);
	return 0;
}

void template_free(struct template *template)
{
	if (!template)
		return;
	node_free(template->root);
	node_free(template->definitions);
	free(template->source);
	free(template);
}
