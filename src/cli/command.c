/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

struct client *cli_client(struct cli *cli, struct error *err)
{
	AUTO(text_map_fini) struct text_map headers = { 0 };
	struct client_options options = { .host = cli->host, .headers = &headers };

	if (cli->opened)
		return &cli->client;
	config_headers(&cli->config, &headers);
	if (client_open(&cli->client, &options, err) < 0)
		return NULL;
	cli->opened = true;
	return &cli->client;
}

void cli_report(int *exit_code, struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "%s\n", err->message);
	error_clear(err);
	*exit_code = 1;
}

void cli_done(const char *name)
{
	puts(name);
}

char *command_escape_name(const char *name)
{
	struct text escaped = { 0 };

	for (const char *c = name; *c; c++)
		text_addf(&escaped, strchr("?%#", *c) ? "%%%02X" : "%c", (unsigned char)*c);
	return text_take(&escaped);
}
