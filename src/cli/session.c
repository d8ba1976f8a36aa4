/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/terminal.h"

#define CHUNK (32 * 1024)
#define KEYS_MAX 32

struct loop {
	struct session *session;
	struct session_frames frames;
	uint8_t keys[KEYS_MAX];
	int key_count;
	int keys_matched;
	bool stdin_open;
	uint8_t *pending; /* read from stdin, not sent yet */
	size_t pending_size;
	size_t pending_at;
	bool over;
	bool detached;
	struct text system_error;
};

/* ---- detach keys ---- */

static int parse_key(const char *name)
{
	static const char marks[] = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
	const char *control = text_after(name, "ctrl-");
	const char *found;

	if (!control)
		return name[0] && !name[1] ? (uint8_t)name[0] : -1;
	if (!control[0] || control[1])
		return -1;
	found = strchr(marks, control[0]);
	return found ? (int)(found - marks) : -1;
}

int session_parse_keys(uint8_t *out_keys, int max, const char *text, struct error *err)
{
	AUTO(text_list_fini) struct text_list names = { 0 };

	text_list_split(&names, text, ',');
	if (names.count > (size_t)max)
		return error_set(err, ERR_INVALID, "invalid detach keys (%s): too many", text);
	for (size_t i = 0; i < names.count; i++) {
		int key = parse_key(names.items[i]);

		if (key < 0)
			return error_set(err, ERR_INVALID, "invalid detach keys (%s): unknown character: '%s'", text,
					 names.items[i]);
		out_keys[i] = (uint8_t)key;
	}
	return (int)names.count;
}

/* Appends to `out` what the container may see; returns true at the end of the sequence. */
static bool filter_keys(struct loop *loop, struct text *out, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (loop->key_count > 0 && data[i] == loop->keys[loop->keys_matched]) {
			if (++loop->keys_matched == loop->key_count)
				return true;
			continue;
		}
		text_add_bytes(out, loop->keys, (size_t)loop->keys_matched);
		loop->keys_matched = 0;
		if (loop->key_count > 0 && data[i] == loop->keys[0])
			loop->keys_matched = 1;
		else
			text_add_char(out, (char)data[i]);
	}
	return false;
}

/* ---- frames ---- */

int session_frame(struct session_frames *frames, const uint8_t *data, size_t size, size_t *out_used, int *out_stream,
		  const uint8_t **out_data, size_t *out_size, struct error *err)
{
	size_t used = 0;

	while (frames->header_size < sizeof(frames->header) && used < size)
		frames->header[frames->header_size++] = data[used++];
	*out_used = used;
	*out_stream = frames->header[0];
	*out_data = data + used;
	*out_size = 0;
	if (frames->header_size < sizeof(frames->header))
		return 0;
	if (used > 0)
		frames->left = (uint32_t)frames->header[4] << 24 | (uint32_t)frames->header[5] << 16 |
			       (uint32_t)frames->header[6] << 8 | frames->header[7];
	if (frames->header[0] > 3)
		return error_set(err, ERR_INTERNAL, "unrecognized stream: %u", frames->header[0]);
	*out_size = size - used < frames->left ? size - used : frames->left;
	*out_used = used + *out_size;
	frames->left -= (uint32_t)*out_size;
	if (frames->left == 0)
		frames->header_size = 0;
	return 0;
}

static int write_out(int fd, const uint8_t *data, size_t size, struct error *err)
{
	int r = write_full(fd, data, size);

	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "write to %s", fd == 1 ? "stdout" : "stderr") : 0;
}

static int print_frames(struct session_frames *frames, struct text *system_error, const uint8_t *data, size_t size,
			struct error *err)
{
	while (size > 0) {
		const uint8_t *payload;
		size_t payload_size;
		size_t used;
		int stream;

		if (session_frame(frames, data, size, &used, &stream, &payload, &payload_size, err) < 0)
			return -1;
		if (stream == 3)
			text_add_bytes(system_error, payload, payload_size);
		else if (write_out(stream == 2 ? 2 : 1, payload, payload_size, err) < 0)
			return -1;
		data += used;
		size -= used;
	}
	return 0;
}

static int system_error_of(struct text *text, struct error *err)
{
	int r = 0;

	if (text->size)
		r = error_set(err, ERR_INTERNAL, "error from daemon in stream: %s", text->data);
	text_fini(text);
	return r;
}

int session_copy(struct local_response *response, bool raw, struct error *err)
{
	AUTO_FREE uint8_t *data = xmalloc(CHUNK);
	struct session_frames frames = { 0 };
	struct text system_error = { 0 };
	ssize_t size;
	int r = 0;

	while (r == 0 && (size = local_response_read(response, data, CHUNK, err)) != 0) {
		if (size < 0)
			r = -1;
		else if (raw)
			r = write_out(1, data, (size_t)size, err);
		else
			r = print_frames(&frames, &system_error, data, (size_t)size, err);
	}
	if (r < 0) {
		text_fini(&system_error);
		return -1;
	}
	return system_error_of(&system_error, err);
}

/* ---- signals and sizes ---- */

/* Of the one session a process has. */
static sigset_t previous_mask;

