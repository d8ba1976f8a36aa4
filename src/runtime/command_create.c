/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/command.h"

struct create_options {
	const char *bundle;
	const char *console_socket;
	const char *pidfd_socket;
	const char *pid_file;
	int64_t preserve_fds;
	bool no_pivot;
	bool no_new_keyring;
	bool detach;
	bool keep;
	bool no_subreaper;
};

#define CREATE_OPTIONS                                                                                                 \
	OPTION_TEXT("bundle", 'b', struct create_options, bundle, "dir", "folder of config.json (default: .)"),        \
		OPTION_TEXT("console-socket", 0, struct create_options, console_socket, "socket",                      \
			    "gets the terminal's master side"),                                                        \
		OPTION_TEXT("pidfd-socket", 0, struct create_options, pidfd_socket, "socket", "gets the pidfd"),       \
		OPTION_TEXT("pid-file", 0, struct create_options, pid_file, "file", "write the process id there"),     \
		OPTION_I64("preserve-fds", 0, struct create_options, preserve_fds, "descriptors from 3 on to pass"),   \
		OPTION_FLAG("no-pivot", 0, struct create_options, no_pivot, "do not use pivot_root"),                  \
		OPTION_FLAG("no-new-keyring", 0, struct create_options, no_new_keyring, "keep the session keyring")

static const struct option_spec create_table[] = { CREATE_OPTIONS, OPTION_END };
static const struct option_spec run_table[] = {
	CREATE_OPTIONS,
	OPTION_FLAG("detach", 'd', struct create_options, detach, "do not wait for the process"),
	OPTION_FLAG("keep", 0, struct create_options, keep, "do not delete the container when it has ended"),
	OPTION_FLAG("no-subreaper", 0, struct create_options, no_subreaper, "do not adopt the container's orphans"),
	OPTION_END,
};

static int check(const struct create_options *options, struct error *err)
{
	if (options->preserve_fds < 0 || options->preserve_fds > 1024)
		return error_set(err, ERR_INVALID, "--preserve-fds: %lld is out of range",
				 (long long)options->preserve_fds);
	return 0;
}

static struct runtime_create_options convert(const struct create_options *options, const char *id)
{
	return (struct runtime_create_options){ .id = id,
						.bundle = options->bundle,
						.process = { .stdio = RUNTIME_STDIO_INHERIT,
							     .console_socket = options->console_socket,
							     .pidfd_socket = options->pidfd_socket,
							     .pid_file = options->pid_file,
							     .preserve_fds = (int)options->preserve_fds,
							     .listen_fds = command_listen_fds(),
							     .no_new_keyring = options->no_new_keyring },
						.no_pivot = options->no_pivot };
}

/* systemd's readiness protocol is not handed on: whoever waits for READY=1 should know why it does not come. */
static void warn_of_notify_socket(const struct runtime *runtime)
{
	if (runtime->log && getenv("NOTIFY_SOCKET"))
		log_warn(runtime->log, "NOTIFY_SOCKET is set, but is not passed on to the container");
}

int command_create(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process process = RUNTIME_PROCESS_NONE;
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct create_options options = { 0 };
	struct runtime_create_options create;
	int r = command_parse(create_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (check(&options, err) < 0)
		return -1;
	create = convert(&options, operands.items[0]);
	warn_of_notify_socket(runtime);
	return runtime_create(&process, runtime, &create, err);
}

int command_run(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process process = RUNTIME_PROCESS_NONE;
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct create_options options = { 0 };
	struct runtime_create_options create;
	int r = command_parse(run_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (check(&options, err) < 0)
		return -1;
	create = convert(&options, operands.items[0]);
	warn_of_notify_socket(runtime);
	create.process.foreground = !options.detach && !options.console_socket;
	create.process.keep_newlines = create.process.foreground;
	if (!options.detach) {
		if (!options.no_subreaper)
			prctl(PR_SET_CHILD_SUBREAPER, 1);
		foreground_begin();
	}
	if (runtime_run(&process, runtime, &create, err) < 0)
		return -1;
	if (options.detach)
		return 0;
	r = foreground_wait(&process, err);
	if (r < 0 || options.keep)
		return r;
	return runtime_delete(runtime, create.id, true, err) < 0 ? -1 : r;
}

int command_start(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	static const struct option_spec table[] = { OPTION_END };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	int r = command_parse(table, NULL, argc, argv, 0, &operands, 1, 1, err);

	return r <= 0 ? r : runtime_start(runtime, operands.items[0], err);
}
