/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: an attach is a connection to the shim's socket. Before the
 * start there is none yet: the attach waits in container->attaches until
 * container_launch() connects it, between the shim's Create and Start. The
 * reader polls wake_fd beside the socket and the request's cancel fd.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "engine/attach_private.h"
#include "engine/log.h"
#include "rpc/attach_frame.h"

#define STDIN_PIECE 65536

/* ---- detach keys ---- */

static int parse_key(uint8_t *out_key, const char *text)
{
	static const char punctuation[] = "@[\\]^_";
	const char *letter = text_after(text, "ctrl-");
	const char *found;

	if (!letter) {
		if (strlen(text) != 1)
			return -EINVAL;
		*out_key = (uint8_t)text[0];
		return 0;
	}
	if (strlen(letter) != 1)
		return -EINVAL;
	if (*letter >= 'a' && *letter <= 'z') {
		*out_key = (uint8_t)(*letter - 'a' + 1);
		return 0;
	}
	found = strchr(punctuation, *letter);
	if (!found)
		return -EINVAL;
	*out_key = *letter == '@' ? 0 : (uint8_t)(26 + (found - punctuation));
	return 0;
}

int detach_keys_parse(uint8_t out_keys[32], size_t *out_count, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list words = { 0 };

	text_list_split(&words, text_empty(text) ? "ctrl-p,ctrl-q" : text, ',');
	if (words.count > 32)
		return error_set(err, ERR_INVALID, "Invalid detach keys (%s): more than 32", text);
	for (size_t i = 0; i < words.count; i++)
		if (parse_key(&out_keys[i], words.items[i]) < 0)
			return error_set(err, ERR_INVALID, "Invalid detach keys (%s) provided: Unknown character: '%s'",
					 text, words.items[i]);
	*out_count = words.count;
	return 0;
}

/* ---- making ---- */