void session_open(struct session *session)
{
	static const int left_alone[] = { SIGCHLD, SIGPIPE, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,	SIGABRT, SIGTRAP,
					  SIGSYS,  SIGTTIN, SIGTTOU, SIGTSTP, SIGSTOP, SIGKILL, SIGURG };
	sigset_t mask;

	if (session->kill_path && !session->tty) {
		sigfillset(&mask);
		for (size_t i = 0; i < sizeof(left_alone) / sizeof(left_alone[0]); i++)
			sigdelset(&mask, left_alone[i]);
	} else {
		sigemptyset(&mask);
	}
	if (session->kill_path) {
		sigaddset(&mask, SIGTERM);
		sigaddset(&mask, SIGINT);
		sigaddset(&mask, SIGHUP);
		sigaddset(&mask, SIGQUIT);
	}
	sigaddset(&mask, SIGWINCH);
	sigprocmask(SIG_BLOCK, &mask, &previous_mask);
	session->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

void session_close(struct session *session)
{
	terminal_restore();
	if (session->signal_fd < 0)
		return;
	close(session->signal_fd);
	session->signal_fd = -1;
	sigprocmask(SIG_SETMASK, &previous_mask, NULL);
}

static void send_size(const struct session *session)
{
	AUTO(error_clear) struct error ignored = { 0 };
	unsigned rows;
	unsigned columns;

	/* The process may be over already: then its size does not matter. */
	if (session->tty && session->resize_path && terminal_size(STDOUT_FILENO, &rows, &columns) == 0)
		client_post(session->client, &ignored, "%s/resize?h=%u&w=%u", session->resize_path, rows, columns);
}

static void pass_signals(const struct session *session)
{
	struct signalfd_siginfo info;

	while (read(session->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		AUTO(error_clear) struct error ignored = { 0 };
		const char *name = sigabbrev_np((int)info.ssi_signo);

		if (info.ssi_signo == SIGWINCH)
			send_size(session);
		else if (session->kill_path && name)
			client_post(session->client, &ignored, "%s/kill?signal=%s", session->kill_path, name);
		else if (session->kill_path)
			client_post(session->client, &ignored, "%s/kill?signal=%u", session->kill_path, info.ssi_signo);
	}
}

/* ---- the loop ---- */

static void close_input(struct loop *loop)
{
	loop->stdin_open = false;
	shutdown(local_response_fd(loop->session->stream), SHUT_WR);
}

static void read_input(struct loop *loop)
{
	AUTO_FREE uint8_t *data = xmalloc(CHUNK);
	ssize_t size = read(STDIN_FILENO, data, CHUNK);
	struct text allowed = { 0 };

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (size <= 0) {
		close_input(loop);
		return;
	}
	loop->detached = filter_keys(loop, &allowed, data, (size_t)size);
	loop->pending_size = allowed.size;
	loop->pending_at = 0;
	free(loop->pending);
	loop->pending = (uint8_t *)text_take(&allowed);
}

static void send_input(struct loop *loop)
{
	ssize_t sent = send(local_response_fd(loop->session->stream), loop->pending + loop->pending_at,
			    loop->pending_size - loop->pending_at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	/* A process that closed its stdin: its output still matters. */
	if (sent < 0) {
		loop->stdin_open = false;
		loop->pending_size = loop->pending_at = 0;
		return;
	}
	loop->pending_at += (size_t)sent;
	if (loop->pending_at == loop->pending_size)
		loop->pending_at = loop->pending_size = 0;
}

static int read_output(struct loop *loop, struct error *err)
{
	AUTO_FREE uint8_t *data = xmalloc(CHUNK);
	ssize_t size = local_response_read(loop->session->stream, data, CHUNK, err);

	if (size < 0)
		return -1;
	if (size == 0) {
		loop->over = true;
		return 0;
	}
	if (loop->session->tty)
		return write_out(1, data, (size_t)size, err);
	return print_frames(&loop->frames, &loop->system_error, data, (size_t)size, err);
}

static int run_once(struct loop *loop, struct error *err)
{
	struct session *session = loop->session;
	bool want_input = loop->stdin_open && loop->pending_size == 0;
	struct pollfd fds[] = {
		{ .fd = local_response_fd(session->stream),
		  .events = (short)(POLLIN | (loop->pending_size ? POLLOUT : 0)) },
		{ .fd = session->signal_fd, .events = POLLIN },
		{ .fd = want_input ? STDIN_FILENO : -1, .events = POLLIN },
	};
	int timeout = local_response_pending(session->stream) ? 0 : -1;

	if (poll(fds, 3, timeout) < 0 && errno != EINTR)
		return error_set_errno(err, ERR_INTERNAL, errno, "poll");
	if (fds[1].revents)
		pass_signals(session);
	if (fds[2].revents)
		read_input(loop);
	if (fds[0].revents & (POLLOUT | POLLERR) && loop->pending_size)
		send_input(loop);
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) || timeout == 0)
		return read_output(loop, err);
	return 0;
}

enum session_end session_run(struct session *session, struct error *err)
{
	struct loop loop = { .session = session, .stdin_open = session->use_stdin };
	const char *keys = text_empty(session->detach_keys) ? "ctrl-p,ctrl-q" : session->detach_keys;
	int r = 0;

	if (session->tty && session->use_stdin) {
		loop.key_count = session_parse_keys(loop.keys, KEYS_MAX, keys, err);
		if (loop.key_count < 0)
			return SESSION_FAILED;
		terminal_raw(STDIN_FILENO);
	}
	send_size(session);
	while (r == 0 && !loop.over && !loop.detached)
		r = run_once(&loop, err);
	terminal_restore();
	free(loop.pending);
	if (r == 0)
		r = system_error_of(&loop.system_error, err);
	text_fini(&loop.system_error);
	if (r < 0)
		return SESSION_FAILED;
	return loop.detached ? SESSION_DETACHED : SESSION_ENDED;
}
