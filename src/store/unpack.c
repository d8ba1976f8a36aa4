/* SPDX-License-Identifier: Apache-2.0 */
#include "store/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "archive/report.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"
#include "base/program.h"

#define DEFERRED_MAX (256 * 1024 * 1024)
#define NUMBER_MAX 24

struct unpack {
	struct process process;
	int report_fd;
	int stream_fd; /* the pipe's writing end, until it is taken */
	int tee_fd;    /* the reading end, until it is taken */
};

void unpack_result_fini(struct unpack_result *result)
{
	free(result->deferred);
	*result = (struct unpack_result){ 0 };
}

void unpack_free(struct unpack *unpack)
{
	if (!unpack)
		return;
	process_fini(&unpack->process);
	if (unpack->report_fd >= 0)
		close(unpack->report_fd);
	if (unpack->stream_fd >= 0)
		close(unpack->stream_fd);
	if (unpack->tee_fd >= 0)
		close(unpack->tee_fd);
	free(unpack);
}

int unpack_take_stream_fd(struct unpack *unpack)
{
	return take_fd(&unpack->stream_fd);
}

int unpack_take_tee_fd(struct unpack *unpack)
{
	return take_fd(&unpack->tee_fd);
}

/* ---- start ---- */

/* fds[0] is the target; the report pipe's writing end goes to fds[1]. */
static int spawn(struct unpack *unpack, char *const *argv, int stream_fd, int *fds, size_t fd_count, struct error *err)
{
	AUTO_FREE char *program = program_find("kist-unpack", err);
	AUTO_CLOSE int report_write = -1;
	struct process_options options = { .path = program, .argv = argv, .stdin_fd = stream_fd };
	int report[2];

	if (!program)
		return -1;
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
	unpack->report_fd = report[0];
	report_write = report[1];
	fds[1] = report_write;
	options.fds = fds;
	options.fd_count = fd_count;
	return process_spawn(&unpack->process, &options, err);
}

static struct unpack *new_unpack(void)
{
	struct unpack *unpack = xcalloc(1, sizeof(*unpack));

	unpack->process.pidfd = -1;
	unpack->report_fd = -1;
	unpack->stream_fd = -1;
	unpack->tee_fd = -1;
	return unpack;
}

static int make_pipe(int *out_read, int *out_write, struct error *err)
{
	int r = pipe_open(out_read, out_write);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "make a pipe") : 0;
}

int unpack_start(struct unpack **out_unpack, const struct unpack_options *options, struct error *err)
{
	AUTO(unpack_freep) struct unpack *unpack = new_unpack();
	AUTO_CLOSE int read_end = -1;
	AUTO_CLOSE int tee_write = -1;
	char limit[NUMBER_MAX];
	const char *argv[] = { "kist-unpack",
			       "unpack",
			       limit,
			       options->devices ? options->devices : "allow",
			       options->archive	      ? "archive"
			       : options->lowest      ? "lowest"
			       : options->marks_apart ? "whole"
						      : "above",
			       options->tee ? "tee" : NULL,
			       NULL };
	int fds[3] = { options->target_fd, -1, -1 };

	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)options->limit_bytes);
	if (options->stream_fd < 0 && make_pipe(&read_end, &unpack->stream_fd, err) < 0)
		return -1;
	if (options->tee && make_pipe(&unpack->tee_fd, &tee_write, err) < 0)
		return -1;
	fds[2] = tee_write;
	if (spawn(unpack, (char *const *)argv, read_end >= 0 ? read_end : options->stream_fd, fds, options->tee ? 3 : 2,
		  err) < 0)
		return error_prefix(err, "start kist-unpack");
	*out_unpack = take_ptr(unpack);
	return 0;
}

/* ---- wait ---- */

static int wait_for_report(struct unpack *unpack, int cancel_fd, struct error *err)
{
	struct pollfd polled[2] = { { .fd = unpack->report_fd, .events = POLLIN },
				    { .fd = cancel_fd, .events = POLLIN } };

	while (poll(polled, 2, -1) < 0)
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	if (polled[0].revents == 0)
		return error_set(err, ERR_CANCELED, "canceled");
	return 0;
}

static int died(struct unpack *unpack, struct error *err)
{
	struct process_end end;

	if (process_wait(&unpack->process, &end, -1, -1, err) < 0)
		return -1;
	return error_set(err, ERR_INTERNAL, "kist-unpack ended without a report (%s %d)",
			 end.signaled ? "signal" : "exit code", end.code);
}

static int read_report(struct unpack_result *out_result, struct unpack *unpack, struct error *err)
{
	AUTO_FREE char *deferred = NULL;
	struct unpack_report report;

	if (read_full(unpack->report_fd, &report, sizeof(report)) != sizeof(report) ||
	    report.deferred_size > DEFERRED_MAX)
		return died(unpack, err);
	if (report.deferred_size > 0) {
		deferred = xmalloc(report.deferred_size);
		if (read_full(unpack->report_fd, deferred, report.deferred_size) != (ssize_t)report.deferred_size)
			return died(unpack, err);
	}
	*out_result = (struct unpack_result){ .entries = report.entries,
					      .bytes = report.bytes,
					      .has_root = report.has_root != 0,
					      .deferred = take_ptr(deferred),
					      .deferred_size = report.deferred_size };
	return 0;
}

int unpack_wait(struct unpack_result *out_result, struct unpack *unpack, int cancel_fd, struct error *err)
{
	struct process_end end;
	char tag;
	int r;

	if (wait_for_report(unpack, cancel_fd, err) < 0)
		return -1;
	if (read_full(unpack->report_fd, &tag, 1) != 1)
		return died(unpack, err);
	if (tag == 'R')
		r = read_report(out_result, unpack, err);
	else
		r = error_receive(unpack->report_fd, err) > 0 ? -1 : died(unpack, err);
	if (r < 0)
		return error_prefix(err, "unpack");
	return process_wait(&unpack->process, &end, -1, -1, err) < 0 ? -1 : 0;
}

/* ---- finish ---- */

static int make_input(const char *data, size_t size, struct error *err)
{
	int fd = file_memory("deferred", data, size);

	return fd < 0 ? error_set_errno(err, ERR_INTERNAL, fd, "write the deferred work") : fd;
}

int unpack_finish_below(int target_fd, const int *lower_fds, size_t lower_count, const struct unpack_result *result,
			struct error *err)
{
	AUTO(unpack_freep) struct unpack *unpack = new_unpack();
	AUTO(unpack_result_fini) struct unpack_result none = { 0 };
	AUTO_CLOSE int input = -1;
	AUTO_FREE int *fds = NULL;
	char count[NUMBER_MAX];
	const char *argv[] = { "kist-unpack", "finish", count, NULL };

	if (result->deferred_size == 0)
		return 0;
	input = make_input(result->deferred, result->deferred_size, err);
	if (input < 0)
		return -1;
	snprintf(count, sizeof(count), "%zu", lower_count);
	fds = xcalloc(lower_count + 2, sizeof(*fds));
	fds[0] = target_fd;
	if (lower_count > 0)
		memcpy(fds + 2, lower_fds, lower_count * sizeof(*fds));
	if (spawn(unpack, (char *const *)argv, input, fds, lower_count + 2, err) < 0)
		return error_prefix(err, "start kist-unpack");
	return unpack_wait(&none, unpack, -1, err);
}