static void wake(struct attach *attach)
{
	const uint64_t one = 1;

	if (write(attach->wake_fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: it is awake already */
}

int attach_new(struct attach **out_attach, struct container *container, const struct attach_options *options, bool tty,
	       struct error *err)
{
	struct attach *attach = xcalloc(1, sizeof(*attach));

	attach->fd = -1;
	attach->options = *options;
	attach->options.detach_keys = NULL;
	attach->tty = tty;
	attach->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	attach->container = container_ref(container);
	attach->detach_event = xstrdup("detach");
	if (attach->wake_fd < 0)
		error_set_errno(err, ERR_INTERNAL, errno, "attach: eventfd");
	else if (detach_keys_parse(attach->keys, &attach->key_count, options->detach_keys, err) == 0) {
		*out_attach = attach;
		return 0;
	}
	attach_free(attach);
	return -1;
}

int attach_open_line(struct attach *attach, const char *exec_id, struct error *err)
{
	int fd = attach_connect(attach->container->bundle, exec_id, err);

	if (fd < 0)
		return -1;
	attach->fd = fd;
	wake(attach);
	return 0;
}

/* A unix connect to a listening socket does not wait for the other side. */
static void connect_locked(struct attach *attach)
{
	AUTO(error_clear) struct error err = { 0 };

	mutex_assert_held(&attach->container->mutex);
	if (attach_open_line(attach, NULL, &err) == 0)
		return;
	engine_log_error(attach->container->engine, "a client could not be attached", attach->container->id, &err);
	attach->ended = true;
	wake(attach);
}

void container_connect_attaches(struct container *container)
{
	mutex_assert_held(&container->mutex);
	LIST_FOR_EACH (node, &container->attaches) {
		list_remove(node);
		connect_locked(list_entry(node, struct attach, node));
	}
	watch_notify(&container->changes);
}

void container_end_attaches(struct container *container)
{
	mutex_assert_held(&container->mutex);
	LIST_FOR_EACH (node, &container->attaches) {
		struct attach *attach = list_entry(node, struct attach, node);

		list_remove(node);
		attach->ended = true;
		wake(attach);
	}
	watch_notify(&container->changes);
}

static int join(struct attach *attach, struct error *err)
{
	struct container *container = attach->container;
	AUTO_UNLOCK struct mutex *held = mutex_hold(&container->mutex);
	const struct container_state *state = &container->document.state;

	if (state->running && state->paused)
		return error_set(err, ERR_CONFLICT, "container %s is paused, unpause the container before attach",
				 container->id);
	if (state->running && state->restarting)
		return error_set(err, ERR_CONFLICT, "container %s is restarting, wait until the container is running",
				 container->id);
	if (!attach->options.stream || container->removed)
		attach->ended = true;
	else if (state->running)
		connect_locked(attach);
	else
		list_add_last(&container->attaches, &attach->node);
	return 0;
}

static int open_logs(struct attach *attach, struct error *err)
{
	AUTO_FREE char *path = container_log_path(attach->container);
	const struct log_query query = {
		.want_stdout = attach->options.stdout_wanted,
		.want_stderr = attach->options.stderr_wanted,
		.tail = -1,
	};

	return log_reader_open(&attach->logs, path, &query, -1, err);
}

int container_attach(struct attach **out_attach, struct engine *engine, const char *name,
		     const struct attach_options *options, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO(attach_freep) struct attach *attach = NULL;
	struct attach_options own = *options;

	if (container_find(&container, engine, name, err) < 0)
		return -1;
	/* stdin that the container does not have open goes nowhere. */
	own.stdin_wanted = options->stdin_wanted && options->stream && container->document.config.open_stdin;
	if (attach_new(&attach, container, &own, container->document.config.tty, err) < 0 || join(attach, err) < 0)
		return -1;
	if (options->logs && (options->stdout_wanted || options->stderr_wanted) && open_logs(attach, err) < 0)
		return -1;
	container_event(container, "attach", NULL);
	*out_attach = take_ptr(attach);
	return 0;
}

bool attach_tty(const struct attach *attach)
{
	return attach->tty;
}

bool attach_wants_stdin(const struct attach *attach)
{
	return attach->options.stdin_wanted;
}

/* ---- output ---- */

enum line_state { LINE_WAITING, LINE_CONNECTED, LINE_OVER };

static enum line_state look(struct attach *attach)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&attach->container->mutex);

	if (attach->detached)
		return LINE_OVER;
	if (attach->fd >= 0)
		return LINE_CONNECTED;
	return attach->ended ? LINE_OVER : LINE_WAITING;
}

/* Until `fd` (-1: none) is ready for `events` or something changed: 0, or ERR_CANCELED. */
static int wait_for(struct attach *attach, int fd, short events, int cancel_fd, struct error *err)
{
	/* Only the reading side looks at wake_fd and drains it: the other one must not swallow its news. */
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = events & POLLIN ? attach->wake_fd : -1, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
		{ .fd = attach->container->engine->closing_fd, .events = POLLIN },
	};
	uint64_t drained;

	if (poll(fds, 4, -1) < 0 && errno != EINTR)
		return error_set_errno(err, ERR_INTERNAL, errno, "attach: poll");
	if (fds[2].revents || fds[3].revents)
		return error_set(err, ERR_CANCELED, "the client went away");
	if (fds[1].revents && read(attach->wake_fd, &drained, sizeof(drained)) < 0)
		return 0; /* EAGAIN: it was drained already */
	return 0;
}

/* 1 all there, 0 the other end closed or we detached. */
static int read_all(struct attach *attach, void *data, size_t size, int cancel_fd, struct error *err)
{
	uint8_t *at = data;

	while (size) {
		ssize_t got = recv(attach->fd, at, size, MSG_DONTWAIT);

		if (got == 0 || (got < 0 && (errno == ECONNRESET || errno == EPIPE)))
			return 0;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "attach: read");
		if (got > 0) {
			at += got;
			size -= (size_t)got;
			continue;
		}
		if (wait_for(attach, attach->fd, POLLIN, cancel_fd, err) < 0)
			return -1;
		if (look(attach) == LINE_OVER)
			return 0;
	}
	return 1;
}

