/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint create, ls, rm: experimental in docker, and so here. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/members.h"

struct checkpoint_options {
	const char *folder;
	bool leave_running;
};

#define FOLDER_OPTION                                                                                                  \
	OPTION_TEXT("checkpoint-dir", 0, struct checkpoint_options, folder, "string",                                  \
		    "Use a custom checkpoint storage directory")

static const struct option_spec create_options[] = {
	FOLDER_OPTION,
	OPTION_FLAG("leave-running", 0, struct checkpoint_options, leave_running,
		    "Leave the container running after checkpoint"),
	OPTION_END,
};

static const struct option_spec folder_options[] = {
	FOLDER_OPTION,
	OPTION_END,
};

static int run_create(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct checkpoint_options *options = target;
	AUTO(text_fini) struct text path = { 0 };
	AUTO(text_fini) struct text body = { 0 };
	struct client *client = cli_client(cli, err);

	text_addf(&path, "/containers/%s/checkpoints", operands->items[0]);
	text_add_char(&body, '{');
	members_text(&body, "CheckpointID", operands->items[1]);
	members_text(&body, "CheckpointDir", text_or_empty(options->folder));
	text_addf(&body, ",\"Exit\":%s}", options->leave_running ? "false" : "true");
	if (!client || client_call(NULL, client, "POST", path.data, body.data, err) < 0)
		return -1;
	puts(operands->items[1]);
	return 0;
}

static int run_ls(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	static const struct listing_column columns[] = { { "Name", "CHECKPOINT NAME" }, { NULL, NULL } };
	const struct checkpoint_options *options = target;
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(listing_fini) struct listing listing = { 0 };
	AUTO(text_fini) struct text path = { 0 };
	struct client *client = cli_client(cli, err);

	text_addf(&path, "/containers/%s/checkpoints", operands->items[0]);
	query_add(&path, "dir", options->folder);
	if (!client || client_call(&answer, client, "GET", path.data, NULL, err) < 0)
		return -1;
	listing_init(&listing, columns, "*checkpoint.checkpointContext", "table", "table {{.Name}}");
	for (size_t i = 0; i < json_value_count(answer); i++)
		listing_set(listing_add(&listing), "Name",
			    text_or_empty(json_value_text(json_value_get(json_value_at(answer, i), "Name"))));
	return listing_print(&listing, err);
}

static int run_rm(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct checkpoint_options *options = target;
	AUTO(text_fini) struct text path = { 0 };
	struct client *client = cli_client(cli, err);

	text_addf(&path, "/containers/%s/checkpoints/", operands->items[0]);
	query_escape(&path, operands->items[1]);
	query_add(&path, "dir", options->folder);
	return client ? client_call(NULL, client, "DELETE", path.data, NULL, err) : -1;
}

const struct command command_checkpoint_create = {
	.usage = "[OPTIONS] CONTAINER CHECKPOINT",
	.summary = "Create a checkpoint from a running container",
	.options = create_options,
	.options_size = sizeof(struct checkpoint_options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run_create,
};

const struct command command_checkpoint_ls = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "List checkpoints for a container",
	.options = folder_options,
	.options_size = sizeof(struct checkpoint_options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run_ls,
};

const struct command command_checkpoint_rm = {
	.usage = "[OPTIONS] CONTAINER CHECKPOINT",
	.summary = "Remove a checkpoint",
	.options = folder_options,
	.options_size = sizeof(struct checkpoint_options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run_rm,
};
