/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion: scripts for bash, zsh and fish, made from the same tables that
 * parse the command line, so they cannot disagree with it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/commands.h"

static void add_options(struct text *out, const struct command *command)
{
	text_add(out, "--help");
	for (const struct option_spec *option = command->options; option && (option->name || option->letter);
	     option++) {
		if (option->help && option->letter)
			text_addf(out, " -%c", option->letter);
		if (option->help && option->name)
			text_addf(out, " --%s", option->name);
	}
}

/* What an operand names, for the completions that ask the engine. */
static const char *operand_kind(const struct command *command)
{
	static const struct {
		const struct command *command;
		const char *kind;
	} kinds[] = {
		{ &command_attach, "running" },
		{ &command_exec, "running" },
		{ &command_kill, "running" },
		{ &command_pause, "running" },
		{ &command_port, "running" },
		{ &command_stats, "running" },
		{ &command_stop, "running" },
		{ &command_top, "running" },
		{ &command_wait, "running" },
		{ &command_inspect, "container" },
		{ &command_logs, "container" },
		{ &command_export, "container" },
		{ &command_explain, "container" },
		{ &command_rename, "container" },
		{ &command_restart, "container" },
		{ &command_rm, "container" },
		{ &command_start, "container" },
		{ &command_unpause, "container" },
		{ &command_update, "container" },
		{ &command_container_inspect, "container" },
		{ &command_checkpoint_create, "container" },
		{ &command_checkpoint_ls, "container" },
		{ &command_checkpoint_rm, "container" },
		{ &command_create, "image" },
		{ &command_history, "image" },
		{ &command_image_inspect, "image" },
		{ &command_images, "image" },
		{ &command_pull, "image" },
		{ &command_push, "image" },
		{ &command_save, "image" },
		{ &command_rmi, "image" },
		{ &command_run, "image" },
		{ &command_tag, "image" },
		{ &command_context_export, "context" },
		{ &command_context_inspect, "context" },
		{ &command_context_rm, "context" },
		{ &command_context_update, "context" },
		{ &command_context_use, "context" },
		{ &command_volume_inspect, "volume" },
		{ &command_volume_rm, "volume" },
		{ &command_network_inspect, "network" },
		{ &command_network_connect, "network" },
		{ &command_network_disconnect, "network" },
		{ &command_network_rm, "network" },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].command == command)
			return kinds[i].kind;
	return "none";
}

static void add_words(struct text *out, const char *group)
{
	const char *space = "";

	for (const struct command_entry *entry = command_entries; entry->name; entry++) {
		if (!text_equal(entry->group, group) || entry->flags & COMMAND_HIDDEN)
			continue;
		text_addf(out, "%s%s", space, entry->name);
		space = " ";
	}
	for (const struct command_group *each = command_groups; *group == '\0' && each->name; each++)
		text_addf(out, " %s", each->name);
}

static void add_bash_cases(struct text *out)
{
	for (const struct command_entry *entry = command_entries; entry->name; entry++) {
		text_addf(out, "    '%s%s%s') options='", entry->group, *entry->group ? " " : "", entry->name);
		add_options(out, entry->command);
		text_addf(out, "'; kind=%s ;;\n", operand_kind(entry->command));
	}
	for (const struct command_group *group = command_groups; group->name; group++) {
		text_addf(out, "    '%s') words='", group->name);
		add_words(out, group->name);
		text_add(out, "' ;;\n");
	}
	text_add(out, "    '') words='");
	add_words(out, "");
	text_add(out, "'; options='--config --context --debug --host --help --tls --tlsverify --version' ;;\n");
}

