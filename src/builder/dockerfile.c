/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: `struct reader` walks the physical lines. Directives come
 * first; then each instruction is gathered from its continued lines into one
 * logical line, parsed by instruction.c, and followed by its heredocs' bodies.
 */
#include "builder/dockerfile.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "builder/instruction.h"

#define LINE_MAX_BYTES 65535

struct reader {
	const char *at;
	const char *end;
	unsigned line; /* number of the line read last */
	struct dockerfile *dockerfile;
	struct text comment;
	bool only_directives; /* still in the head of the file */
};

/* Reads one physical line without its newline into a fresh text. 1, 0 at the end, or fails. */
static int read_line(struct reader *reader, char **out_line, struct error *err)
{
	const char *newline;
	size_t size;

	if (reader->at >= reader->end)
		return 0;
	newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
	size = (size_t)((newline ? newline : reader->end) - reader->at);
	reader->line++;
	if (size > LINE_MAX_BYTES)
		return error_set(err, ERR_INVALID, "dockerfile line greater than max allowed size of %d",
				 LINE_MAX_BYTES);
	*out_line = xcalloc(1, size + 1);
	memcpy(*out_line, reader->at, size);
	reader->at = newline ? newline + 1 : reader->end;
	return 1;
}

static const char *skip_blanks(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

/* "# key = value": fills both (yours) and returns true. */
static bool split_directive(char **out_key, char **out_value, const char *line)
{
	const char *key;
	const char *key_end;
	const char *at;

	line = skip_blanks(line);
	if (*line != '#')
		return false;
	key = skip_blanks(line + 1);
	if (!isalpha((unsigned char)*key))
		return false;
	for (key_end = key; isalnum((unsigned char)*key_end); key_end++)
		continue;
	at = skip_blanks(key_end);
	if (*at != '=')
		return false;
	at = skip_blanks(at + 1);
	if (!*at)
		return false;
	*out_key = xstrndup(key, (size_t)(key_end - key));
	*out_value = xstrdup(at);
	for (size_t size = strlen(*out_value); size && isspace((unsigned char)(*out_value)[size - 1]); size--)
		(*out_value)[size - 1] = '\0';
	return true;
}

static int set_once(char **slot, char *value, const char *name, struct error *err)
{
	if (*slot) {
		free(value);
		return error_set(err, ERR_INVALID, "only one %s parser directive can be used", name);
	}
	*slot = value;
	return 1;
}

/* 1: the line was a directive; 0: the head is over. */
static int parse_directive(struct reader *reader, const char *line, bool *escape_seen, struct error *err)
{
	struct dockerfile *dockerfile = reader->dockerfile;
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *value = NULL;

	if (!split_directive(&key, &value, line))
		return 0;
	if (text_equal_ignoring_case(key, "syntax"))
		return set_once(&dockerfile->syntax, take_ptr(value), "syntax", err);
	if (text_equal_ignoring_case(key, "check"))
		return set_once(&dockerfile->check, take_ptr(value), "check", err);
	if (!text_equal_ignoring_case(key, "escape"))
		return 0;
	if (*escape_seen)
		return error_set(err, ERR_INVALID, "only one escape parser directive can be used");
	if (!text_equal(value, "\\") && !text_equal(value, "`"))
		return error_set(err, ERR_INVALID, "invalid escape token '%s' does not match ` or \\", value);
	*escape_seen = true;
	dockerfile->escape = value[0];
	return 1;
}

/* Cuts the escape character and the blanks behind it off a line that goes on; false if it does not go on. */
static bool cut_continuation(char *line, char escape)
{
	size_t size = strlen(line);

	while (size && (line[size - 1] == ' ' || line[size - 1] == '\t' || line[size - 1] == '\r'))
		size--;
	if (!size || line[size - 1] != escape || (size > 1 && line[size - 2] == escape))
		return false;
	line[size - 1] = '\0';
	return true;
}

static bool is_comment(const char *line)
{
	return *skip_blanks(line) == '#';
}

static bool is_blank(const char *line)
{
	return *skip_blanks(line) == '\0';
}

static void remember_comment(struct reader *reader, const char *line)
{
	const char *text = skip_blanks(skip_blanks(line) + 1);

	if (!*text) {
		text_reset(&reader->comment);
		return;
	}
	if (reader->comment.size)
		text_add_char(&reader->comment, '\n');
	text_add(&reader->comment, text);
}

/* Gathers the lines that continue `first` (taken) into one logical line. */
static int gather_line(struct reader *reader, char *first, char **out_logical, bool *out_blank, struct error *err)
{
	AUTO(text_fini) struct text logical = { 0 };
	char escape = reader->dockerfile->escape;
	bool more = cut_continuation(first, escape);
	int r;

	text_add(&logical, skip_blanks(first));
	while (more) {
		AUTO_FREE char *line = NULL;

		r = read_line(reader, &line, err);
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		*out_blank |= is_blank(line);
		if (is_comment(line) || is_blank(line))
			continue;
		more = cut_continuation(line, escape);
		text_add(&logical, line);
	}
	*out_logical = text_take(&logical);
	return 0;
}

static const char *strip_tabs(const char *line)
{
	return line + strspn(line, "\t");
}

static int read_heredoc(struct reader *reader, struct heredoc *heredoc, bool tabs, struct error *err)
{
	AUTO(text_fini) struct text body = { 0 };

	for (;;) {
		AUTO_FREE char *line = NULL;
		const char *text;
		int r = read_line(reader, &line, err);

		if (r < 0)
			return -1;
		if (r == 0)
			return error_set(err, ERR_INVALID, "unterminated heredoc");
		text = tabs ? strip_tabs(line) : line;
		if (text_equal(text, heredoc->name))
			break;
		text_add(&body, text);
		text_add_char(&body, '\n');
	}
	heredoc->body = text_take(&body);
	return 0;
}

static int parse_instruction(struct reader *reader, struct instruction *instruction, char *first, struct error *err)
{
	AUTO_FREE char *logical = NULL;
	AUTO_FREE bool *tabs = NULL;
	bool blank = false;

	if (gather_line(reader, first, &logical, &blank, err) < 0)
		return -1;
	instruction->blank_line = blank ? reader->line : 0;
	if (instruction_parse(instruction, logical, reader->dockerfile->escape, err) < 0)
		return -1;
	if (reader->comment.size)
		instruction->comment = text_take(&reader->comment);
	instruction_find_heredocs(instruction, logical, &tabs);
	for (size_t i = 0; i < instruction->heredoc_count; i++)
		if (read_heredoc(reader, &instruction->heredocs[i], tabs[i], err) < 0)
			return -1;
	return 0;
}

static int at_lines(struct reader *reader, struct error *err, unsigned first, unsigned last)
{
	reader->dockerfile->failed_line = first;
	reader->dockerfile->failed_last_line = last;
	if (first == last)
		return error_prefix(err, "dockerfile parse error on line %u", first);
	return error_prefix(err, "dockerfile parse error on lines %u-%u", first, last);
}

static int read_instruction(struct reader *reader, char *line, struct error *err)
{
	struct dockerfile *dockerfile = reader->dockerfile;
	struct instruction *instruction;
	unsigned first = reader->line;

	dockerfile->instructions = xgrow(dockerfile->instructions, &dockerfile->capacity, dockerfile->count + 1,
					 sizeof(*dockerfile->instructions));
	instruction = &dockerfile->instructions[dockerfile->count++];
	*instruction = (struct instruction){ .line = first };
	if (parse_instruction(reader, instruction, line, err) < 0) {
		instruction_fini(instruction);
		dockerfile->count--;
		return at_lines(reader, err, first, reader->line);
	}
	instruction->last_line = reader->line;
	return 0;
}

static int read_all(struct reader *reader, struct error *err)
{
	bool escape_seen = false;
	int r;

	for (;;) {
		AUTO_FREE char *line = NULL;

		r = read_line(reader, &line, err);
		if (r == 0)
			return 0;
		if (r > 0 && reader->only_directives) {
			r = parse_directive(reader, line, &escape_seen, err);
			if (r > 0)
				continue;
			reader->only_directives = false;
		}
		if (r < 0)
			return at_lines(reader, err, reader->line, reader->line);
		if (is_blank(line))
			text_reset(&reader->comment);
		else if (is_comment(line))
			remember_comment(reader, line);
		else if (read_instruction(reader, line, err) < 0)
			return -1;
	}
}

static int parse(struct dockerfile *dockerfile, const char *text, size_t size, struct error *err)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct reader reader = { .at = text, .end = text + size, .dockerfile = dockerfile, .only_directives = true };
	int r;

	if (size == 0)
		return error_set(err, ERR_INVALID, "the Dockerfile cannot be empty");
	if (memchr(text, '\0', size))
		return error_set(err, ERR_INVALID, "the Dockerfile holds a NUL byte");
	if (size >= 3 && memcmp(text, bom, 3) == 0)
		reader.at += 3;
	r = read_all(&reader, err);
	text_fini(&reader.comment);
	if (r < 0)
		return -1;
	return dockerfile->count ? 0 : error_set(err, ERR_INVALID, "file with no instructions");
}

