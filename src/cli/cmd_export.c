/* SPDX-License-Identifier: Apache-2.0 */
/* export: the files of a container as an archive. */
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/commands.h"

struct export_options {
	const char *output;
};

static const struct option_spec export_options[] = {
	OPTION_TEXT("output", 'o', struct export_options, output, "string", "Write to a file, instead of STDOUT"),
	OPTION_END,
};

static int run_export(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct export_options *options = target;
	AUTO(local_response_freep) struct local_response *response = NULL;
	AUTO_FREE char *path = xasprintf("/containers/%s/export", operands->items[0]);
	const struct local_request request = { .method = "GET", .path = path };
	struct client *client;

	if (!options->output && isatty(STDOUT_FILENO))
		return error_set(err, ERR_INVALID,
				 "cowardly refusing to save to a terminal. Use the -o flag or redirect");
	client = cli_client(cli, err);
	if (!client || client_send(&response, client, &request, err) < 0)
		return -1;
	return save_answer(response, options->output, "Exporting - ", err);
}

const struct command command_export = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Export a container's filesystem as a tar archive",
	.options = export_options,
	.options_size = sizeof(struct export_options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run_export,
};
