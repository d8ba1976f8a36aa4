/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/command.h"
#include "runtime/record.h"

#define PROCESS_MAX (4 << 20)

struct exec_options {
	const char *process;
	const char *console_socket;
	const char *pidfd_socket;
	const char *pid_file;
	const char *cwd;
	const char *user;
	const char *apparmor;
	const char *label;
	struct text_list cgroups;
	struct text_list env;
	struct text_list gids;
	struct text_list caps;
	int64_t preserve_fds;
	bool tty;
	bool detach;
	struct optional_bool no_new_privs;
	bool ignore_paused;
};

static const struct option_spec exec_table[] = {
	OPTION_TEXT("process", 'p', struct exec_options, process, "file", "the process as JSON (config.json's form)"),
	OPTION_TEXT("console-socket", 0, struct exec_options, console_socket, "socket",
		    "gets the terminal's master side"),
	OPTION_TEXT("pidfd-socket", 0, struct exec_options, pidfd_socket, "socket", "gets the pidfd"),
	OPTION_TEXT("pid-file", 0, struct exec_options, pid_file, "file", "write the process id there"),
	OPTION_TEXT("cwd", 0, struct exec_options, cwd, "dir", "current directory in the container"),
	OPTION_LIST("env", 'e', struct exec_options, env, "KEY=VALUE", "set in the environment"),
	OPTION_TEXT("user", 'u', struct exec_options, user, "UID[:GID]", "run as"),
	OPTION_LIST("additional-gids", 'g', struct exec_options, gids, "gid", "supplementary group"),
	OPTION_FLAG("tty", 't', struct exec_options, tty, "give it a terminal"),
	OPTION_FLAG("detach", 'd', struct exec_options, detach, "do not wait for the process"),
	OPTION_TEXT("process-label", 0, struct exec_options, label, "label", "SELinux label"),
	OPTION_TEXT("apparmor", 0, struct exec_options, apparmor, "profile", "AppArmor profile"),
	OPTION_OPT_BOOL("no-new-privs", 0, struct exec_options, no_new_privs, "set no_new_privs"),
	OPTION_LIST("cap", 'c', struct exec_options, caps, "capability", "add to the bounding set and what follows"),
	OPTION_I64("preserve-fds", 0, struct exec_options, preserve_fds, "descriptors from 3 on to pass"),
	OPTION_LIST("cgroup", 0, struct exec_options, cgroups, "[controllers:]path", "group below the container's"),
	OPTION_FLAG("ignore-paused", 0, struct exec_options, ignore_paused, "also if the container is paused"),
	OPTION_END,
};

/* Numbers only: names belong to the container's files, and runc's --user takes none. Assigned when both are right. */
static int parse_user(struct spec_user *out_user, const char *text, struct error *err)
{
	AUTO_FREE char *copy = xstrdup(text);
	char *colon = strchr(copy, ':');
	uint64_t gid = out_user->gid;
	uint64_t uid;

	if (colon)
		*colon++ = '\0';
	if (text_parse_u64(&uid, copy, UINT32_MAX - 1) < 0)
		return error_set(err, ERR_INVALID, "--user: parsing %s as int for uid failed", copy);
	if (colon && text_parse_u64(&gid, colon, UINT32_MAX - 1) < 0)
		return error_set(err, ERR_INVALID, "--user: parsing %s as int for gid failed", colon);
	out_user->uid = (uint32_t)uid;
	out_user->gid = (uint32_t)gid;
	return 0;
}

static int add_gids(struct spec_user *user, const struct text_list *gids, struct error *err)
{
	for (size_t i = 0; i < gids->count; i++) {
		struct spec_number *number;
		uint64_t gid;

		if (text_parse_u64(&gid, gids->items[i], UINT32_MAX - 1) < 0)
			return error_set(err, ERR_INVALID, "--additional-gids: \"%s\" is no group id", gids->items[i]);
		number = json_array_add(&user->additional_gids, sizeof(*number));
		number->value = gid;
	}
	return 0;
}

/* Never inheritable: that would hand capabilities to programs that have none of their own (CVE-2022-29162). */
static void add_caps(struct spec_process *process, const struct text_list *caps)
{
	if (!caps->count)
		return;
	if (!process->capabilities)
		process->capabilities = xcalloc(1, sizeof(*process->capabilities));
	for (size_t i = 0; i < caps->count; i++) {
		struct text_list *sets[] = { &process->capabilities->bounding, &process->capabilities->effective,
					     &process->capabilities->permitted };

		for (size_t set = 0; set < sizeof(sets) / sizeof(sets[0]); set++)
			if (!text_list_contains(sets[set], caps->items[i]))
				text_list_add(sets[set], caps->items[i]);
		if (process->capabilities->inheritable.count)
			text_list_add(&process->capabilities->ambient, caps->items[i]);
	}
}

