/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - a command is a value: name, options in a table, a function.
 *
 * main.c finds it, parses its options into a zeroed target (after defaults()),
 * checks the number of operands and calls run(). run() returns the exit code,
 * or -1 with err filled: main() prints it and exits with `failure`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/options.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/contexts.h"

struct cli {
	const char *program;   /* "kist", or "docker" if it was started by that name */
	const char *host;      /* -H, or NULL */
	const char *context;   /* -c, or NULL */
	struct client_tls tls; /* --tls and its like */
	bool tls_given;
	const char *config_folder;
	char *const *argv; /* as we were started */
	bool debug;
	bool opened;
	struct client client;
	struct config config;
	char *invoked; /* "kist container run", for messages */
};

enum command_flags {
	COMMAND_STOP_AT_OPERAND = 1, /* what follows the first operand is not ours */
	COMMAND_HIDDEN = 2,
	COMMAND_PLAIN_OPERANDS = 4 /* not names of objects: they do not become part of a request's path */
};

struct command {
	const char *usage;   /* "[OPTIONS] IMAGE [COMMAND] [ARG...]" */
	const char *summary; /* one line, no full stop */
	const struct option_spec *options;
	size_t options_size;
	void (*defaults)(void *options);
	void (*fini)(void *options); /* what calls of options made; lists of the table are freed anyway */
	int min_operands;
	int max_operands; /* -1: any number */
	unsigned flags;
	int failure; /* exit code of an error: 1, or 125 for run and its like (0 means 1) */
	int (*run)(struct cli *cli, void *options, const struct text_list *operands, struct error *err);
};

/* Where the engine is, by the command line, the environment and the context; yours; NULL: the default. */
int cli_engine(char **out_host, struct saved_context *out_context, struct cli *cli, struct error *err);
/* Opens the connection to the engine once; NULL with err filled. */
struct client *cli_client(struct cli *cli, struct error *err);
/* A name as a part of a request's path; yours. */
char *command_escape_name(const char *name);
/* Prints one of several failures to stderr, clears it, and remembers it in *exit_code. */
void cli_report(int *exit_code, struct error *err);
/* Prints the name of something done. */
void cli_done(const char *name);

struct command_entry {
	const char *group; /* "container", or "" for top-level */
	const char *name;
	const struct command *command;
	unsigned flags;
};

/* All commands, ending with name NULL. */
extern const struct command_entry command_entries[];

struct command_group {
	const char *name;
	const char *summary;
};

extern const struct command_group command_groups[];
