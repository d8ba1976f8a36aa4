/* SPDX-License-Identifier: Apache-2.0 */
/* help.h - help texts, made from the tables of commands and options. */
#pragma once

#include "cli/command.h"

/* "docker" for who was started by that name; "kist" otherwise. The text must live on. */
void help_set_program(const char *name);

void help_root(const struct option_spec *global_options, const struct config *config);
void help_group(const char *group);
void help_command(const char *invoked, const struct command *command);
/* "unknown command", with the names that come near. */
void help_unknown(const char *group, const char *name);