static void replace(char **place, const char *value)
{
	if (!value)
		return;
	free(*place);
	*place = xstrdup(value);
}

/* The container's own process, with what the command line changes. */
static int process_of_container(struct spec_process *out_process, const struct runtime *runtime, const char *id,
				const struct exec_options *options, const struct text_list *operands, struct error *err)
{
	AUTO(spec_fini) struct spec spec = { 0 };
	AUTO_CLOSE int folder_fd = record_open_folder(runtime, id, err);

	if (folder_fd < 0 || record_load_spec(&spec, folder_fd, err) < 0)
		return -1;
	json_copy_fields(out_process, spec.process, spec_process_fields);
	text_list_fini(&out_process->args);
	for (size_t i = 1; i < operands->count; i++)
		text_list_add(&out_process->args, operands->items[i]);
	out_process->terminal = options->tty;
	replace(&out_process->cwd, options->cwd);
	replace(&out_process->apparmor_profile, options->apparmor);
	replace(&out_process->selinux_label, options->label);
	out_process->no_new_privileges = optional_bool_or(options->no_new_privs, out_process->no_new_privileges);
	text_list_add_all(&out_process->env, &options->env);
	add_caps(out_process, &options->caps);
	if (options->user) {
		free(take_ptr(out_process->user.username));
		if (parse_user(&out_process->user, options->user, err) < 0)
			return -1;
	}
	return add_gids(&out_process->user, &options->gids, err);
}

static int process_of_file(struct spec_process *out_process, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, text_equal(path, "-") ? "/dev/stdin" : path, PROCESS_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INVALID, r, "--process: read %s", path);
	if (spec_process_parse(out_process, text, size, err) < 0)
		return error_prefix(err, "--process: %s", path);
	return 0;
}

static int execute(const struct runtime *runtime, const char *id, const struct spec_process *process,
		   const struct exec_options *options, struct error *err)
{
	AUTO(runtime_process_fini) struct runtime_process made = RUNTIME_PROCESS_NONE;
	const struct runtime_exec_options exec = {
		.spec = process,
		.process = { .stdio = RUNTIME_STDIO_INHERIT,
			     .console_socket = options->console_socket,
			     .pidfd_socket = options->pidfd_socket,
			     .pid_file = options->pid_file,
			     .preserve_fds = (int)options->preserve_fds,
			     .listen_fds = command_listen_fds(),
			     .foreground = !options->detach && !options->console_socket,
			     .keep_newlines = !options->detach && !options->console_socket },
		.cgroups = &options->cgroups,
		.ignore_paused = options->ignore_paused,
	};

	if (!options->detach)
		foreground_begin();
	if (runtime_exec(&made, runtime, id, &exec, err) < 0)
		return -1;
	return options->detach ? 0 : foreground_wait(&made, NULL, err);
}

static int run(const struct runtime *runtime, struct exec_options *options, const struct text_list *operands,
	       struct error *err)
{
	AUTO(spec_process_fini) struct spec_process process = { 0 };
	const char *id = operands->items[0];
	int r;

	if (!options->process && operands->count < 2)
		return error_set(err, ERR_INVALID, "exec args cannot be empty");
	if (options->preserve_fds < 0 || options->preserve_fds > 1024)
		return error_set(err, ERR_INVALID, "--preserve-fds: out of range");
	r = options->process ? process_of_file(&process, options->process, err)
			     : process_of_container(&process, runtime, id, options, operands, err);
	return r < 0 ? -1 : execute(runtime, id, &process, options, err);
}

int command_exec(const struct runtime *runtime, int argc, char *const *argv, struct error *err)
{
	AUTO(text_list_fini) struct text_list operands = { 0 };
	struct exec_options options = { 0 };
	int r = command_parse(exec_table, &options, argc, argv, OPTIONS_STOP_AT_OPERAND, &operands, 1, SIZE_MAX, err);

	if (r > 0)
		r = run(runtime, &options, &operands, err);
	text_list_fini(&options.cgroups);
	text_list_fini(&options.env);
	text_list_fini(&options.gids);
	text_list_fini(&options.caps);
	return r;
}
