/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static bool wants_help(int argc, char *const *argv)
{
	for (int i = 1; i < argc && argv[i][0] == '-'; i++)
		if (text_equal(argv[i], "--help") || text_equal(argv[i], "-h"))
			return true;
	return false;
}

int command_parse(const struct option_spec *table, void *target, int argc, char *const *argv, unsigned flags,
		  struct text_list *operands, size_t least, size_t most, struct error *err)
{
	if (wants_help(argc, argv)) {
		AUTO_FREE char *help = options_help(table);

		printf("Usage: kist-runtime %s [OPTIONS] [ARG...]\n\nOptions:\n%s", argv[0], help);
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
