/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: global options, then one or two words that name a command,
 * then the command's own options. Everything a command is, is in its table;
 * this file parses, helps and reports.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/hint.h"
#include "cli/plugins.h"

struct globals {
	struct text_list hosts;
	const char *config_folder;
	const char *context;
	const char *log_level;
	const char *tls_ca;
	const char *tls_certificate;
	const char *tls_key;
	struct optional_bool tls;
	struct optional_bool tls_verify;
	bool debug;
	bool version;
};

static const struct option_spec global_options[] = {
	OPTION_TEXT("config", 0, struct globals, config_folder, "string", "Folder of the client's config.json"),
	OPTION_TEXT("context", 'c', struct globals, context, "string",
		    "Name of the context to use (overrides DOCKER_HOST and the one set with context use)"),
	OPTION_FLAG("debug", 'D', struct globals, debug, "Say more about what goes wrong"),
	OPTION_LIST("host", 'H', struct globals, hosts, "list",
		    "Address of the engine (unix:///path, tcp://host:port or ssh://user@host)"),
	OPTION_TEXT("log-level", 'l', struct globals, log_level, "string", "Accepted for docker's sake"),
	OPTION_OPT_BOOL("tls", 0, struct globals, tls, "Use TLS on tcp:// hosts; implied by --tlsverify"),
	OPTION_TEXT("tlscacert", 0, struct globals, tls_ca, "string", "Trust certs signed only by this CA"),
	OPTION_TEXT("tlscert", 0, struct globals, tls_certificate, "string", "Path to TLS certificate file"),
	OPTION_TEXT("tlskey", 0, struct globals, tls_key, "string", "Path to TLS key file"),
	OPTION_OPT_BOOL("tlsverify", 0, struct globals, tls_verify, "Use TLS and verify the remote"),
	OPTION_FLAG("version", 'v', struct globals, version, "Print the version and quit"),
	OPTION_END,
};

/* Options that every command has. */
static int ask_help(void *target, const char *value, struct error *err)
{
	(void)target;
	(void)value;
	return error_set(err, ERR_CANCELED, "help");
}

static struct option_spec *options_with_help(const struct option_spec *options)
{
	static const struct option_spec help = OPTION_CALL_FLAG("help", 0, ask_help, NULL);
	static const struct option_spec end = OPTION_END;
	size_t count = 0;
	struct option_spec *all;

	while (options && (options[count].name || options[count].letter))
		count++;
	all = xcalloc(count + 2, sizeof(*all));
	if (count)
		memcpy(all, options, count * sizeof(*all));
	all[count] = help;
	all[count + 1] = end;
	return all;
}

static void free_options(const struct option_spec *options, void *target)
{
	for (; options && (options->name || options->letter); options++)
		if (options->kind == OPTION_KIND_LIST || options->kind == OPTION_KIND_STRINGS)
			text_list_fini((struct text_list *)(void *)((char *)target + options->offset));
	free(target);
}

/* --filter is name=value everywhere. */
static int check_filters(const struct option_spec *options, void *target, struct error *err)
{
	for (; options && (options->name || options->letter); options++) {
		const struct text_list *list = (const struct text_list *)(void *)((char *)target + options->offset);

		if (options->kind != OPTION_KIND_LIST || !text_equal(options->name, "filter"))
			continue;
		for (size_t i = 0; i < list->count; i++)
			if (*list->items[i] && !strchr(list->items[i], '='))
				return error_set(
					err, ERR_INVALID,
					"invalid argument \"%s\" for \"%s--filter\" flag: bad format of filter "
					"(expected name=value)",
					list->items[i], options->letter ? "-f, " : "");
	}
	return 0;
}

static int wrong_operands(const struct cli *cli, const struct command *command, size_t count, struct error *err)
{
	const char *name = cli->invoked;

	if (command->max_operands >= 0 && command->min_operands == command->max_operands) {
		if (command->min_operands == 0)
			return error_set(err, ERR_INVALID, "'%s' accepts no arguments", name);
		return error_set(err, ERR_INVALID, "'%s' requires %d argument%s", name, command->min_operands,
				 command->min_operands == 1 ? "" : "s");
	}
	if (count < (size_t)command->min_operands)
		return error_set(err, ERR_INVALID, "'%s' requires at least %d argument%s", name, command->min_operands,
				 command->min_operands == 1 ? "" : "s");
	return error_set(err, ERR_INVALID, "'%s' requires at most %d argument%s", name, command->max_operands,
			 command->max_operands == 1 ? "" : "s");
}

static int print_failure(const struct cli *cli, const struct command *command, struct error *err)
{
	fflush(stdout);
	if (command->failure) {
		fprintf(stderr, "%s: %s\n\nRun '%s --help' for more information\n", cli->program, err->message,
			cli->invoked);
	} else {
		fprintf(stderr, "%s\n", err->message);
	}
	hint_print(err->message);
	return command->failure ? command->failure : 1;
}

