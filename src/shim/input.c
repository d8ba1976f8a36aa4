/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

#define FIFO_READ_SIZE 4096

static void on_fifo(struct watch *watch, short revents);

void input_init(struct input *input, struct loop *loop, void (*writable)(void *context), void *context)
{
	*input = (struct input){
		.loop = loop, .to_fd = -1, .fifo_fd = -1, .fifo_keep_fd = -1, .writable = writable, .context = context
	};
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_process_side(struct input *input)
{
	loop_remove(input->loop, &input->to_watch);
	if (!input->is_terminal)
		close_fd(&input->to_fd);
	input->to_fd = -1;
}

static void close_fifo(struct input *input)
{
	loop_remove(input->loop, &input->fifo_watch);
	close_fd(&input->fifo_fd);
	close_fd(&input->fifo_keep_fd);
}

void input_fini(struct input *input)
{
	close_process_side(input);
	close_fifo(input);
	input->connected = true; /* whoever still writes need not wait */
	free(input->pending);
	input->pending = NULL;
	input->pending_size = input->pending_at = 0;
}

int input_open_fifo(struct input *input, const char *path, struct error *err)
{
	input->fifo_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (input->fifo_fd >= 0)
		input->fifo_keep_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (input->fifo_keep_fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open fifo %s", path);
	input->pending = xmalloc(FIFO_READ_SIZE);
	return 0;
}

static bool has_pending(const struct input *input)
{
	return input->pending_at < input->pending_size;
}

static void push_pending(struct input *input)
{
	if (has_pending(input))
		input->pending_at += input_write(input, input->pending + input->pending_at,
						 input->pending_size - input->pending_at);
}

static void watch_fifo(struct input *input)
{
	if (input->fifo_fd >= 0 && !has_pending(input))
		loop_add(input->loop, &input->fifo_watch, input->fifo_fd, POLLIN, on_fifo);
	else
		loop_remove(input->loop, &input->fifo_watch);
}

static void on_fifo(struct watch *watch, short revents)
{
	struct input *input = list_entry(watch, struct input, fifo_watch);
	ssize_t got = read(input->fifo_fd, input->pending, FIFO_READ_SIZE);

	(void)revents;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) { /* our keep_fd and all writers are closed */
		close_fifo(input);
		input_close(input);
		return;
	}
	input->pending_size = (size_t)got;
	input->pending_at = 0;
	push_pending(input);
	watch_fifo(input);
}

static void on_writable(struct watch *watch, short revents)
{
	struct input *input = list_entry(watch, struct input, to_watch);

	(void)revents;
	loop_remove(input->loop, &input->to_watch);
	push_pending(input);
	watch_fifo(input);
	if (input->writable)
		input->writable(input->context);
	/* Nobody waits any more: what was written is all there is. */
	if (input->closing && !input->to_watch.node.next)
		close_process_side(input);
}

void input_connect(struct input *input, int fd, bool is_terminal)
{
	input->to_fd = fd;
	input->is_terminal = is_terminal;
	input->connected = true;
	watch_fifo(input);
	if (input->writable)
		input->writable(input->context);
}

size_t input_write(struct input *input, const char *data, size_t size)
{
	size_t at = 0;

	if (!input->connected)
		return 0;
	while (at < size && input->to_fd >= 0) {
		ssize_t written = write(input->to_fd, data + at, size - at);

		if (written > 0) {
			at += (size_t)written;
		} else if (errno == EAGAIN) {
			loop_add(input->loop, &input->to_watch, input->to_fd, POLLOUT, on_writable);
			return at;
		} else if (errno != EINTR) {
			close_process_side(input); /* EPIPE: it closed its stdin, or ended */
		}
	}
	return size;
}

void input_close(struct input *input)
{
	input->closing = true;
	/* A client's writer may still hold the fifo open; its end comes through on_fifo(). */
	close_fd(&input->fifo_keep_fd);
	if (input->fifo_fd < 0 && !input->is_terminal && !input->to_watch.node.next)
		close_process_side(input);
}
