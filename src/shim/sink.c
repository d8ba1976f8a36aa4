/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/file.h"

#define FILE_MODE 0640

void sink_init(struct sink *sink, struct loop *loop, void (*drained)(void *context), void *context)
{
	*sink = (struct sink){ .loop = loop, .fd = -1, .keep_fd = -1, .drained = drained, .context = context };
}

static int open_fifo(struct sink *sink, const char *path, struct error *err)
{
	/* The reading side first: then opening for writing neither blocks nor fails. */
	sink->keep_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (sink->keep_fd >= 0)
		sink->fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (sink->fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open fifo %s", path);
	sink->pending = xmalloc(SINK_WRITE_MAX);
	return 0;
}

static int open_file(struct sink *sink, const char *path, struct error *err)
{
	sink->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
	if (sink->fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", path);
	return 0;
}

int sink_open(struct sink *sink, const struct stdio_uri *uri, struct error *err)
{
	struct stat status;

	if (uri->kind == STDIO_NONE)
		return 0;
	if (uri->kind == STDIO_PATH && stat(uri->path, &status) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open %s", uri->path);
	if (uri->kind == STDIO_PATH && S_ISFIFO(status.st_mode))
		return open_fifo(sink, uri->path, err);
	return open_file(sink, uri->path, err);
}

void sink_use_log(struct sink *sink, struct json_log *log, enum json_log_stream stream)
{
	sink->log = log;
	sink->stream = stream;
}

static void close_fds(struct sink *sink)
{
	loop_remove(sink->loop, &sink->watch);
	if (sink->fd >= 0)
		close(sink->fd);
	if (sink->keep_fd >= 0)
		close(sink->keep_fd);
	sink->fd = -1;
	sink->keep_fd = -1;
	sink->pending_size = sink->pending_at = 0;
}

void sink_use_pipe_take_fd(struct sink *sink, int fd)
{
	close_fds(sink);
	sink->fd = fd;
	if (!sink->pending)
		sink->pending = xmalloc(SINK_WRITE_MAX);
}

void sink_drop_pipe(struct sink *sink)
{
	close_fds(sink);
}

static void on_fifo(struct watch *watch, short revents)
{
	struct sink *sink = list_entry(watch, struct sink, watch);
	ssize_t written = write(sink->fd, sink->pending + sink->pending_at, sink->pending_size - sink->pending_at);

	(void)revents;
	if (written < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (written < 0) {
		sink->failed = errno;
		written = (ssize_t)(sink->pending_size - sink->pending_at);
	}
	sink->pending_at += (size_t)written;
	if (sink->pending_at < sink->pending_size)
		return;
	sink->pending_size = sink->pending_at = 0;
	loop_remove(sink->loop, &sink->watch);
	if (sink->ending)
		close_fds(sink);
	sink->drained(sink->context);
}

static void write_fifo(struct sink *sink, const char *data, size_t size)
{
	ssize_t written = write(sink->fd, data, size);

	if (written == (ssize_t)size)
		return;
	if (written < 0 && errno != EAGAIN && errno != EINTR) {
		sink->failed = errno;
		return;
	}
	if (written < 0)
		written = 0;
	sink->pending_size = size - (size_t)written;
	memcpy(sink->pending, data + written, sink->pending_size);
	loop_add(sink->loop, &sink->watch, sink->fd, POLLOUT, on_fifo);
}

void sink_write(struct sink *sink, const char *data, size_t size)
{
	int r = 0;

	if (sink->log)
		json_log_write(sink->log, sink->stream, data, size);
	if (sink->fd >= 0 && sink->pending)
		write_fifo(sink, data, size);
	else if (sink->fd >= 0)
		r = write_full(sink->fd, data, size);
	if (r < 0)
		sink->failed = -r;
}

bool sink_is_full(const struct sink *sink)
{
	return sink->pending_at < sink->pending_size;
}

void sink_end(struct sink *sink)
{
	sink->ending = true;
	if (sink->log)
		json_log_end(sink->log, sink->stream);
	if (!sink_is_full(sink))
		close_fds(sink);
}

void sink_fini(struct sink *sink)
{
	close_fds(sink);
	free(sink->pending);
	sink->pending = NULL;
}
