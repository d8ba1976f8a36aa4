/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

static enum program_kind program = PROGRAM_KIST;
static const struct command *current;
static bool root_given;

static const char *const program_names[] = {
	[PROGRAM_KIST] = "kist-runtime", [PROGRAM_RUNC] = "runc", [PROGRAM_CRUN] = "crun"
};

void command_set_program(const char *argv0)
{
	const char *name = argv0 ? path_base(argv0) : "";

	for (size_t i = 0; i < sizeof(program_names) / sizeof(program_names[0]); i++)
		if (text_equal(name, program_names[i]))
			program = (enum program_kind)i;
}

enum program_kind command_program(void)
{
	return program;
}

const char *command_program_name(void)
{
	return program_names[program];
}

void command_set_root_given(bool given)
{
	root_given = given;
}

bool command_root_given(void)
{
	return root_given;
}

void command_begin(const struct command *command)
{
	current = command;
}

static bool wants_help(int argc, char *const *argv)
{
	for (int i = 1; i < argc && argv[i][0] == '-'; i++)
		if (text_equal(argv[i], "--help") || text_equal(argv[i], "-h") || text_equal(argv[i], "-?") ||
		    text_equal(argv[i], "--usage"))
			return true;
	return false;
}

/* In runc's form: some callers look for a flag in it. */
static void print_help(const struct option_spec *table)
{
	AUTO_FREE char *help = options_help(table);

	printf("NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s [OPTIONS] %s\n\nOPTIONS:\n%s  -h, --help   print this help\n",
	       command_program_name(), current->name, current->summary, command_program_name(), current->name,
	       current->operands, help);
}

int command_parse(const struct option_spec *table, void *target, int argc, char *const *argv, unsigned flags,
		  struct text_list *operands, size_t least, size_t most, struct error *err)
{
	if (wants_help(argc, argv)) {
		print_help(table);
		return 0;
	}
	if (options_parse(table, target, argc, argv, flags, operands, err) < 0)
		return error_prefix(err, "%s", argv[0]);
	if (operands->count < least)
		return error_set(err, ERR_INVALID, "%s: \"%s\" requires at least %zu argument(s), and got %zu", argv[0],
				 argv[0], least, operands->count);
	if (operands->count > most)
		return error_set(err, ERR_INVALID, "%s: \"%s\" takes at most %zu argument(s), and got %zu", argv[0],
				 argv[0], most, operands->count);
	return 1;
}

/* sd_listen_fds(3): LISTEN_PID names the process they are for; runc's callers do not always set it. */
int command_listen_fds(void)
{
	const char *count = getenv("LISTEN_FDS");
	const char *pid = getenv("LISTEN_PID");
	uint64_t number;
	uint64_t owner;

	if (!count || text_parse_u64(&number, count, 1024) < 0)
		return 0;
	if (pid && (text_parse_u64(&owner, pid, UINT32_MAX) < 0 || owner != (uint64_t)getpid()))
		return 0;
	return (int)number;
}
