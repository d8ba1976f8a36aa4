/* SPDX-License-Identifier: Apache-2.0 */
/* attach, start, exec, wait: commands that stay with a process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/members.h"
#include "cli/spec.h"
#include "cli/terminal.h"

/* ---- shared ---- */

const char *detach_keys_of(const struct cli *cli, const char *given)
{
	return text_empty(given) ? config_text(&cli->config, "detachKeys") : given;
}

int check_tty(bool attach_stdin, bool tty, struct error *err)
{
	if (tty && attach_stdin && !isatty(STDIN_FILENO))
		return error_set(err, ERR_INVALID, "the input device is not a TTY");
	return 0;
}

int attach_open(struct local_response **out_stream, struct client *client, const char *id, bool use_stdin,
		bool use_stdout, bool use_stderr, const char *detach_keys, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	struct local_request request = { .method = "POST", .upgrade = true };

	text_addf(&path, "/containers/%s/attach?stream=1", id);
	query_add_flag(&path, "stdin", use_stdin);
	query_add_flag(&path, "stdout", use_stdout);
	query_add_flag(&path, "stderr", use_stderr);
	query_add(&path, "detachKeys", detach_keys);
	request.path = path.data;
	return client_send(out_stream, client, &request, err);
}

int wait_open(struct local_response **out_wait, struct client *client, const char *id, const char *condition,
	      struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };
	struct local_request request = { .method = "POST" };

	text_addf(&path, "/containers/%s/wait", id);
	query_add(&path, "condition", condition);
	request.path = path.data;
	return client_send(out_wait, client, &request, err);
}

int wait_result(struct local_response *wait, int *out_code, struct error *err)
{
	AUTO(json_value_freep) struct json_value *answer = NULL;
	AUTO(buffer_fini) struct buffer body = { 0 };
	const char *message;

	buffer_init(&body, 1 << 20);
	if (local_response_read_all(wait, &body, err) < 0)
		return error_prefix(err, "wait for the container");
	if (json_value_parse(&answer, buffer_text(&body), body.size, err) < 0)
		return error_prefix(err, "wait for the container");
	message = json_value_text(json_value_get(json_value_get(answer, "Error"), "Message"));
	if (!text_empty(message))
		return error_set(err, ERR_INTERNAL, "error waiting for container: %s", message);
	*out_code = (int)json_value_integer(json_value_get(answer, "StatusCode"));
	return 0;
}

static bool container_flag(const struct json_value *container, const char *section, const char *name)
{
	return json_value_bool(json_value_get(json_value_get(container, section), name));
}

/* ---- wait ---- */

static int wait_for(struct client *client, const char *name, struct error *err)
{
	AUTO(local_response_freep) struct local_response *wait = NULL;
	int code;

	if (wait_open(&wait, client, name, NULL, err) < 0 || wait_result(wait, &code, err) < 0)
		return -1;
	printf("%d\n", code);
	return 0;
}

static int run_wait(struct cli *cli, void *options, const struct text_list *operands, struct error *err)
{
	struct client *client = cli_client(cli, err);
	int code = 0;

	(void)options;
	if (!client)
		return -1;
	for (size_t i = 0; i < operands->count; i++)
		if (wait_for(client, operands->items[i], err) < 0)
			cli_report(&code, err);
	return code;
}

const struct command command_wait = {
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Block until one or more containers stop, then print their exit codes",
	.min_operands = 1,
	.max_operands = -1,
	.run = run_wait,
};

/* ---- attach ---- */

struct attach_options {
	bool no_stdin;
	bool sig_proxy;
	const char *detach_keys;
};

static const struct option_spec attach_options[] = {
	OPTION_TEXT("detach-keys", 0, struct attach_options, detach_keys, "string", "Key sequence that detaches"),
	OPTION_FLAG("no-stdin", 0, struct attach_options, no_stdin, "Do not attach STDIN"),
	OPTION_FLAG("sig-proxy", 0, struct attach_options, sig_proxy, "Pass received signals on to the process"),
	OPTION_END,
};

static void attach_defaults(void *options)
{
	((struct attach_options *)options)->sig_proxy = true;
}