int dockerfile_parse_part(struct dockerfile **out_dockerfile, const char *text, size_t size, struct error *err)
{
	*out_dockerfile = xcalloc(1, sizeof(**out_dockerfile));
	(*out_dockerfile)->escape = '\\';
	return parse(*out_dockerfile, text, size, err);
}

int dockerfile_parse(struct dockerfile **out_dockerfile, const char *text, size_t size, struct error *err)
{
	AUTO(dockerfile_freep) struct dockerfile *dockerfile = NULL;

	if (dockerfile_parse_part(&dockerfile, text, size, err) < 0)
		return -1;
	*out_dockerfile = take_ptr(dockerfile);
	return 0;
}

void dockerfile_free(struct dockerfile *dockerfile)
{
	if (!dockerfile)
		return;
	for (size_t i = 0; i < dockerfile->count; i++)
		instruction_fini(&dockerfile->instructions[i]);
	free(dockerfile->instructions);
	free(dockerfile->syntax);
	free(dockerfile->check);
	free(dockerfile);
}

static void dump_argument(struct text *out, const char *argument, bool has_nul)
{
	AUTO(text_fini) struct text quoted = { 0 };
	const char *rest;
	const char *nul;

	quote_json(&quoted, argument, strlen(argument));
	for (rest = quoted.data; has_nul && (nul = strstr(rest, INSTRUCTION_NUL));
	     rest = nul + strlen(INSTRUCTION_NUL)) {
		text_add_bytes(out, rest, (size_t)(nul - rest));
		text_add(out, "\\x00");
	}
	text_add(out, rest);
}

