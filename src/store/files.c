/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "archive/report.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/program.h"
#include "store/layer.h"
#include "store/snapshot.h"
#include "store/store_internal.h"

struct files {
	struct process process;
	int report_fd;
	int output_fd;
};

static int add_layers(struct text_list *request, struct store *store, const struct layer_stack *stack, const char *key,
		      struct error *err)
{
	char path[DIRECTORY_PATH_MAX];

	for (size_t i = 0; i < stack->trees; i++) {
		if (layer_use(store, &stack->items[i], err) < 0)
			return -1;
		text_list_addf(request, "%s=%s/%s", key, store_root(store),
			       store_directory(path, stack->items[i].directory, false, "/fs"));
	}
	return 0;
}

int files_add_source(struct text_list *request, struct store *store, const struct digest *chain_id, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };

	if (layer_stack_load(&stack, store, chain_id, err) < 0)
		return -1;
	return add_layers(request, store, &stack, "source-lower", err);
}

int files_add_snapshot(struct text_list *request, struct store *store, const char *key, struct error *err)
{
	AUTO(layer_stack_fini) struct layer_stack stack = { 0 };
	AUTO_FREE char *upper = snapshot_upper_path(store, key, err);
	AUTO_FREE char *parent = NULL;
	struct digest chain_id;

	if (!upper || snapshot_chain_id(&chain_id, store, key, err) < 0 ||
	    layer_stack_load(&stack, store, &chain_id, err) < 0)
		return -1;
	parent = path_parent(upper);
	if (add_layers(request, store, &stack, "lower", err) < 0)
		return -1;
	text_list_addf(request, "upper=%s", upper);
	text_list_addf(request, "work=%s/work", parent);
	if (store_driver(store) == STORE_COPY) {
		text_list_add(request, "whole=1");
		text_list_addf(request, "since=%lld", (long long)snapshot_whole_since(store, key));
	}
	return 0;
}

/* ---- the child ---- */

void files_free(struct files *files)
{
	if (!files)
		return;
	process_fini(&files->process);
	if (files->report_fd >= 0)
		close(files->report_fd);
	if (files->output_fd >= 0)
		close(files->output_fd);
	free(files);
}

int files_request(const struct text_list *request, struct error *err)
{
	AUTO(text_fini) struct text data = { 0 };
	int fd;

	for (size_t i = 0; i < request->count; i++)
		text_add_bytes(&data, request->items[i], strlen(request->items[i]) + 1);
	fd = file_memory("request", data.data, data.size);
	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, fd, "write the request") : fd;
}

static int make_pipe(int *out_read, int *out_write, struct error *err)
{
	int r = pipe_open(out_read, out_write);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "make a pipe") : 0;
}

int files_start(struct files **out_files, const char *verb, const struct text_list *request, int source_fd,
		struct error *err)
{
	AUTO(files_freep) struct files *files = xcalloc(1, sizeof(*files));
	AUTO_FREE char *program = program_find("kist-files", err);
	AUTO_CLOSE int report_write = -1;
	AUTO_CLOSE int output_write = -1;
	AUTO_CLOSE int input = -1;
	const char *argv[] = { "kist-files", verb, NULL };
	struct process_options options = { .path = program, .argv = (char *const *)argv };
	int fds[2];

	files->process.pidfd = -1;
	files->report_fd = -1;
	files->output_fd = -1;
	if (!program)
		return -1;
	input = files_request(request, err);
	if (input < 0 || make_pipe(&files->report_fd, &report_write, err) < 0 ||
	    make_pipe(&files->output_fd, &output_write, err) < 0)
		return -1;
	fds[0] = report_write;
	fds[1] = source_fd;
	options.stdin_fd = input;
	options.stdout_fd = output_write;
	options.fds = fds;
	options.fd_count = source_fd >= 0 ? 2 : 1;
	if (process_spawn(&files->process, &options, err) < 0)
		return error_prefix(err, "start kist-files");
	*out_files = take_ptr(files);
	return 0;
}

int files_output_fd(const struct files *files)
{
	return files->output_fd;
}

static int died(struct files *files, struct error *err)
{
	struct process_end end;

	if (process_wait(&files->process, &end, -1, -1, err) < 0)
		return -1;
	return error_set(err, ERR_INTERNAL, "kist-files ended without a report (%s %d)",
			 end.signaled ? "signal" : "exit code", end.code);
}

int files_wait(struct files_result *out_result, struct files *files, int cancel_fd, struct error *err)
{
	struct pollfd polled[2] = { { .fd = files->report_fd, .events = POLLIN },
				    { .fd = cancel_fd, .events = POLLIN } };
	struct files_report report;
	struct process_end end;
	char tag;

	while (poll(polled, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	if (polled[0].revents == 0)
		return error_set(err, ERR_CANCELED, "canceled");
	if (read_full(files->report_fd, &tag, 1) != 1)
		return died(files, err);
	if (tag != 'R')
		return error_receive(files->report_fd, err) > 0 ? -1 : died(files, err);
	if (read_full(files->report_fd, &report, sizeof(report)) != sizeof(report))
		return died(files, err);
	*out_result = (struct files_result){ report.entries, report.bytes, report.changed != 0 };
	return process_wait(&files->process, &end, -1, -1, err) < 0 ? -1 : 0;
}

int files_run(struct files_result *out_result, const char *verb, const struct text_list *request, int source_fd,
	      int cancel_fd, struct error *err)
{
	AUTO(files_freep) struct files *files = NULL;

	if (files_start(&files, verb, request, source_fd, err) < 0)
		return -1;
	return files_wait(out_result, files, cancel_fd, err);
}
