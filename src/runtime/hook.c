/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/hook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"

#define OUTPUT_KEPT 2048

/* The end of what the hook wrote, trimmed. */
static char *output_tail(int fd)
{
	char data[OUTPUT_KEPT + 1];
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t got = pread(fd, data, OUTPUT_KEPT, size > OUTPUT_KEPT ? size - OUTPUT_KEPT : 0);

	data[got > 0 ? got : 0] = '\0';
	return xstrdup(text_trim(data));
}

/* As Go writes it: "bad system call". */
static const char *signal_words(char out[64], int number)
{
	const char *text = sigdescr_np(number);

	snprintf(out, 64, "%s", text ? text : "unknown signal");
	if (out[0] >= 'A' && out[0] <= 'Z')
		out[0] = (char)(out[0] - 'A' + 'a');
	return out;
}

static int judge(const struct process_end *end, int output_fd, struct error *err)
{
	AUTO_FREE char *tail = output_tail(output_fd);
	const char *colon = *tail ? ": " : "";
	char words[64];

	if (end->signaled)
		return error_set(err, ERR_INTERNAL, "signal: %s (%d)%s%s", signal_words(words, end->code), end->code,
				 colon, tail);
	if (end->code != 0)
		return error_set(err, ERR_INTERNAL, "exit status %d%s%s", end->code, colon, tail);
	return 0;
}

static int run(const struct spec_hook *hook, const char *state_json, char *const *env, struct error *err)
{
	AUTO_CLOSE int input = memfd_create("state", MFD_CLOEXEC);
	AUTO_CLOSE int output = memfd_create("hook", MFD_CLOEXEC);
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	char *const only_path[] = { hook->path, NULL };
	struct process_options options = { .path = hook->path,
					   .argv = hook->args.count ? text_list_argv(&hook->args) : only_path,
					   .envp = hook->env.count || !env ? text_list_argv(&hook->env) : env,
					   .stdin_fd = input,
					   .stdout_fd = output,
					   .stderr_fd = output };
	int64_t timeout = optional_i64_or(hook->timeout, 0);
	struct process_end end;
	int r;

	if (input < 0 || output < 0 || write_full(input, state_json, strlen(state_json)) < 0 ||
	    lseek(input, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "prepare its input");
	if (process_spawn(&process, &options, err) < 0)
		return -1;
	r = process_wait(&process, &end, timeout > 0 ? (int)(timeout > 100000 ? 100000000 : timeout * 1000) : -1, -1,
			 err);
	if (r == 0)
		return error_set(err, ERR_INTERNAL, "timed out after %lld s", (long long)timeout);
	return r < 0 ? -1 : judge(&end, output, err);
}

int hook_run_list(const spec_hook_list *hooks, const char *kind, const char *state_json, char *const *env,
		  struct error *err)
{
	for (size_t i = 0; i < hooks->count; i++)
		if (run(&hooks->items[i], state_json, env, err) < 0)
			return error_prefix(err, "error running %s hook #%zu: %s", kind, i, hooks->items[i].path);
	return 0;
}