/* Joined to a running container until it ends: its exit code. */
static int stay_attached(struct session *session, struct local_response *wait, struct error *err)
{
	enum session_end end;
	int code;

	session_open(session);
	end = session_run(session, err);
	session_close(session);
	if (end == SESSION_FAILED)
		return -1;
	if (end == SESSION_DETACHED)
		return 0;
	return wait_result(wait, &code, err) < 0 ? -1 : code;
}

static int check_attachable(const struct json_value *container, struct error *err)
{
	if (!container_flag(container, "State", "Running"))
		return error_set(err, ERR_CONFLICT, "You cannot attach to a stopped container, start it first");
	if (container_flag(container, "State", "Paused"))
		return error_set(err, ERR_CONFLICT, "You cannot attach to a paused container, unpause it first");
	if (container_flag(container, "State", "Restarting"))
		return error_set(err, ERR_CONFLICT,
				 "You cannot attach to a restarting container, wait until it is running");
	return 0;
}

static int run_attach(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct attach_options *options = target;
	AUTO(json_value_freep) struct json_value *container = NULL;
	AUTO(local_response_freep) struct local_response *stream = NULL;
	AUTO(local_response_freep) struct local_response *wait = NULL;
	AUTO_FREE char *path = NULL;
	struct client *client = cli_client(cli, err);
	struct session session = { .client = client, .signal_fd = -1 };
	const char *id;

	if (!client || client_get(&container, client, err, "/containers/%s/json", operands->items[0]) < 0 ||
	    check_attachable(container, err) < 0)
		return -1;
	id = text_of(container, "Id");
	path = xasprintf("/containers/%s", id);
	session.tty = container_flag(container, "Config", "Tty");
	session.use_stdin = !options->no_stdin && container_flag(container, "Config", "OpenStdin");
	session.resize_path = path;
	session.kill_path = options->sig_proxy && !session.tty ? path : NULL;
	session.detach_keys = detach_keys_of(cli, options->detach_keys);
	if (check_tty(!options->no_stdin, session.tty, err) < 0 ||
	    attach_open(&stream, client, id, session.use_stdin, true, true, session.detach_keys, err) < 0 ||
	    wait_open(&wait, client, id, NULL, err) < 0)
		return -1;
	session.stream = stream;
	return stay_attached(&session, wait, err);
}

const struct command command_attach = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Attach local standard input, output, and error streams to a running container",
	.options = attach_options,
	.options_size = sizeof(struct attach_options),
	.defaults = attach_defaults,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_attach,
};

/* ---- start ---- */

struct start_options {
	bool attach;
	bool interactive;
	const char *detach_keys;
	const char *checkpoint;
	const char *checkpoint_folder;
};

static const struct option_spec start_options[] = {
	OPTION_FLAG("attach", 'a', struct start_options, attach, "Attach STDOUT and STDERR and pass signals on"),
	OPTION_TEXT("checkpoint", 0, struct start_options, checkpoint, "string", "Restore from this checkpoint"),
	OPTION_TEXT("checkpoint-dir", 0, struct start_options, checkpoint_folder, "string",
		    "Use a custom checkpoint storage directory"),
	OPTION_TEXT("detach-keys", 0, struct start_options, detach_keys, "string", "Key sequence that detaches"),
	OPTION_FLAG("interactive", 'i', struct start_options, interactive, "Attach the container's STDIN"),
	OPTION_END,
};

static int post_start(struct client *client, const struct start_options *options, const char *name, struct error *err)
{
	AUTO(text_fini) struct text path = { 0 };

	text_addf(&path, "/containers/%s/start", name);
	query_add(&path, "checkpoint", options->checkpoint);
	query_add(&path, "checkpoint-dir", options->checkpoint_folder);
	return client_call(NULL, client, "POST", path.data, NULL, err);
}

static int start_one(struct client *client, const struct start_options *options, const char *name, struct error *err)
{
	if (post_start(client, options, name, err) < 0)
		return -1;
	/* docker says nothing here. */
	if (text_empty(options->checkpoint))
		cli_done(name);
	return 0;
}

static int start_attached(struct cli *cli, struct client *client, const struct start_options *options, const char *name,
			  struct error *err)
{
	AUTO(json_value_freep) struct json_value *container = NULL;
	AUTO(local_response_freep) struct local_response *stream = NULL;
	AUTO(local_response_freep) struct local_response *wait = NULL;
	AUTO_FREE char *path = NULL;
	struct session session = { .client = client, .signal_fd = -1 };
	const char *id;
	bool removed;