/* Exit code of bad usage, as docker's: 125 for unknown flags, 1 for operands. */
static int print_usage_error(const struct cli *cli, const struct command *command, struct error *err, int code)
{
	const char *verb = strstr(err->message, "requires at least") ? "See" : "Run";

	fprintf(stderr, "%s%s%s\n\nUsage:  %s%s%s\n\n%s '%s --help' for more information\n",
		code == 1 ? cli->program : "", code == 1 ? ": " : "", err->message, cli->invoked,
		*command->usage ? " " : "", command->usage, verb, cli->invoked);
	hint_print_flag(err->message, command->options);
	return code;
}

/* A name is a part of the request's path: "web?force=1" must not become another request, nor "" another object. */
static int protect_names(const struct command *command, struct text_list *operands, struct error *err)
{
	size_t count = command->flags & COMMAND_STOP_AT_OPERAND && operands->count ? 1 : operands->count;

	if (command->flags & COMMAND_PLAIN_OPERANDS)
		return 0;
	for (size_t i = 0; i < count; i++) {
		char *name;

		if (*operands->items[i] == '\0')
			return error_set(err, ERR_INVALID, "invalid name or ID: value is empty");
		name = command_escape_name(operands->items[i]);
		free(operands->items[i]);
		operands->items[i] = name;
	}
	return 0;
}

static int run_command(struct cli *cli, const struct command *command, int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	AUTO_FREE struct option_spec *options = options_with_help(command->options);
	void *target = xcalloc(1, command->options_size ? command->options_size : 1);
	unsigned flags = command->flags & COMMAND_STOP_AT_OPERAND ? OPTIONS_STOP_AT_OPERAND : 0;
	int result;

	if (command->defaults)
		command->defaults(target);
	if (options_parse(options, target, argc, argv, flags, &operands, &err) < 0 ||
	    check_filters(command->options, target, &err) < 0) {
		if (err.kind == ERR_CANCELED) {
			help_command(cli->invoked, command);
			result = 0;
		} else {
			result = print_usage_error(cli, command, &err, 125);
		}
	} else if (operands.count < (size_t)command->min_operands ||
		   (command->max_operands >= 0 && operands.count > (size_t)command->max_operands)) {
		wrong_operands(cli, command, operands.count, &err);
		result = print_usage_error(cli, command, &err, 1);
	} else {
		result = protect_names(command, &operands, &err);
		if (result == 0)
			result = command->run(cli, target, &operands, &err);
		if (result < 0)
			result = print_failure(cli, command, &err);
	}
	if (command->fini)
		command->fini(target);
	free_options(command->options, target);
	return result;
}

static const struct command *find_command(const char *group, const char *name)
{
	for (const struct command_entry *entry = command_entries; entry->name; entry++)
		if (text_equal(entry->group, group) && text_equal(entry->name, name))
			return entry->command;
	return NULL;
}

static bool is_group(const char *name)
{
	for (const struct command_group *group = command_groups; group->name; group++)
		if (text_equal(group->name, name))
			return true;
	return false;
}

static int run_group(struct cli *cli, const char *group, int argc, char **argv)
{
	const struct command *command;

	if (argc < 2 || text_equal(argv[1], "--help") || text_equal(argv[1], "help")) {
		help_group(group);
		return 0;
	}
	command = find_command(group, argv[1]);
	if (!command) {
		help_unknown(group, argv[1]);
		return 1;
	}
	cli->invoked = xasprintf("%s %s %s", cli->program, group, argv[1]);
	return run_command(cli, command, argc - 1, argv + 1);
}

static int run_help(struct cli *cli, int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		help_root(global_options, &cli->config);
		return 0;
	}
	if (is_group(argv[1]) && argc < 3) {
		help_group(argv[1]);
		return 0;
	}
	command = argc > 2 ? find_command(argv[1], argv[2]) : find_command("", argv[1]);
	if (!command) {
		help_unknown(argc > 2 ? argv[1] : "", argv[argc > 2 ? 2 : 1]);
		return 1;
	}
	cli->invoked = argc > 2 ? xasprintf("%s %s %s", cli->program, argv[1], argv[2])
				: xasprintf("%s %s", cli->program, argv[1]);
	help_command(cli->invoked, command);
	return 0;
}

