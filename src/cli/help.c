/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/suggest.h"

static const char *const common_commands[] = { "run",	"exec",	  "ps",	     "pull", "images",
					       "login", "logout", "version", "info" };

static bool is_common(const char *name)
{
	for (size_t i = 0; i < sizeof(common_commands) / sizeof(common_commands[0]); i++)
		if (text_equal(common_commands[i], name))
			return true;
	return false;
}

static void print_entry(const char *name, const char *summary)
{
	printf("  %-11s %s\n", name, summary);
}

void help_root(const struct option_spec *global_options)
{
	AUTO_FREE char *options = options_help(global_options);

	puts("Usage:  kist [OPTIONS] COMMAND\n\nA complete container platform\n\nCommon Commands:");
	for (size_t i = 0; i < sizeof(common_commands) / sizeof(common_commands[0]); i++)
		for (const struct command_entry *entry = command_entries; entry->name; entry++)
			if (*entry->group == '\0' && text_equal(entry->name, common_commands[i]))
				print_entry(entry->name, entry->command->summary);
	puts("\nManagement Commands:");
	for (const struct command_group *group = command_groups; group->name; group++)
		print_entry(group->name, group->summary);
	puts("\nCommands:");
	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (*entry->group == '\0' && !is_common(entry->name) && !(entry->flags & COMMAND_HIDDEN))
			print_entry(entry->name, entry->command->summary);
	printf("\nGlobal Options:\n%s\nRun 'kist COMMAND --help' for more information on a command.\n", options);
}

void help_group(const char *group)
{
	for (const struct command_group *each = command_groups; each->name; each++)
		if (text_equal(each->name, group))
			printf("Usage:  kist %s COMMAND\n\n%s\n\nCommands:\n", group, each->summary);
	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (text_equal(entry->group, group) && !(entry->flags & COMMAND_HIDDEN))
			print_entry(entry->name, entry->command->summary);
	printf("\nRun 'kist %s COMMAND --help' for more information on a command.\n", group);
}

static void print_aliases(const struct command *command)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE char *joined = NULL;

	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (entry->command == command)
			text_list_addf(&names, "kist %s%s%s", entry->group, *entry->group ? " " : "", entry->name);
	if (names.count < 2)
		return;
	joined = text_list_join(&names, ", ");
	printf("\nAliases:\n  %s\n", joined);
}

void help_command(const char *invoked, const struct command *command)
{
	AUTO_FREE char *options = command->options ? options_help(command->options) : xstrdup("");

	printf("Usage:  %s%s%s\n\n%s\n", invoked, *command->usage ? " " : "", command->usage, command->summary);
	print_aliases(command);
	if (*options)
		printf("\nOptions:\n%s", options);
}

static void suggest(const char *candidate, const char *group, const char *name, bool *any)
{
	if (suggest_distance(candidate, name) > (strlen(name) > 3 ? 2u : 1u) && !text_has_prefix(candidate, name))
		return;
	fprintf(stderr, "%s\tkist %s%s%s\n", *any ? "" : "\nDid you mean this?\n", group, *group ? " " : "", candidate);
	*any = true;
}

void help_unknown(const char *group, const char *name)
{
	bool any = false;
	const char *space = *group ? " " : "";

	fprintf(stderr, "kist: unknown command: kist %s%s%s\n", group, space, name);
	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (text_equal(entry->group, group) && !(entry->flags & COMMAND_HIDDEN))
			suggest(entry->name, group, name, &any);
	for (const struct command_group *each = command_groups; *group == '\0' && each->name; each++)
		suggest(each->name, group, name, &any);
	if (*group)
		fprintf(stderr, "\nUsage:  kist %s\n", group);
	fprintf(stderr, "\nRun 'kist%s%s --help' for more information\n", *group ? " " : "", group);
}
