/* SPDX-License-Identifier: Apache-2.0 */
/* `kist system recover`: kistd --recover, which works on the files while no engine does. */
#include <unistd.h>

#include "base/process.h"
#include "base/program.h"
#include "cli/command.h"
#include "cli/commands.h"

struct recover_options {
	const char *data_root;
};

static const struct option_spec recover_options[] = {
	OPTION_TEXT("data-root", 0, struct recover_options, data_root, "string",
		    "The engine's folder (default: as its configuration says)"),
	OPTION_END,
};

static int run_recover(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct recover_options *options = target;
	AUTO_FREE char *program = program_find("kistd", err);
	AUTO(text_list_fini) struct text_list argv = { 0 };
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	struct process_options spawning = { .path = program, .stdin_fd = -1, .stdout_fd = STDOUT_FILENO };
	struct process_end end;

	(void)cli;
	(void)operands;
	if (!program)
		return -1;
	text_list_add(&argv, "kistd");
	text_list_add(&argv, "--recover");
	if (options->data_root) {
		text_list_add(&argv, "--data-root");
		text_list_add(&argv, options->data_root);
	}
	spawning.argv = text_list_argv(&argv);
	if (process_spawn(&process, &spawning, err) < 0 || process_wait(&process, &end, -1, -1, err) < 0)
		return -1;
	return end.signaled ? 128 + end.code : end.code;
}

const struct command command_system_recover = {
	.usage = "[OPTIONS]",
	.summary = "Put together a database that cannot be read any more",
	.options = recover_options,
	.options_size = sizeof(struct recover_options),
	.min_operands = 0,
	.max_operands = 0,
	.run = run_recover,
};