/* A plugin for what is no command of ours, or what the user put another in the place of: aliases of config.json. */
static char *plugin_of(const struct cli *cli, const char *name)
{
	const char *alias = json_value_text(json_value_get(json_value_get(cli->config.root, "aliases"), name));

	if (alias)
		return plugin_find(&cli->config, alias);
	return is_group(name) || find_command("", name) ? NULL : plugin_find(&cli->config, name);
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *plugin = NULL;
	const struct command *command;

	if (argc < 1) {
		help_root(global_options, &cli->config);
		return 0;
	}
	if (text_equal(argv[0], "help"))
		return run_help(cli, argc, argv);
	plugin = plugin_of(cli, argv[0]);
	if (plugin) {
		plugin_execute(cli, plugin, cli->argv, &err);
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	if (is_group(argv[0]))
		return run_group(cli, argv[0], argc, argv);
	command = find_command("", argv[0]);
	if (!command) {
		help_unknown("", argv[0]);
		return 1;
	}
	cli->invoked = xasprintf("%s %s", cli->program, argv[0]);
	return run_command(cli, command, argc, argv);
}

static int check_globals(const struct globals *globals, struct error *err)
{
	static const char *const levels[] = { "debug", "info", "warn", "error", "fatal" };
	bool known = text_empty(globals->log_level);

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		known = known || text_equal(globals->log_level, levels[i]);
	if (!known)
		return error_set(err, ERR_INVALID, "unable to parse logging level: %s", globals->log_level);
	if (!text_empty(globals->context) && globals->hosts.count)
		return error_set(err, ERR_INVALID, "conflicting options: either specify --host or --context, not both");
	return 0;
}

static void print_version(const struct cli *cli)
{
	if (text_equal(cli->program, "docker"))
		puts("Docker version " CLIENT_DOCKER_VERSION ", build kist-" KIST_VERSION);
	else
		puts("kist version " KIST_VERSION);
}

/* The files lie beside config.json if they are not named; those that are not there are not used. */
static const char *tls_file(struct text_list *kept, const struct config *config, const char *given, const char *name)
{
	AUTO_FREE char *path = path_join(config->folder, name);

	if (given)
		return given;
	if (!file_exists(AT_FDCWD, path))
		return NULL;
	text_list_add(kept, path);
	return kept->items[kept->count - 1];
}

static void fill_tls(struct cli *cli, const struct globals *globals, struct text_list *kept)
{
	bool verify = optional_bool_or(globals->tls_verify, false);

	cli->tls_given = globals->tls.set || globals->tls_verify.set;
	if (!cli->tls_given)
		return;
	cli->tls.wanted = verify || optional_bool_or(globals->tls, false);
	cli->tls.no_verify = !verify;
	cli->tls.ca = tls_file(kept, &cli->config, globals->tls_ca, "ca.pem");
	cli->tls.certificate = tls_file(kept, &cli->config, globals->tls_certificate, "cert.pem");
	cli->tls.key = tls_file(kept, &cli->config, globals->tls_key, "key.pem");
}

static int run(struct cli *cli, struct globals *globals, struct text_list *rest, struct error *err)
{
	AUTO_FREE char **argv = xcalloc(rest->count + 1, sizeof(*argv));
	AUTO(text_list_fini) struct text_list kept = { 0 };

	for (size_t i = 0; i < rest->count; i++)
		argv[i] = rest->items[i];
	if (globals->version) {
		print_version(cli);
		return 0;
	}
	if (check_globals(globals, err) < 0)
		return -1;
	if (globals->hosts.count > 1)
		return error_set(err, ERR_INVALID, "specify only one -H");
	if (globals->hosts.count)
		cli->host = globals->hosts.items[0];
	cli->context = globals->context;
	cli->debug = globals->debug;
	if (config_load(&cli->config, globals->config_folder, err) < 0) {
		/* As docker does: what needs no credentials works without the file. */
		fprintf(stderr, "WARNING: Error loading config file: %s\n", err->message);
		error_clear(err);
	}
	fill_tls(cli, globals, &kept);
	return dispatch(cli, (int)rest->count, argv);
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO(text_list_fini) struct text_list rest = { 0 };
	AUTO_FREE struct option_spec *options = options_with_help(global_options);
	struct globals globals = { 0 };
	struct cli cli = { .program = text_equal(path_base(argv[0]), "docker") ? "docker" : "kist", .argv = argv };
	int result;

	help_set_program(cli.program);
	signal(SIGPIPE, SIG_IGN);
	if (options_parse(options, &globals, argc, argv, OPTIONS_STOP_AT_OPERAND, &rest, &err) < 0) {
		if (err.kind == ERR_CANCELED) {
			error_clear(&err);
			config_load(&cli.config, globals.config_folder, &err);
			help_root(global_options, &cli.config);
			result = 0;
		} else {
			fprintf(stderr,
				"%s\n\nUsage:  %s [OPTIONS] COMMAND [ARG...]\n\nRun '%s --help' for more "
				"information\n",
				err.message, cli.program, cli.program);
			result = 125;
		}
	} else {
		result = run(&cli, &globals, &rest, &err);
		if (result < 0) {
			fprintf(stderr, "%s\n", err.message);
			result = 1;
		}
	}
	text_list_fini(&globals.hosts);
	client_close(&cli.client);
	config_fini(&cli.config);
	free(cli.invoked);
	/* A full disk or a closed pipe behind stdout is an error too. */
	if (fflush(stdout) != 0 && result == 0)
		result = 1;
	return result;
}
