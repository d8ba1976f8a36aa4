/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - command lines from a table, the way docker, runc and containerd
 * spell them.
 *
 * Accepts -x, -xVALUE, -x VALUE, --name VALUE, --name=VALUE, --flag, --flag=false,
 * grouped flags (-it), and with OPTIONS_GO_STYLE -name VALUE as Go's flag
 * package writes it. "--" ends the options. A table ends with OPTION_END.
 * Texts point into argv (borrowed); lists and operands are copies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"

enum option_kind {
	OPTION_KIND_FLAG,     /* bool */
	OPTION_KIND_TEXT,     /* const char * */
	OPTION_KIND_LIST,     /* struct text_list: each use adds */
	OPTION_KIND_STRINGS,  /* the same, but "a,b" are two */
	OPTION_KIND_I64,      /* int64_t */
	OPTION_KIND_OPT_I64,  /* struct optional_i64 */
	OPTION_KIND_OPT_BOOL, /* struct optional_bool */
	OPTION_KIND_SIZE,     /* int64_t bytes: "512m" */
	OPTION_KIND_CALL      /* option->call(target, value, err) */
};

struct option_spec {
	const char *name; /* long name without dashes; NULL: only a letter */
	char letter;	  /* 0: none */
	enum option_kind kind;
	size_t offset;
	const char *value_name; /* for help: "bytes", "list"; NULL for flags */
	const char *help;	/* NULL: hidden from help */
	int (*call)(void *target, const char *value, struct error *err);
	bool call_is_flag; /* the call takes no value */
};

#define OPTION_MEMBER(T, m, type)                                                                                      \
	(offsetof(T, m) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->m), type) ? 1 : -1]))
#define OPTION_FLAG(name, letter, T, m, help)                                                                          \
	{                                                                                                              \
		name, letter, OPTION_KIND_FLAG, OPTION_MEMBER(T, m, bool), NULL, help, NULL, true                      \
	}
#define OPTION_TEXT(name, letter, T, m, value, help)                                                                   \
	{                                                                                                              \
		name, letter, OPTION_KIND_TEXT, OPTION_MEMBER(T, m, const char *), value, help, NULL, false            \
	}
#define OPTION_LIST(name, letter, T, m, value, help)                                                                   \
	{                                                                                                              \
		name, letter, OPTION_KIND_LIST, OPTION_MEMBER(T, m, struct text_list), value, help, NULL, false        \
	}
#define OPTION_STRINGS(name, letter, T, m, help)                                                                       \
	{                                                                                                              \
		name, letter, OPTION_KIND_STRINGS, OPTION_MEMBER(T, m, struct text_list), "strings", help, NULL, false \
	}
#define OPTION_I64(name, letter, T, m, help)                                                                           \
	{                                                                                                              \
		name, letter, OPTION_KIND_I64, OPTION_MEMBER(T, m, int64_t), "int", help, NULL, false                  \
	}
#define OPTION_OPT_I64(name, letter, T, m, help)                                                                       \
	{                                                                                                              \
		name, letter, OPTION_KIND_OPT_I64, OPTION_MEMBER(T, m, struct optional_i64), "int", help, NULL, false  \
	}
#define OPTION_OPT_BOOL(name, letter, T, m, help)                                                                      \
	{                                                                                                              \
		name, letter, OPTION_KIND_OPT_BOOL, OPTION_MEMBER(T, m, struct optional_bool), NULL, help, NULL, true  \
	}
#define OPTION_SIZE(name, letter, T, m, help)                                                                          \
	{                                                                                                              \
		name, letter, OPTION_KIND_SIZE, OPTION_MEMBER(T, m, int64_t), "bytes", help, NULL, false               \
	}
#define OPTION_CALL(name, letter, fn, value, help)                                                                     \
	{                                                                                                              \
		name, letter, OPTION_KIND_CALL, 0, value, help, fn, false                                              \
	}
#define OPTION_CALL_FLAG(name, letter, fn, help)                                                                       \
	{                                                                                                              \
		name, letter, OPTION_KIND_CALL, 0, NULL, help, fn, true                                                \
	}
#define OPTION_END                                                                                                     \
	{                                                                                                              \
		NULL, 0, OPTION_KIND_FLAG, 0, NULL, NULL, NULL, false                                                  \
	}

enum options_flags {
	OPTIONS_STOP_AT_OPERAND = 1, /* docker run IMAGE CMD -x: -x is the command's */
	OPTIONS_GO_STYLE = 2,	     /* -namespace NS */
};

/*
 * Parses argv[1..] into target, which holds the defaults. Operands are added
 * to `operands`. ERR_INVALID with pflag's words: "unknown flag: --x",
 * "flag needs an argument: --x", "invalid argument \"y\" for \"--x\" flag: ...".
 */
int options_parse(const struct option_spec *table, void *target, int argc, char *const *argv, unsigned flags,
		  struct text_list *operands, struct error *err);
/* The options part of a help text, sorted as in the table, aligned as docker's. */
char *options_help(const struct option_spec *table);