	if (client_get(&container, client, err, "/containers/%s/json", name) < 0)
		return -1;
	id = text_of(container, "Id");
	path = xasprintf("/containers/%s", id);
	removed = container_flag(container, "HostConfig", "AutoRemove");
	session.tty = container_flag(container, "Config", "Tty");
	session.use_stdin = options->interactive && container_flag(container, "Config", "OpenStdin");
	session.resize_path = path;
	session.kill_path = session.tty ? NULL : path;
	session.detach_keys = detach_keys_of(cli, options->detach_keys);
	if (attach_open(&stream, client, id, session.use_stdin, true, true, session.detach_keys, err) < 0 ||
	    wait_open(&wait, client, id, removed ? "removed" : "next-exit", err) < 0 ||
	    post_start(client, options, id, err) < 0)
		return -1;
	session.stream = stream;
	return stay_attached(&session, wait, err);
}

static int run_start(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct start_options *options = target;
	struct client *client;
	int result;

	if (!text_empty(options->checkpoint) && operands->count > 1)
		return error_set(err, ERR_INVALID, "you cannot restore multiple containers at once");
	if (!options->attach && !options->interactive) {
		AUTO(text_list_fini) struct text_list failed = { 0 };
		int code = 0;

		client = cli_client(cli, err);
		if (!client)
			return -1;
		for (size_t i = 0; i < operands->count; i++) {
			if (start_one(client, options, operands->items[i], err) == 0)
				continue;
			cli_report(&code, err);
			text_list_add(&failed, operands->items[i]);
		}
		if (failed.count) {
			AUTO_FREE char *names = text_list_join(&failed, ", ");

			return error_set(err, ERR_INTERNAL, "Error: failed to start containers: %s", names);
		}
		return 0;
	}
	if (operands->count > 1)
		return error_set(err, ERR_INVALID, "you cannot start and attach multiple containers at once");
	client = cli_client(cli, err);
	if (!client)
		return -1;
	result = start_attached(cli, client, options, operands->items[0], err);
	return result;
}

const struct command command_start = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Start one or more stopped containers",
	.options = start_options,
	.options_size = sizeof(struct start_options),
	.min_operands = 1,
	.max_operands = -1,
	.run = run_start,
};

/* ---- exec ---- */

struct exec_options {
	bool detach;
	bool interactive;
	bool privileged;
	bool tty;
	const char *detach_keys;
	const char *user;
	const char *workdir;
	struct text_list env;
	struct text_list env_files;
};

static const struct option_spec exec_options[] = {
	OPTION_FLAG("detach", 'd', struct exec_options, detach, "Run the command in the background"),
	OPTION_TEXT("detach-keys", 0, struct exec_options, detach_keys, "string", "Key sequence that detaches"),
	OPTION_LIST("env", 'e', struct exec_options, env, "list", "Set environment variables"),
	OPTION_LIST("env-file", 0, struct exec_options, env_files, "list", "Read environment variables from a file"),
	OPTION_FLAG("interactive", 'i', struct exec_options, interactive, "Keep STDIN open even if not attached"),
	OPTION_FLAG("privileged", 0, struct exec_options, privileged, "Give all privileges to the command"),
	OPTION_FLAG("tty", 't', struct exec_options, tty, "Allocate a terminal"),
	OPTION_TEXT("user", 'u', struct exec_options, user, "string", "User name or UID (<name|uid>[:<group|gid>])"),
	OPTION_TEXT("workdir", 'w', struct exec_options, workdir, "string", "Working directory inside the container"),
	OPTION_END,
};