static int read_logs(struct attach *attach, struct stream_frame *out_frame, int cancel_fd, struct error *err)
{
	struct log_record record;
	int r = log_reader_next(attach->logs, &record, cancel_fd, err);

	if (r > 0)
		*out_frame = (struct stream_frame){ record.stream, (const uint8_t *)record.data, record.size };
	else
		log_reader_close(take_ptr(attach->logs));
	return r;
}

static bool is_wanted(const struct attach *attach, uint8_t type)
{
	return type == STREAM_STDERR ? attach->options.stderr_wanted : attach->options.stdout_wanted;
}

/* 1 a frame, 0 the end, 2 a frame nobody wants. */
static int read_frame(struct attach *attach, struct stream_frame *out_frame, int cancel_fd, struct error *err)
{
	uint8_t header[ATTACH_HEADER_SIZE];
	enum attach_type type;
	uint32_t size;
	int r = read_all(attach, header, sizeof(header), cancel_fd, err);

	if (r <= 0)
		return r;
	if (attach_header_parse(header, &type, &size, err) < 0)
		return -1;
	if (type == ATTACH_END)
		return 0;
	if (size > attach->buffer_size) {
		attach->buffer = xrealloc(attach->buffer, size);
		attach->buffer_size = size;
	}
	r = size ? read_all(attach, attach->buffer, size, cancel_fd, err) : 2;
	if (r <= 0)
		return r;
	*out_frame = (struct stream_frame){ (enum stream_kind)header[0], attach->buffer, size };
	return r == 2 || !is_wanted(attach, header[0]) ? 2 : 1;
}

/* The reason why a command could not be started, as its output. */
static int read_message(struct attach *attach, struct stream_frame *out_frame)
{
	size_t size = strlen(attach->message);

	free(attach->buffer);
	attach->buffer = (uint8_t *)take_ptr(attach->message);
	attach->buffer_size = size;
	*out_frame = (struct stream_frame){ STREAM_STDOUT, attach->buffer, size };
	return 1;
}

int attach_read(struct attach *attach, struct stream_frame *out_frame, int cancel_fd, struct error *err)
{
	int r;

	if (attach->logs) {
		r = read_logs(attach, out_frame, cancel_fd, err);
		if (r != 0)
			return r;
	}
	for (;;) {
		if (attach->message)
			return read_message(attach, out_frame);
		switch (look(attach)) {
		case LINE_OVER:
			return 0;
		case LINE_WAITING:
			if (wait_for(attach, -1, POLLIN, cancel_fd, err) < 0)
				return -1;
			break;
		case LINE_CONNECTED:
			r = read_frame(attach, out_frame, cancel_fd, err);
			if (r == 0 && attach->exec && look(attach) != LINE_OVER)
				exec_await_end(attach->exec, cancel_fd);
			if (r != 2)
				return r;
			break;
		}
	}
}

/* ---- input ---- */

/* 1 sent, 0 nobody reads any more. */
static int send_all(struct attach *attach, const void *data, size_t size, int cancel_fd, struct error *err)
{
	const uint8_t *at = data;

	while (size) {
		ssize_t sent = send(attach->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL, errno, "attach: write");
		if (sent > 0) {
			at += sent;
			size -= (size_t)sent;
			continue;
		}
		if (wait_for(attach, attach->fd, POLLOUT, cancel_fd, err) < 0)
			return -1;
		if (look(attach) == LINE_OVER)
			return 0;
	}
	return 1;
}

static int send_frame(struct attach *attach, const void *data, size_t size, int cancel_fd, struct error *err)
{
	uint8_t header[ATTACH_HEADER_SIZE];
	int r;

	attach_header_format(header, ATTACH_STDIN, (uint32_t)size);
	r = send_all(attach, header, sizeof(header), cancel_fd, err);
	return r > 0 && size ? send_all(attach, data, size, cancel_fd, err) : r;
}

