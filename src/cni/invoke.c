/* SPDX-License-Identifier: Apache-2.0 */
#include "cni/invoke.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/text.h"
#include "cni/result.h"

#define WORDS_MAX 300 /* of rubbish that is shown */

extern char **environ;

char *cni_find_plugin(const char *type, const char *path, struct error *err)
{
	AUTO(text_list_fini) struct text_list folders = { 0 };

	if (text_empty(type) || strchr(type, '/') || *type == '.') {
		error_fill(err, ERR_INVALID, "\"%.64s\" is no name of a CNI plugin", text_or_empty(type));
		return NULL;
	}
	text_list_split(&folders, text_or_empty(path), ':');
	for (size_t i = 0; i < folders.count; i++) {
		AUTO_FREE char *file = path_join(folders.items[i], type);

		if (*folders.items[i] && access(file, X_OK) == 0)
			return take_ptr(file);
	}
	error_fill(err, ERR_NOT_FOUND, "CNI plugin \"%s\" is in none of %s", type, text_or_empty(path));
	return NULL;
}

static void set(struct text_list *environment, const char *key, const char *value)
{
	text_list_set_env(environment, key, text_or_empty(value));
}

static void fill_environment(struct text_list *environment, const struct cni_call *call)
{
	for (char **entry = environ; *entry; entry++)
		if (!text_has_prefix(*entry, "CNI_"))
			text_list_add(environment, *entry);
	set(environment, "CNI_COMMAND", call->command);
	set(environment, "CNI_CONTAINERID", call->container);
	set(environment, "CNI_NETNS", call->netns);
	set(environment, "CNI_IFNAME", call->interface);
	set(environment, "CNI_ARGS", call->arguments);
	set(environment, "CNI_PATH", call->path);
}

/* A file in memory that takes so many bytes and not one more: a plugin that prints without end meets an error. */
static int bounded_file(const char *name)
{
	AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)CNI_RESULT_MAX) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return -errno;
	return take_fd(&fd);
}

/* What was written to it: the place in the file is shared with the plugin. */
static char *written(int fd)
{
	off_t size = lseek(fd, 0, SEEK_CUR);
	char *text = xcalloc((size_t)(size > 0 ? size : 0) + 1, 1);
	ssize_t got = size > 0 ? pread(fd, text, (size_t)size, 0) : 0;

	text[got > 0 ? got : 0] = '\0';
	return text;
}

static int tell_failure(const char *type, const struct cni_call *call, int code, int out_fd, int err_fd,
			struct error *err)
{
	AUTO_FREE char *printed = written(out_fd);
	AUTO_FREE char *complaint = written(err_fd);
	AUTO_FREE char *sentence = cni_failure_text(printed, strlen(printed));
	const char *words = text_trim(complaint);

	if (sentence)
		return error_set(err, ERR_INTERNAL, "CNI plugin %s %s: %s", type, call->command, sentence);
	if (!*words)
		words = text_trim(printed);
	return error_set(err, ERR_INTERNAL, "CNI plugin %s %s exited with %d%s%.*s", type, call->command, code,
			 *words ? ": " : " and said nothing", WORDS_MAX, words);
}

static int wait_for(struct process *process, const char *type, const struct cni_call *call, int out_fd, int err_fd,
		    struct error *err)
{
	struct process_end end = { 0 };
	pid_t group = process->pid;
	int ended = process_wait(process, &end, call->timeout_ms, -1, err);

	if (ended < 0)
		return -1;
	if (ended == 0) {
		/* Not reaped yet, so the number is still its own. */
		kill(-group, SIGKILL);
		return error_set(err, ERR_UNAVAILABLE, "CNI plugin %s did not end its %s within %d s: killed", type,
				 call->command, call->timeout_ms / 1000);
	}
	if (end.signaled)
		return error_set(err, ERR_INTERNAL, "CNI plugin %s %s was killed by signal %d", type, call->command,
				 end.code);
	if (end.code != 0)
		return tell_failure(type, call, end.code, out_fd, err_fd, err);
	return 0;
}

int cni_invoke(char **out_output, const char *type, const char *config, const struct cni_call *call, struct error *err)
{
	AUTO_FREE char *program = cni_find_plugin(type, call->path, err);
	AUTO(text_list_fini) struct text_list environment = { 0 };
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	AUTO_CLOSE int in = file_memory("cni-config", config, strlen(config));
	AUTO_CLOSE int out = bounded_file("cni-result");
	AUTO_CLOSE int complaints = bounded_file("cni-errors");
	char *const argv[] = { program, NULL };

	if (!program)
		return -1;
	if (in < 0 || out < 0 || complaints < 0)
		return error_set(err, ERR_INTERNAL, "make files for CNI plugin %s", type);
	fill_environment(&environment, call);
	if (process_spawn(&process,
			  &(struct process_options){ .path = program,
						     .argv = argv,
						     .envp = text_list_argv(&environment),
						     .cwd = "/",
						     .stdin_fd = in,
						     .stdout_fd = out,
						     .stderr_fd = complaints,
						     .new_session = true },
			  err) < 0)
		return error_prefix(err, "run CNI plugin %s", type);
	if (wait_for(&process, type, call, out, complaints, err) < 0)
		return -1;
	if (lseek(out, 0, SEEK_CUR) >= (off_t)CNI_RESULT_MAX)
		return error_set(err, ERR_INTERNAL, "CNI plugin %s %s printed %zu bytes and more", type, call->command,
				 CNI_RESULT_MAX);
	if (out_output)
		*out_output = written(out);
	return 0;
}