static void dump_instruction(struct text *out, const struct instruction *instruction)
{
	/* What stood between a name and its value is a word of its own there. */
	bool pairs = text_equal(instruction->keyword, "env") || text_equal(instruction->keyword, "label");

	text_addf(out, "(%s", instruction->keyword);
	if (instruction->flags.count) {
		text_add(out, " [");
		for (size_t i = 0; i < instruction->flags.count; i++) {
			if (i)
				text_add_char(out, ' ');
			quote_json(out, instruction->flags.items[i], strlen(instruction->flags.items[i]));
		}
		text_add_char(out, ']');
	}
	if (instruction->nested) {
		text_add_char(out, ' ');
		dump_instruction(out, instruction->nested);
	}
	for (size_t i = 0; i < instruction->args.count; i++) {
		text_add_char(out, ' ');
		dump_argument(out, instruction->args.items[i], instruction->has_nul);
		if (pairs && i % 2 == 1)
			text_add(out, instruction->legacy ? " \"\"" : " \"=\"");
	}
	text_add_char(out, ')');
}

char *dockerfile_dump(const struct dockerfile *dockerfile)
{
	struct text out = { 0 };

	for (size_t i = 0; i < dockerfile->count; i++) {
		dump_instruction(&out, &dockerfile->instructions[i]);
		text_add_char(&out, '\n');
	}
	return text_take(&out);
}
