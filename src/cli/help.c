/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/suggest.h"
#include "cli/plugins.h"

static const char *program = "kist";

void help_set_program(const char *name)
{
	program = name;
}

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

static void print_plugins(const struct config *config)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	plugin_names(&names, config);
	if (names.count)
		puts("\nPlugins:");
	for (size_t i = 0; i < names.count; i++)
		print_entry(names.items[i], "docker's command line plugin of this name");
}

void help_root(const struct option_spec *global_options, const struct config *config)
{
	AUTO_FREE char *options = options_help(global_options);

	printf("Usage:  %s [OPTIONS] COMMAND\n\nA complete container platform\n\nCommon Commands:\n", program);
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
	if (config)
		print_plugins(config);
	printf("\nGlobal Options:\n%s\nRun '%s COMMAND --help' for more information on a command.\n", options, program);
}

void help_group(const char *group)
{
	for (const struct command_group *each = command_groups; each->name; each++)
		if (text_equal(each->name, group))
			printf("Usage:  %s %s COMMAND\n\n%s\n\nCommands:\n", program, group, each->summary);
	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (text_equal(entry->group, group) && !(entry->flags & COMMAND_HIDDEN))
			print_entry(entry->name, entry->command->summary);
	printf("\nRun '%s %s COMMAND --help' for more information on a command.\n", program, group);
}

static void print_aliases(const struct command *command)
{
	AUTO(text_list_fini) struct text_list names = { 0 };
	AUTO_FREE char *joined = NULL;

	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (entry->command == command)
			text_list_addf(&names, "%s %s%s%s", program, entry->group, *entry->group ? " " : "",
				       entry->name);
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
	fprintf(stderr, "%s\t%s %s%s%s\n", *any ? "" : "\nDid you mean this?\n", program, group, *group ? " " : "",
		candidate);
	*any = true;
}

void help_unknown(const char *group, const char *name)
{
	bool any = false;
	const char *space = *group ? " " : "";

	fprintf(stderr, "%s: unknown command: %s %s%s%s\n", program, program, group, space, name);
	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (text_equal(entry->group, group) && !(entry->flags & COMMAND_HIDDEN))
			suggest(entry->name, group, name, &any);
	for (const struct command_group *each = command_groups; *group == '\0' && each->name; each++)
		suggest(each->name, group, name, &any);
	if (*group)
		fprintf(stderr, "\nUsage:  %s %s\n", program, group);
	fprintf(stderr, "\nRun 'kist%s%s --help' for more information\n", *group ? " " : "", group);
}
