/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/command.h"
#include "runtime/learn.h"
#include "runtime/notify.h"
#include "runtime/trace.h"

struct create_options {
	const char *bundle;
	const char *config;
	const char *console_socket;
	const char *pidfd_socket;
	const char *pid_file;
	int64_t preserve_fds;
	bool no_pivot;
	bool no_new_keyring;
	bool detach;
	bool keep;
	bool no_subreaper;
	const char *seccomp_learn;
};

#define CREATE_OPTIONS                                                                                                 \
	OPTION_TEXT("bundle", 'b', struct create_options, bundle, "dir", "folder of config.json (default: .)"),        \
		OPTION_TEXT("config", 'f', struct create_options, config, "file", "another name for config.json"),     \
		OPTION_TEXT("console-socket", 0, struct create_options, console_socket, "socket",                      \
			    "gets the terminal's master side"),                                                        \
		OPTION_TEXT("pidfd-socket", 0, struct create_options, pidfd_socket, "socket", "gets the pidfd"),       \
		OPTION_TEXT("pid-file", 0, struct create_options, pid_file, "file", "write the process id there"),     \
		OPTION_I64("preserve-fds", 0, struct create_options, preserve_fds, "descriptors from 3 on to pass"),   \
		OPTION_FLAG("no-pivot", 0, struct create_options, no_pivot, "do not use pivot_root"),                  \
		OPTION_FLAG("no-new-keyring", 0, struct create_options, no_new_keyring, "keep the session keyring")

static const struct option_spec create_table[] = {
	CREATE_OPTIONS,
	/* crun's: create never adopts anybody. */
	OPTION_FLAG("no-subreaper", 0, struct create_options, no_subreaper, NULL),
	OPTION_END,
};
static const struct option_spec run_table[] = {
	CREATE_OPTIONS,
	OPTION_FLAG("detach", 'd', struct create_options, detach, "do not wait for the process"),
	OPTION_FLAG("keep", 0, struct create_options, keep, "do not delete the container when it has ended"),
	OPTION_FLAG("no-subreaper", 0, struct create_options, no_subreaper, "do not adopt the container's orphans"),
	OPTION_TEXT("seccomp-learn", 0, struct create_options, seccomp_learn, "file",
		    "write a seccomp profile of the calls that are made"),
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
						.config = options->config,
						.process = { .stdio = RUNTIME_STDIO_INHERIT,
							     .console_socket = options->console_socket,
							     .pidfd_socket = options->pidfd_socket,
							     .pid_file = options->pid_file,
							     .preserve_fds = (int)options->preserve_fds,
							     .listen_fds = command_listen_fds(),
							     .no_new_keyring = options->no_new_keyring },
						.no_pivot = options->no_pivot,
						.notify = notify_wanted() };
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
	return runtime_create(&process, runtime, &create, err);
}

/* With somebody who waits for READY=1: its socket must be there before the program is. */
static int run_notifying(struct runtime_process *process, const struct runtime *runtime,
			 const struct runtime_create_options *create, bool detach, struct error *err)
{
	AUTO(error_clear) struct error ignored = { 0 };
	AUTO_CLOSE int fd = -1;

	if (runtime_create(process, runtime, create, err) < 0)
		return -1;
	fd = notify_listen(runtime, create->id, err);
	if (fd < 0 || (!detach && notify_forward_beside(fd, process->pid, runtime->log, err) < 0) ||
	    runtime_start(runtime, create->id, err) < 0) {
		runtime_delete(runtime, create->id, true, &ignored);
		return -1;
	}
	if (detach)
		notify_forward(fd, process->pid, process->pid, runtime->log);
	return 0;
}

static int run(const struct runtime *runtime, const struct create_options *options,
	       const struct runtime_create_options *create, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process process = RUNTIME_PROCESS_NONE;
	AUTO(runtime_running_freep) struct runtime_running *running = NULL;
	int wait_status;
	int r;

	if (!options->detach) {
		if (!options->no_subreaper)
			prctl(PR_SET_CHILD_SUBREAPER, 1);
		foreground_begin();
	}
	r = create->notify ? run_notifying(&process, runtime, create, options->detach, err)
			   : runtime_run(&process, &running, runtime, create, err);
	if (r < 0 || options->detach)
		return r;
	r = foreground_wait(&process, &wait_status, err);
	trace_mark(runtime->trace, "the program");
	if (r >= 0 && options->keep && runtime_note_end(runtime, create->id, wait_status, err) < 0)
		return -1;
	if (r < 0 || options->keep)
		return r;
	if ((running ? runtime_finish(running, err) : runtime_delete(runtime, create->id, true, err)) < 0)
		return -1;
	trace_mark(runtime->trace, "delete");
	return r;
}

/* linux.seccomp does not count meanwhile: what it would deny could not be learned. */
static int run_learning(const struct runtime *runtime, const struct create_options *options,
			struct runtime_create_options *create, struct error *err)
{
	AUTO(error_clear) struct error problem = { 0 };
	struct learn learn;
	int r;

	if (options->detach)
		return error_set(err, ERR_INVALID, "--seccomp-learn: not with --detach, the learning is done here");
	if (learn_begin(&learn, options->seccomp_learn, err) < 0)
		return -1;
	create->learn = true;
	create->learn_fd = learn.socket_fd;
	r = run(runtime, options, create, err);
	if (learn_end(&learn, &problem) < 0 && r >= 0)
		return error_move(err, &problem);
	return r;
}

int command_run(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct create_options options = { 0 };
	struct runtime_create_options create;
	int r = command_parse(run_table, &options, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (check(&options, err) < 0)
		return -1;
	create = convert(&options, operands.items[0]);
	create.process.foreground = !options.detach && !options.console_socket;
	create.process.keep_newlines = create.process.foreground;
	if (options.seccomp_learn)
		return run_learning(runtime, &options, &create, err);
	return run(runtime, &options, &create, err);
}

/* As in runc: the command ends when the container is ready, and systemd knows. */
static int start_notifying(const struct runtime *runtime, const char *id, struct error *err)
{
	AUTO(runtime_state_fini) struct runtime_state state = { 0 };
	AUTO_CLOSE int fd = -1;

	if (runtime_load_state(&state, runtime, id, err) < 0)
		return -1;
	fd = notify_listen(runtime, id, err);
	if (fd < 0 || runtime_start(runtime, id, err) < 0)
		return -1;
	notify_forward(fd, state.pid, state.pid, runtime->log);
	return 0;
}

static bool has_notify_folder(const struct runtime *runtime, const char *id)
{
	AUTO_FREE char *name = xasprintf("%s/notify", id);
	AUTO_FREE char *path = path_join(runtime->root, name);

	return file_exists(AT_FDCWD, path);
}

int command_start(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	static const struct option_spec table[] = { OPTION_END };
	AUTO(text_list_fini) struct text_list operands = { 0 };
	int r = command_parse(table, NULL, argc, argv, 0, &operands, 1, 1, err);

	if (r <= 0)
		return r;
	if (notify_wanted() && has_notify_folder(runtime, operands.items[0]))
		return start_notifying(runtime, operands.items[0], err);
	return runtime_start(runtime, operands.items[0], err);
}
