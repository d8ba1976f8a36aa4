/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct parser {
	const struct option_spec *table;
	void *target;
	int argc;
	char *const *argv;
	int at;
	unsigned flags;
};

static bool is_end(const struct option_spec *option)
{
	return !option->name && !option->letter;
}

static bool takes_value(const struct option_spec *option)
{
	return option->kind != OPTION_KIND_FLAG && option->kind != OPTION_KIND_OPT_BOOL && !option->call_is_flag;
}

static const struct option_spec *find_name(const struct option_spec *table, const char *name, size_t size)
{
	for (; !is_end(table); table++)
		if (table->name && strncmp(table->name, name, size) == 0 && table->name[size] == '\0')
			return table;
	return NULL;
}

static const struct option_spec *find_letter(const struct option_spec *table, char letter)
{
	for (; !is_end(table); table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

static int parse_bool(bool *out_value, const char *text)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (text_equal(text, yes[i]) || text_equal(text, no[i])) {
			*out_value = text_equal(text, yes[i]);
			return 0;
		}
	}
	return -1;
}

static int store(void *target, const struct option_spec *option, const char *value, struct error *err)
{
	void *member = (char *)target + option->offset;
	struct optional_i64 *number = member;
	struct optional_bool *flag = member;
	int r = 0;

	switch (option->kind) {
	case OPTION_KIND_FLAG:
		r = parse_bool(member, value);
		break;
	case OPTION_KIND_OPT_BOOL:
		r = parse_bool(&flag->value, value);
		flag->set = r == 0;
		break;
	case OPTION_KIND_TEXT:
		*(const char **)member = value;
		break;
	case OPTION_KIND_LIST:
		text_list_add(member, value);
		break;
	case OPTION_KIND_STRINGS:
		text_list_split(member, value, ',');
		break;
	case OPTION_KIND_I64:
		r = text_parse_i64(member, value, INT64_MIN, INT64_MAX);
		break;
	case OPTION_KIND_OPT_I64:
		r = text_parse_i64(&number->value, value, INT64_MIN, INT64_MAX);
		number->set = r == 0;
		break;
	case OPTION_KIND_SIZE:
		r = text_parse_size(member, value);
		if (r < 0)
			return error_set(err, ERR_INVALID, "invalid size: '%s'", value);
		break;
	case OPTION_KIND_CALL:
		return option->call(target, value, err);
	}
	if (r == 0)
		return 0;
	/* Go's words, which people and scripts know from docker. */
	return error_set(err, ERR_INVALID, "strconv.Parse%s: parsing \"%s\": %s",
			 option->kind == OPTION_KIND_FLAG || option->kind == OPTION_KIND_OPT_BOOL ? "Bool" : "Int",
			 value, r == -ERANGE ? "value out of range" : "invalid syntax");
}

static int apply(const struct parser *parser, const struct option_spec *option, const char *value, struct error *err)
{
	if (store(parser->target, option, value, err) == 0)
		return 0;
	if (option->name && option->letter)
		return error_prefix(err, "invalid argument \"%s\" for \"-%c, --%s\" flag", value, option->letter,
				    option->name);
	if (option->name)
		return error_prefix(err, "invalid argument \"%s\" for \"--%s\" flag", value, option->name);
	return error_prefix(err, "invalid argument \"%s\" for \"-%c\" flag", value, option->letter);
}

static int parse_long(struct parser *parser, const char *text, struct error *err)
{
	const char *value = strchr(text, '=');
	size_t size = value ? (size_t)(value - text) : strlen(text);
	const struct option_spec *option = find_name(parser->table, text, size);

	if (!option)
		return error_set(err, ERR_INVALID, "unknown flag: --%.*s", (int)size, text);
	if (value)
		return apply(parser, option, value + 1, err);
	if (!takes_value(option))
		return apply(parser, option, "true", err);
	if (parser->at + 1 >= parser->argc)
		return error_set(err, ERR_INVALID, "flag needs an argument: --%s", option->name);
	return apply(parser, option, parser->argv[++parser->at], err);
}

static int parse_letters(struct parser *parser, const char *text, struct error *err)
{
	const char *group = text;

	for (; *text; text++) {
		const struct option_spec *option = find_letter(parser->table, *text);

		if (!option)
			return error_set(err, ERR_INVALID, "unknown shorthand flag: '%c' in -%s", *text, group);
		if (!takes_value(option)) {
			if (text[1] == '=')
				return apply(parser, option, text + 2, err);
			if (apply(parser, option, "true", err) < 0)
				return -1;
			continue;
		}
		if (text[1])
			return apply(parser, option, text + (text[1] == '=' ? 2 : 1), err);
		if (parser->at + 1 >= parser->argc)
			return error_set(err, ERR_INVALID, "flag needs an argument: '%c' in -%s", *text, group);
		return apply(parser, option, parser->argv[++parser->at], err);
	}
	return 0;
}

static int parse_option(struct parser *parser, const char *arg, struct error *err)
{
	if (arg[1] == '-')
		return parse_long(parser, arg + 2, err);
	if ((parser->flags & OPTIONS_GO_STYLE) && (arg[2] || !find_letter(parser->table, arg[1])))
		return parse_long(parser, arg + 1, err);
	return parse_letters(parser, arg + 1, err);
}

int options_parse(const struct option_spec *table, void *target, int argc, char *const *argv, unsigned flags,
		  struct text_list *operands, struct error *err)
{
	struct parser parser = { .table = table, .target = target, .argc = argc, .argv = argv, .flags = flags };

	for (parser.at = 1; parser.at < argc; parser.at++) {
		const char *arg = argv[parser.at];

		if (arg[0] == '-' && arg[1] && !text_equal(arg, "--")) {
			if (parse_option(&parser, arg, err) < 0)
				return -1;
			continue;
		}
		if (text_equal(arg, "--"))
			parser.at++;
		else if (!(flags & OPTIONS_STOP_AT_OPERAND)) {
			text_list_add(operands, arg);
			continue;
		}
		for (; parser.at < argc; parser.at++)
			text_list_add(operands, argv[parser.at]);
	}
	return 0;
}

static char *help_head(const struct option_spec *option)
{
	struct text head = { 0 };

	if (option->letter)
		text_addf(&head, "  -%c", option->letter);
	else
		text_add(&head, "    ");
	if (option->name)
		text_addf(&head, "%s --%s", option->letter ? "," : " ", option->name);
	if (option->value_name)
		text_addf(&head, " %s", option->value_name);
	return text_take(&head);
}

char *options_help(const struct option_spec *table)
{
	struct text help = { 0 };
	size_t width = 0;

	for (const struct option_spec *option = table; !is_end(option); option++) {
		AUTO_FREE char *head = help_head(option);

		if (option->help && strlen(head) > width)
			width = strlen(head);
	}
	for (const struct option_spec *option = table; !is_end(option); option++) {
		AUTO_FREE char *head = help_head(option);

		if (option->help)
			text_addf(&help, "%-*s   %s\n", (int)width, head, option->help);
	}
	return text_take(&help);
}
