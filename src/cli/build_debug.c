/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_debug.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/process.h"
#include "cli/members.h"

/* The options before the command: which engine it is. */
static void add_own_options(struct text_list *argv, const struct cli *cli)
{
	for (char *const *word = cli->argv; *word; word++) {
		if (text_equal(*word, "build") || text_equal(*word, "image") || text_equal(*word, "builder"))
			return;
		text_list_add(argv, *word);
	}
}

static int run_shell(struct cli *cli, const char *image, struct error *err)
{
	AUTO(text_list_fini) struct text_list argv = { 0 };
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	AUTO_CLOSE int stdin_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	const struct process_options base = { .path = "/proc/self/exe",
					      .stdin_fd = stdin_fd,
					      .stdout_fd = STDOUT_FILENO };
	struct process_options options = base;
	struct process_end end;
	int r;

	add_own_options(&argv, cli);
	text_list_add(&argv, "run");
	text_list_add(&argv, "--rm");
	text_list_add(&argv, isatty(STDIN_FILENO) ? "-it" : "-i");
	text_list_add(&argv, image);
	text_list_add(&argv, "/bin/sh");
	options.argv = text_list_argv(&argv);
	/* Keys of the terminal are the shell's. */
	signal(SIGINT, SIG_IGN);
	r = process_spawn(&process, &options, err);
	if (r == 0)
		r = process_wait(&process, &end, -1, -1, err);
	signal(SIGINT, SIG_DFL);
	return r < 0 ? -1 : 0;
}

static int remove_both(struct client *client, const char *container, const char *image, struct error *err)
{
	AUTO_FREE char *of_container = xasprintf("/containers/%s?force=1&v=1", container);
	AUTO_FREE char *of_image = xasprintf("/images/%s?force=1", image);

	if (client_call(NULL, client, "DELETE", of_container, NULL, err) < 0)
		return -1;
	return *image ? client_call(NULL, client, "DELETE", of_image, NULL, err) : 0;
}

int build_debug(struct cli *cli, const char *container, struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(error_clear) struct error problem = { 0 };
	AUTO_FREE char *path = xasprintf("/commit?container=%s&pause=0", container);
	struct client *client = cli_client(cli, err);
	const char *image;
	int r;

	if (!client)
		return -1;
	r = client_call(&answer, client, "POST", path, "{}", err);
	image = r < 0 ? "" : text_of(answer, "Id");
	if (r == 0) {
		fprintf(stderr, "A shell in the files of the step that failed; exit ends it.\n");
		r = run_shell(cli, image, err);
	}
	return remove_both(client, container, image, r < 0 ? &problem : err) < 0 ? -1 : r;
}