static int exec_body(struct text *body, const struct cli *cli, const struct exec_options *options,
		     const struct text_list *operands, struct error *err)
{
	AUTO(text_list_fini) struct text_list env = { 0 };
	const char *keys = detach_keys_of(cli, options->detach_keys);
	unsigned rows;
	unsigned columns;

	for (size_t i = 0; i < options->env_files.count; i++)
		if (spec_env_file(&env, options->env_files.items[i], true, err) < 0)
			return -1;
	for (size_t i = 0; i < options->env.count; i++)
		spec_env(&env, options->env.items[i]);
	text_add_char(body, '{');
	members_text(body, "User", text_or_empty(options->user));
	members_bool(body, "Privileged", options->privileged);
	members_bool(body, "Tty", options->tty);
	if (options->tty && terminal_size(STDOUT_FILENO, &rows, &columns) == 0) {
		members_key(body, "ConsoleSize");
		text_addf(body, "[%u,%u]", rows, columns);
	}
	members_bool(body, "AttachStdin", options->interactive && !options->detach);
	members_bool(body, "AttachStderr", !options->detach);
	members_bool(body, "AttachStdout", !options->detach);
	members_text(body, "DetachKeys", text_or_empty(keys));
	members_list(body, "Env", &env);
	members_text(body, "WorkingDir", text_or_empty(options->workdir));
	members_key(body, "Cmd");
	text_add_char(body, '[');
	for (size_t i = 1; i < operands->count; i++)
		members_text_item(body, operands->items[i]);
	text_add(body, "]}");
	return 0;
}

/* The streams may end a moment before the engine has learned how the process did. */
static int exec_exit_code(struct client *client, const char *id, struct error *err)
{
	int64_t deadline = clock_monotonic_ns() + 10 * CLOCK_SECOND;

	for (;;) {
		AUTO(json_value_freep) struct json_value *state = NULL;

		if (client_get(&state, client, err, "/exec/%s/json", id) < 0)
			return -1;
		if (!json_value_bool(json_value_get(state, "Running")) || clock_monotonic_ns() > deadline)
			return (int)json_value_integer(json_value_get(state, "ExitCode"));
		clock_sleep_ms(2);
	}
}

static int exec_attached(struct cli *cli, struct client *client, const struct exec_options *options, const char *id,
			 struct error *err)
{
	AUTO(local_response_freep) struct local_response *stream = NULL;
	AUTO_FREE char *start = xasprintf("/exec/%s/start", id);
	AUTO_FREE char *path = xasprintf("/exec/%s", id);
	AUTO_FREE char *body = xasprintf("{\"Detach\":false,\"Tty\":%s}", options->tty ? "true" : "false");
	struct session session = { .client = client,
				   .resize_path = path,
				   .detach_keys = detach_keys_of(cli, options->detach_keys),
				   .tty = options->tty,
				   .use_stdin = options->interactive,
				   .signal_fd = -1 };
	const struct local_request request = { .method = "POST", .path = start, .body = body, .upgrade = true };
	enum session_end end;

	if (client_send(&stream, client, &request, err) < 0)
		return -1;
	session.stream = stream;
	if (options->tty)
		session_open(&session);
	end = session_run(&session, err);
	session_close(&session);
	if (end == SESSION_FAILED)
		return -1;
	return end == SESSION_DETACHED ? 0 : exec_exit_code(client, id, err);
}

static int run_exec(struct cli *cli, void *target, const struct text_list *operands, struct error *err)
{
	const struct exec_options *options = target;
	AUTO(json_value_freep) struct json_value *container = NULL;
	AUTO(json_value_freep) struct json_value *made = NULL;
	AUTO_FREE char *path = xasprintf("/containers/%s/exec", operands->items[0]);
	AUTO_FREE char *start = NULL;
	AUTO(text_fini) struct text body = { 0 };
	struct client *client;
	const char *id;

	if (exec_body(&body, cli, options, operands, err) < 0)
		return -1;
	client = cli_client(cli, err);
	if (!client || client_get(&container, client, err, "/containers/%s/json", operands->items[0]) < 0)
		return -1;
	if (!options->detach && check_tty(options->interactive, options->tty, err) < 0)
		return -1;
	if (client_call(&made, client, "POST", path, body.data, err) < 0)
		return -1;
	id = json_value_text(json_value_get(made, "Id"));
	if (text_empty(id))
		return error_set(err, ERR_INTERNAL, "exec ID empty");
	if (!options->detach)
		return exec_attached(cli, client, options, id, err);
	start = xasprintf("/exec/%s/start", id);
	return client_call(NULL, client, "POST", start,
			   options->tty ? "{\"Detach\":true,\"Tty\":true}" : "{\"Detach\":true,\"Tty\":false}", err);
}

const struct command command_exec = {
	.usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.summary = "Execute a command in a running container",
	.options = exec_options,
	.options_size = sizeof(struct exec_options),
	.min_operands = 2,
	.max_operands = -1,
	.flags = COMMAND_STOP_AT_OPERAND,
	.run = run_exec,
};
