/* SPDX-License-Identifier: Apache-2.0 */
/* create and run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/container_options.h"
#include "cli/hint.h"
#include "cli/terminal.h"
#include "oci/reference.h"

int start_failure_code(const char *message)
{
	if (strstr(message, "executable file not found") || strstr(message, "no such file or directory") ||
	    strstr(message, "system cannot find the file specified"))
		return 127;
	if (strstr(message, "permission denied") || strstr(message, "is a directory") ||
	    strstr(message, "exec format error"))
		return 126;
	return 125;
}

/* Takes the name of --cidfile before anything is made. */
static int open_cidfile(const char *path, struct error *err)
{
	int fd;

	if (file_exists(AT_FDCWD, path))
		return error_set(err, ERR_CONFLICT,
				 "container ID file found, make sure the other container isn't running or delete %s",
				 path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(err, ERR_INVALID, errno, "create the container ID file %s", path);
	return fd;
}

static int post_create(char **out_id, struct client *client, const struct container_options *options, const char *body,
		       struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	const struct json_value *warnings;
	AUTO(text_fini) struct text path = { 0 };
	const char *id;

	text_add(&path, "/containers/create");
	query_add(&path, "name", options->name);
	query_add(&path, "platform", options->platform);
	if (client_call(&answer, client, "POST", path.data, body, err) < 0)
		return -1;
	id = json_value_text(json_value_get(answer, "Id"));
	if (text_empty(id))
		return error_set(err, ERR_INTERNAL, "the engine made a container without an ID");
	warnings = json_value_get(answer, "Warnings");
	for (size_t i = 0; i < json_value_count(warnings); i++)
		fprintf(stderr, "WARNING: %s\n", text_or_empty(json_value_text(json_value_at(warnings, i))));
	*out_id = xstrdup(id);
	return 0;
}

/* The name with its tag, as docker shows it: "busybox:latest". */
static char *shown_name(const char *image)
{
	AUTO(reference_fini) struct reference reference = { 0 };
	AUTO(error_clear) struct error ignored = { 0 };

	if (reference_parse(&reference, image, &ignored) < 0)
		return xstrdup(image);
	reference_default_tag(&reference);
	return reference_familiar(&reference);
}

static int check_options(char **out_body, struct container_options *options, const struct text_list *operands,
			 struct error *err)
{
	if (!text_equal(options->pull, "missing") && !text_equal(options->pull, "always") &&
	    !text_equal(options->pull, "never"))
		return error_set(err, ERR_INVALID,
				 "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"",
				 options->pull);
	return check_trust(&options->no_trust, err) < 0 ? -1 : container_body(out_body, options, operands, err);
}

/* Fails as docker does: a wrong option is exit code 125 and a hint, also for create. */
static int create(char **out_id, struct cli *cli, struct container_options *options, const struct text_list *operands,
		  const char *body, struct error *err)
{
	AUTO_FREE char *shown = NULL;
	const char *image = operands->items[0];
	struct client *client;

	client = cli_client(cli, err);
	if (!client)
		return -1;
	if (text_equal(options->pull, "always") &&
	    pull_image(cli, image, options->platform, options->quiet, stderr, err) < 0)
		return -1;
	if (post_create(out_id, client, options, body, err) == 0)
		return 0;
	if (err->kind != ERR_NOT_FOUND || !text_equal(options->pull, "missing") ||
	    !strstr(err->message, "No such image"))
		return -1;
	error_clear(err);
	shown = shown_name(image);
	if (!options->quiet)
		fprintf(stderr, "Unable to find image '%s' locally\n", shown);
	if (pull_image(cli, image, options->platform, options->quiet, stderr, err) < 0)
		return -1;
	return post_create(out_id, client, options, body, err);
}

/* create(), with the ID file around it. */
static int create_with_cidfile(char **out_id, struct cli *cli, struct container_options *options,
			       const struct text_list *operands, const char *body, struct error *err)
{
	AUTO_CLOSE int fd = -1;

	if (*options->cidfile) {
		fd = open_cidfile(options->cidfile, err);
		if (fd < 0)
			return -1;
	}
	if (create(out_id, cli, options, operands, body, err) < 0) {
		if (fd >= 0)
			unlink(options->cidfile);
		return -1;
	}
	if (fd >= 0 && write_full(fd, *out_id, strlen(*out_id)) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "write %s", options->cidfile);
	return 0;
}

static int fail_run(const struct cli *cli, int code, struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n\nRun '%s --help' for more information\n", cli->program, err->message, cli->invoked);
	hint_print(err->message);
	return code;
}

static int create_and_tell(struct cli *cli, struct container_options *options, const struct text_list *operands,
			   const char *body, struct error *err)
{
	AUTO_FREE char *id = NULL;

	if (create_with_cidfile(&id, cli, options, operands, body, err) < 0)
		return -1;
	puts(id);
	return 0;
}

static int run_create(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	AUTO_FREE char *body = NULL;

	if (check_options(&body, target, operands, err) < 0)
		return fail_run(cli, 125, err);
	return create_and_tell(cli, target, operands, body, err);
}

const struct command command_create = {
	.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create a new container",
	.options = create_options,
	.options_size = sizeof(struct container_options),
	.defaults = container_options_defaults,
	.fini = container_options_fini,
	.min_operands = 1,
	.max_operands = -1,
	.flags = COMMAND_STOP_AT_OPERAND | COMMAND_PLAIN_OPERANDS,
	.run = run_create,
};

/* ---- run ---- */

struct run {
	struct cli *cli;
	struct client *client;
	struct container_options *options;
	char *id;
	char *path; /* "/containers/ID" */
	struct local_response *stream;
	struct local_response *wait;
};

static int check_run(struct container_options *options, struct error *err)
{
	unsigned rows;
	unsigned columns;

	if (options->detach && options->attach.count)
		return error_set(err, ERR_INVALID, "conflicting options: cannot specify both --attach and --detach");
	if (options->tty && !options->detach && terminal_size(STDOUT_FILENO, &rows, &columns) == 0)
		options->raw[RAW_CONSOLE] = xasprintf("[%u,%u]", rows, columns);
	if (options->detach)
		return 0;
	return check_tty(options->interactive &&
				 (!options->attach.count || text_list_contains(&options->attach, "stdin")),
			 options->tty, err);
}

/* The container is made: attach first, then watch for its end, then start, so that nothing is missed. */
static int attach_and_wait(struct run *run, struct error *err)
{
	const struct container_options *options = run->options;
	bool attach = options->attach_stdin || options->attach_stdout || options->attach_stderr;

	if (attach && attach_open(&run->stream, run->client, run->id, options->attach_stdin, options->attach_stdout,
				  options->attach_stderr, detach_keys_of(run->cli, options->detach_keys), err) < 0)
		return -1;
	return wait_open(&run->wait, run->client, run->id, options->remove ? "removed" : "next-exit", err);
}

/* Exit code; -1 with err filled and run->cli's code in *out_failure. */
static int start_and_stay(struct run *run, struct session *session, int *out_failure, struct error *err)
{
	const struct container_options *options = run->options;
	enum session_end end;
	int code;

	if (client_post(run->client, err, "%s/start", run->path) < 0) {
		AUTO(error_clear) struct error ignored = { 0 };

		*out_failure = start_failure_code(err->message);
		/* --rm: the engine removes what could not start; be there when it is done. */
		if (options->remove)
			wait_result(run->wait, &code, &ignored);
		return -1;
	}
	if (!run->stream) {
		puts(run->id);
		return 0;
	}
	end = session_run(session, err);
	/* From here on Ctrl-C ends us, should the engine not answer. */
	session_close(session);
	if (end == SESSION_FAILED)
		return -1;
	if (end == SESSION_DETACHED)
		return 0;
	return wait_result(run->wait, &code, err) < 0 ? -1 : code;
}

static int run_to_end(struct run *run, int *out_failure, struct error *err)
{
	const struct container_options *options = run->options;
	struct session session = { .client = run->client,
				   .resize_path = run->path,
				   .kill_path = options->sig_proxy && !options->tty && !options->detach ? run->path
													: NULL,
				   .detach_keys = detach_keys_of(run->cli, options->detach_keys),
				   .tty = options->tty,
				   .use_stdin = options->attach_stdin,
				   .signal_fd = -1 };
	int result;

	if (attach_and_wait(run, err) < 0)
		return -1;
	session.stream = run->stream;
	if (run->stream)
		session_open(&session);
	result = start_and_stay(run, &session, out_failure, err);
	session_close(&session);
	return result;
}

static int run_run(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	struct run run = { .cli = cli, .options = target };
	AUTO_FREE char *body = NULL;
	int failure = 125;
	int result = -1;

	if (check_run(run.options, err) < 0) {
		cli_report(&failure, err);
		return 1;
	}
	if (check_options(&body, run.options, operands, err) < 0 ||
	    create_with_cidfile(&run.id, cli, run.options, operands, body, err) < 0) {
		free(run.id);
		return -1;
	}
	run.client = cli_client(cli, err);
	run.path = xasprintf("/containers/%s", run.id);
	result = run_to_end(&run, &failure, err);
	local_response_free(run.stream);
	local_response_free(run.wait);
	free(run.id);
	free(run.path);
	return result < 0 ? fail_run(cli, failure, err) : result;
}

const struct command command_run = {
	.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create and run a new container from an image",
	.options = run_options,
	.options_size = sizeof(struct container_options),
	.defaults = container_options_defaults,
	.fini = container_options_fini,
	.min_operands = 1,
	.max_operands = -1,
	.flags = COMMAND_STOP_AT_OPERAND | COMMAND_PLAIN_OPERANDS,
	.failure = 125,
	.run = run_run,
};