static bool is_decided(struct container *container, void *arg)
{
	const struct attach *attach = arg;

	(void)container;
	return attach->detached || attach->ended || attach->fd >= 0;
}

/* What is typed before the container runs waits here with its client. 1 connected, 0 over. */
static int await_connection(struct attach *attach, int cancel_fd, struct error *err)
{
	enum line_state now = look(attach);

	if (now == LINE_WAITING) {
		if (container_await(attach->container, is_decided, attach, cancel_fd, 0, err) < 0)
			return -1;
		now = look(attach);
	}
	return now == LINE_CONNECTED;
}

/*
 * Takes the detach keys out of what is typed: copies into `out` what may go on,
 * holds back what may be their beginning. true: they are complete.
 */
static bool filter_keys(struct attach *attach, const uint8_t *data, size_t size, struct text *out)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] == attach->keys[attach->key_matched]) {
			if (++attach->key_matched == attach->key_count) {
				attach->key_matched = 0;
				return true;
			}
			continue;
		}
		if (attach->key_matched)
			text_add_bytes(out, attach->keys, attach->key_matched);
		attach->key_matched = data[i] == attach->keys[0] && attach->key_count > 1 ? 1 : 0;
		if (attach->key_matched == 0)
			text_add_bytes(out, &data[i], 1);
	}
	return false;
}

static int write_pieces(struct attach *attach, const uint8_t *data, size_t size, int cancel_fd, struct error *err)
{
	while (size) {
		size_t piece = size < STDIN_PIECE ? size : STDIN_PIECE;
		int r = send_frame(attach, data, piece, cancel_fd, err);

		if (r <= 0)
			return r < 0 ? -1 : 1;
		data += piece;
		size -= piece;
	}
	return 1;
}

int attach_write_stdin(struct attach *attach, const void *data, size_t size, int cancel_fd, struct error *err)
{
	struct text typed = { 0 };
	bool detach = false;
	int r;

	if (!attach->options.stdin_wanted)
		return 1;
	r = await_connection(attach, cancel_fd, err);
	if (r <= 0)
		return r < 0 ? -1 : 1;
	/* Keys are typed at a terminal; in a file's bytes they mean nothing. */
	if (!attach->tty)
		return write_pieces(attach, data, size, cancel_fd, err);
	detach = filter_keys(attach, data, size, &typed);
	r = write_pieces(attach, (const uint8_t *)typed.data, typed.size, cancel_fd, err);
	text_fini(&typed);
	if (!detach || r < 0)
		return r;
	attach_detach(attach);
	container_event(attach->container, attach->detach_event, NULL);
	return 0;
}

int attach_close_stdin(struct attach *attach, int cancel_fd, struct error *err)
{
	int r;

	if (!attach->options.stdin_wanted)
		return 0;
	/* A client that left before the start must not end the stdin of the one that comes after it. */
	r = await_connection(attach, cancel_fd, err);
	if (r <= 0)
		return r;
	return send_frame(attach, NULL, 0, cancel_fd, err) < 0 ? -1 : 0;
}

void attach_detach(struct attach *attach)
{
	AUTO_UNLOCK struct mutex *held = mutex_hold(&attach->container->mutex);

	attach->detached = true;
	list_remove(&attach->node);
	wake(attach);
	watch_notify(&attach->container->changes);
}

void attach_free(struct attach *attach)
{
	if (!attach)
		return;
	mutex_lock(&attach->container->mutex);
	list_remove(&attach->node);
	mutex_unlock(&attach->container->mutex);
	log_reader_close(attach->logs);
	if (attach->fd >= 0)
		close(attach->fd);
	if (attach->wake_fd >= 0)
		close(attach->wake_fd);
	exec_release(attach->exec);
	container_unref(attach->container);
	free(attach->buffer);
	free(attach->message);
	free(attach->detach_event);
	free(attach);
}