static void print_bash(void)
{
	AUTO(text_fini) struct text out = { 0 };

	text_add(&out, "# bash completion for kist; made by: kist completion bash\n"
		       "_kist() {\n"
		       "  local current=${COMP_WORDS[COMP_CWORD]} command= words= options= kind=none word i\n"
		       "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
		       "    word=${COMP_WORDS[i]}\n"
		       "    case $word in\n"
		       "      -H|--host|-c|--context|--config|-l|--log-level|--tls*) [[ $word == --tls || $word == "
		       "--tlsverify || $word == *=* ]] || ((i++)); continue ;;\n"
		       "      -*) continue ;;\n"
		       "    esac\n"
		       "    case \"$command\" in\n"
		       "      '') command=$word ;;\n"
		       "      ");
	for (const struct command_group *group = command_groups; group->name; group++)
		text_addf(&out, "%s%s", group == command_groups ? "" : "|", group->name);
	text_add(&out, ") command=\"$command $word\"; break ;;\n"
		       "      *) break ;;\n"
		       "    esac\n"
		       "  done\n"
		       "  case \"$command\" in\n");
	add_bash_cases(&out);
	text_add(&out, "  esac\n"
		       "  if [[ $current == -* ]]; then\n"
		       "    words=$options\n"
		       "  else\n"
		       "    case $kind in\n"
		       "      running) words=$(kist ps --format '{{.Names}}' 2>/dev/null) ;;\n"
		       "      container) words=$(kist ps -a --format '{{.Names}}' 2>/dev/null) ;;\n"
		       "      image) words=$(kist images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null) ;;\n"
		       "      context) words=$(kist context ls -q 2>/dev/null) ;;\n"
		       "      volume) words=$(kist volume ls -q 2>/dev/null) ;;\n"
		       "      network) words=$(kist network ls --format '{{.Name}}' 2>/dev/null) ;;\n"
		       "    esac\n"
		       "  fi\n"
		       "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
		       "}\n"
		       "complete -o bashdefault -o default -F _kist kist\n");
	fputs(out.data, stdout);
}

static void print_zsh(void)
{
	puts("#compdef kist\n# zsh completion for kist; made by: kist completion zsh\n"
	     "autoload -U +X bashcompinit && bashcompinit");
	print_bash();
}

static void print_quoted(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
}

static void print_fish_options(const struct command_entry *entry)
{
	for (const struct option_spec *option = entry->command->options; option && (option->name || option->letter);
	     option++) {
		if (!option->help)
			continue;
		if (*entry->group)
			printf("complete -c kist -n '__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from "
			       "%s'",
			       entry->group, entry->name);
		else
			printf("complete -c kist -n '__fish_seen_subcommand_from %s'", entry->name);
		if (option->letter)
			printf(" -s %c", option->letter);
		if (option->name)
			printf(" -l %s", option->name);
		fputs(option->value_name ? " -r -d '" : " -d '", stdout);
		print_quoted(option->help);
		puts("'");
	}
}

static void print_fish(void)
{
	puts("# fish completion for kist; made by: kist completion fish\ncomplete -c kist -f");
	for (const struct command_group *group = command_groups; group->name; group++)
		printf("complete -c kist -n __fish_use_subcommand -a %s -d '%s'\n", group->name, group->summary);
	for (const struct command_entry *entry = command_entries; entry->name; entry++) {
		if (entry->flags & COMMAND_HIDDEN)
			continue;
		if (*entry->group)
			printf("complete -c kist -n '__fish_seen_subcommand_from %s' -a %s -d '", entry->group,
			       entry->name);
		else
			printf("complete -c kist -n __fish_use_subcommand -a %s -d '", entry->name);
		print_quoted(entry->command->summary);
		puts("'");
		print_fish_options(entry);
	}
}

static int run_completion(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	const char *shell = operands->items[0];

	(void)cli;
	(void)options;
	if (text_equal(shell, "bash"))
		print_bash();
	else if (text_equal(shell, "zsh"))
		print_zsh();
	else if (text_equal(shell, "fish"))
		print_fish();
	else
		return error_set(err, ERR_INVALID, "no completion for the shell \"%s\" (there is bash, zsh and fish)",
				 shell);
	return 0;
}

const struct command command_completion = {
	.usage = "SHELL",
	.summary = "Print the completion script for bash, zsh or fish",
	.min_operands = 1,
	.max_operands = 1,
	.flags = COMMAND_PLAIN_OPERANDS,
	.run = run_completion,
};
