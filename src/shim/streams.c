/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "shim/attach.h"
#include "shim/input.h"
#include "shim/logger.h"
#include "shim/sink.h"
#include "shim/stdio_uri.h"
#include "sys/tty.h"

#define GRACE_MS 2000		/* docker's: how long others may hold the streams of a process that ended */
#define DRAIN_MAX (1024 * 1024) /* /proc/sys/fs/pipe-max-size */
#define LOGGER_GRACES 5		/* a log program that takes nothing for so long gets no more */
#define LOGGER_PAUSE_NS CLOCK_SECOND

struct output {
	struct watch watch;
	struct streams *streams;
	int fd; /* -1: not open, or at its end */
	enum attach_type type;
	struct sink sink;
};

struct streams {
	struct loop *loop;
	const struct log *log;
	bool terminal;
	struct output outputs[2];
	struct input input;
	struct json_log *json_log; /* owned; shared by the outputs */
	struct attach *attach;	   /* NULL: not wanted */
	bool attach_input;
	bool attach_once;
	int child_fds[3];
	int tty_fd;
	bool process_over;
	bool over;
	bool loss_logged;
	struct timer grace;
	unsigned graces; /* how often it passed with a slow reader */
	struct {
		struct text_list argv; /* empty: none */
		char *cwd;
		char *id;
		char *name_space;
		int64_t started_ns; /* monotonic */
	} logger;
	void (*tell_over)(void *context);
	void *context;
};

/* The one read buffer of this single-threaded program. */
static char read_buffer[SINK_WRITE_MAX];

static void on_output(struct watch *watch, short revents);
static void check_over(struct streams *streams);

/* ---- output ---- */

static void update_flow(struct streams *streams)
{
	bool attach_full = !streams->over && streams->attach && attach_is_full(streams->attach);

	for (size_t i = 0; i < 2; i++) {
		struct output *output = &streams->outputs[i];

		if (output->fd >= 0 && !attach_full && !sink_is_full(&output->sink))
			loop_add(streams->loop, &output->watch, output->fd, POLLIN, on_output);
		else
			loop_remove(streams->loop, &output->watch);
	}
}

static void on_drained(void *context)
{
	struct streams *streams = context;

	update_flow(streams);
	check_over(streams);
}

static void tell_loss(struct streams *streams, struct output *output)
{
	int errnum = output->sink.failed;

	if (!errnum && streams->json_log && json_log_lost(streams->json_log, &errnum) == 0)
		return;
	if (streams->loss_logged || !errnum)
		return;
	streams->loss_logged = true;
	log_error(streams->log, "output of the container is being lost", F("error", strerror(errnum)));
}

/* ---- the log program ---- */

static bool has_logger(const struct streams *streams)
{
	return streams->logger.argv.count > 0;
}

static int start_logger(struct streams *streams, bool wait, struct error *err)
{
	const struct logger_options options = {
		.argv = &streams->logger.argv,
		.cwd = streams->logger.cwd,
		.id = streams->logger.id,
		.name_space = streams->logger.name_space,
		.wait = wait,
	};
	int fds[2];

	streams->logger.started_ns = clock_monotonic_ns();
	if (logger_start(fds, &options, err) < 0)
		return -1;
	sink_use_pipe_take_fd(&streams->outputs[0].sink, fds[0]);
	if (streams->terminal)
		close(fds[1]);
	else
		sink_use_pipe_take_fd(&streams->outputs[1].sink, fds[1]);
	return 0;
}

/* It died: what was in its pipes is lost to it, not to the log on this machine. */
static void revive_logger(struct streams *streams)
{
	AUTO(error_clear) struct error err = { 0 };

	if (!has_logger(streams) ||
	    (streams->outputs[0].sink.failed != EPIPE && streams->outputs[1].sink.failed != EPIPE) ||
	    clock_monotonic_ns() - streams->logger.started_ns < LOGGER_PAUSE_NS)
		return;
	log_error(streams->log, "the log program ended; starting it again",
		  F("program", streams->logger.argv.items[0]));
	streams->outputs[0].sink.failed = streams->outputs[1].sink.failed = 0;
	if (start_logger(streams, false, &err) < 0)
		log_error(streams->log, "the log program could not be started", F("error", err.message));
}

static void end_output(struct output *output)
{
	loop_remove(output->streams->loop, &output->watch);
	if (output->fd >= 0 && output->fd != output->streams->tty_fd)
		close(output->fd);
	output->fd = -1;
	sink_end(&output->sink);
}

/* What one read gives, to all who want it. Returns its bytes, 0 at the end, or -1 if there is nothing now. */
static ssize_t pass_on(struct output *output)
{
	struct streams *streams = output->streams;
	ssize_t got = read(output->fd, read_buffer, sizeof(read_buffer));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (got <= 0) { /* a terminal nobody holds any more gives EIO */
		end_output(output);
		return 0;
	}
	if (streams->over)
		return got; /* a process left behind still writes: nobody waits for it */
	sink_write(&output->sink, read_buffer, (size_t)got);
	tell_loss(streams, output);
	revive_logger(streams);
	if (streams->attach)
		attach_send(streams->attach, output->type, read_buffer, (size_t)got);
	return got;
}

static void on_output(struct watch *watch, short revents)
{
	struct output *output = list_entry(watch, struct output, watch);
	struct streams *streams = output->streams;
	ssize_t got = pass_on(output);

	(void)revents;
	if (got == 0)
		check_over(streams);
	else if (got > 0 && !streams->over)
		update_flow(streams);
}

static bool all_at_end(const struct streams *streams)
{
	return streams->outputs[0].fd < 0 && streams->outputs[1].fd < 0;
}

static void finish(struct streams *streams)
{
	streams->over = true;
	loop_remove_timer(&streams->grace);
	for (size_t i = 0; i < 2; i++)
		sink_end(&streams->outputs[i].sink);
	if (streams->attach)
		attach_end(streams->attach);
	update_flow(streams);
	streams->tell_over(streams->context);
}

static void check_over(struct streams *streams)
{
	if (streams->process_over && !streams->over && all_at_end(streams))
		finish(streams);
}

/* What an ended process left in its pipe, whatever its reader does: no more than that can be in one. */
static void drain(struct output *output)
{
	ssize_t taken = 0;
	ssize_t got = 1;

	while (output->fd >= 0 && got > 0 && taken < DRAIN_MAX) {
		got = pass_on(output);
		taken += got;
	}
}

static void on_grace(struct timer *timer)
{
	struct streams *streams = list_entry(timer, struct streams, grace);

	if (has_logger(streams) && ++streams->graces >= LOGGER_GRACES) {
		sink_drop_pipe(&streams->outputs[0].sink);
		sink_drop_pipe(&streams->outputs[1].sink);
	}
	if (sink_is_full(&streams->outputs[0].sink) || sink_is_full(&streams->outputs[1].sink)) {
		/* not the process is slow, its reader is */
		loop_add_timer(streams->loop, &streams->grace, GRACE_MS, on_grace);
		return;
	}
	/* A client that does not read must not hold back the exit; it gets everything when it goes on. */
	if (streams->attach && attach_is_full(streams->attach)) {
		drain(&streams->outputs[0]);
		drain(&streams->outputs[1]);
	}
	finish(streams);
}

/* ---- input ---- */

static size_t take_input(void *context, const char *data, size_t size)
{
	struct streams *streams = context;

	return streams->attach_input ? input_write(&streams->input, data, size) : size;
}

static void end_input(void *context)
{
	struct streams *streams = context;

	if (streams->attach_once)
		input_close(&streams->input);
}

static void on_input_writable(void *context)
{
	struct streams *streams = context;

	if (streams->attach)
		attach_resume_input(streams->attach);
}

/* ---- opening ---- */

struct uris {
	struct stdio_uri in;
	struct stdio_uri out;
	struct stdio_uri error;
};

static void uris_fini(struct uris *uris)
{
	stdio_uri_fini(&uris->in);
	stdio_uri_fini(&uris->out);
	stdio_uri_fini(&uris->error);
}

static int parse_uris(struct uris *out_uris, const struct streams_options *options, struct error *err)
{
	if (stdio_uri_parse_input(&out_uris->in, options->stdin_uri, err) < 0 ||
	    stdio_uri_parse_output(&out_uris->out, options->stdout_uri, err) < 0 ||
	    stdio_uri_parse_output(&out_uris->error, options->stderr_uri, err) < 0)
		return -1;
	if ((out_uris->error.kind == STDIO_JSON_FILE || out_uris->error.kind == STDIO_BINARY) &&
	    !text_equal(options->stdout_uri, options->stderr_uri))
		return error_set(err, ERR_INVALID, "stderr has another log than stdout");
	return 0;
}

static int open_json_log(struct streams *streams, const struct stdio_uri *uri, struct error *err)
{
	const struct json_log_options options = {
		.path = uri->path,
		.max_size = uri->max_size,
		.max_file = uri->max_file,
		.compressor = uri->compress ? uri->helper : NULL,
		.attributes = uri->attributes,
	};

	if (json_log_open(&streams->json_log, &options, err) < 0)
		return -1;
	sink_use_log(&streams->outputs[0].sink, streams->json_log, JSON_LOG_STDOUT);
	sink_use_log(&streams->outputs[1].sink, streams->json_log, JSON_LOG_STDERR);
	return 0;
}

static void prepare_logger(struct streams *streams, const struct stdio_uri *uri, const struct streams_options *options)
{
	struct text_list *argv = &streams->logger.argv;

	text_list_add(argv, uri->kind == STDIO_BINARY ? uri->path : uri->helper);
	if (uri->kind == STDIO_BINARY) {
		text_list_add_all(argv, &uri->arguments);
	} else {
		text_list_add(argv, "send");
		text_list_addf(argv, "%s/log.json", text_or_empty(options->bundle));
	}
	streams->logger.cwd = xstrdup(options->bundle);
	streams->logger.id = xstrdup(options->id);
	streams->logger.name_space = xstrdup(options->name_space);
}

static int open_sinks(struct streams *streams, const struct uris *uris, const struct streams_options *options,
		      struct error *err)
{
	const struct stdio_uri *out = &uris->out;

	if (out->kind == STDIO_JSON_FILE && open_json_log(streams, out, err) < 0)
		return -1;
	if (out->kind == STDIO_BINARY || out->send) {
		prepare_logger(streams, out, options);
		return start_logger(streams, true, err);
	}
	if (out->kind == STDIO_JSON_FILE)
		return 0;
	if (sink_open(&streams->outputs[0].sink, out, err) < 0)
		return -1;
	return streams->terminal ? 0 : sink_open(&streams->outputs[1].sink, &uris->error, err);
}

/* Pipe between us and the process; `ours` is its end of this program. */
static int open_pipe(int *out_ours, int *out_theirs, bool we_write, const struct streams_options *options,
		     struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "pipe");
	*out_ours = fds[we_write];
	*out_theirs = fds[!we_write];
	fd_set_nonblocking(*out_ours, true);
	if ((options->uid || options->gid) && fchown(*out_theirs, options->uid, options->gid) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "change owner of pipe to %u:%u", options->uid,
				       options->gid);
	return 0;
}

static int open_pipes(struct streams *streams, const struct uris *uris, const struct streams_options *options,
		      struct error *err)
{
	bool attached = streams->attach != NULL;
	int in_fd = -1;

	if (uris->in.kind != STDIO_NONE) {
		if (open_pipe(&in_fd, &streams->child_fds[0], true, options, err) < 0)
			return -1;
		input_connect(&streams->input, in_fd, false);
	}
	if ((attached || uris->out.kind != STDIO_NONE) &&
	    open_pipe(&streams->outputs[0].fd, &streams->child_fds[1], false, options, err) < 0)
		return -1;
	if ((attached || uris->error.kind != STDIO_NONE || streams->json_log) &&
	    open_pipe(&streams->outputs[1].fd, &streams->child_fds[2], false, options, err) < 0)
		return -1;
	return 0;
}

static int open_attach(struct streams *streams, const struct uris *uris, const struct streams_options *options,
		       struct error *err)
{
	const struct attach_owner owner = {
		.context = streams, .input = take_input, .input_end = end_input, .drained = on_drained
	};

	streams->attach_input = uris->in.kind == STDIO_ATTACH;
	streams->attach_once = uris->in.once;
	/* containerd's fifos need no attach socket; our engine says json-file, none: or attach: */
	if (!streams->attach_input && uris->out.kind != STDIO_JSON_FILE &&
	    !(uris->out.kind == STDIO_NONE && uris->out.path))
		return 0;
	return attach_open(&streams->attach, options->loop, options->bundle_fd, options->attach_name, &owner, err);
}

static int open_all(struct streams *streams, const struct uris *uris, const struct streams_options *options,
		    struct error *err)
{
	if (open_sinks(streams, uris, options, err) < 0 || open_attach(streams, uris, options, err) < 0)
		return -1;
	if (uris->in.kind == STDIO_PATH && input_open_fifo(&streams->input, uris->in.path, err) < 0)
		return -1;
	return streams->terminal ? 0 : open_pipes(streams, uris, options, err);
}

static struct streams *new_streams(const struct streams_options *options)
{
	struct streams *streams = xcalloc(1, sizeof(*streams));

	streams->loop = options->loop;
	streams->log = options->log;
	streams->terminal = options->terminal;
	streams->tell_over = options->over;
	streams->context = options->context;
	streams->tty_fd = -1;
	input_init(&streams->input, options->loop, on_input_writable, streams);
	for (size_t i = 0; i < 3; i++)
		streams->child_fds[i] = -1;
	for (size_t i = 0; i < 2; i++) {
		streams->outputs[i].streams = streams;
		streams->outputs[i].fd = -1;
		streams->outputs[i].type = i == 0 ? ATTACH_STDOUT : ATTACH_STDERR;
		sink_init(&streams->outputs[i].sink, options->loop, on_drained, streams);
	}
	return streams;
}

int streams_open(struct streams **out_stdio, const struct streams_options *options, struct error *err)
{
	AUTO(uris_fini) struct uris uris = { 0 };
	struct streams *streams;

	if (parse_uris(&uris, options, err) < 0)
		return -1;
	streams = new_streams(options);
	if (open_all(streams, &uris, options, err) < 0) {
		streams_free(streams);
		return -1;
	}
	*out_stdio = streams;
	return 0;
}

static void close_child_fds(struct streams *streams)
{
	for (size_t i = 0; i < 3; i++) {
		if (streams->child_fds[i] >= 0)
			close(streams->child_fds[i]);
		streams->child_fds[i] = -1;
	}
}

void streams_free(struct streams *streams)
{
	if (!streams)
		return;
	loop_remove_timer(&streams->grace);
	close_child_fds(streams);
	input_fini(&streams->input);
	for (size_t i = 0; i < 2; i++) {
		end_output(&streams->outputs[i]);
		sink_fini(&streams->outputs[i].sink);
	}
	attach_close(streams->attach);
	json_log_close(streams->json_log);
	text_list_fini(&streams->logger.argv);
	free(streams->logger.cwd);
	free(streams->logger.id);
	free(streams->logger.name_space);
	if (streams->tty_fd >= 0)
		close(streams->tty_fd);
	free(streams);
}

/* ---- the process' life ---- */

void streams_child_fds(const struct streams *streams, int out_fds[3])
{
	memcpy(out_fds, streams->child_fds, sizeof(streams->child_fds));
}

void streams_started_take_tty(struct streams *streams, int tty_fd)
{
	close_child_fds(streams);
	if (tty_fd >= 0) {
		fd_set_nonblocking(tty_fd, true);
		streams->tty_fd = tty_fd;
		streams->outputs[0].fd = tty_fd;
		input_connect(&streams->input, tty_fd, true);
	}
	update_flow(streams);
}

void streams_accept(struct streams *streams)
{
	if (streams->attach)
		attach_accept(streams->attach);
}

int streams_resize(struct streams *streams, unsigned width, unsigned height, struct error *err)
{
	int r;

	if (streams->tty_fd < 0)
		return error_set(err, ERR_CONFLICT, "the process has no terminal");
	if (width > UINT16_MAX || height > UINT16_MAX)
		return error_set(err, ERR_INVALID, "terminal size %ux%u is too large", width, height);
	r = tty_set_size(streams->tty_fd, (unsigned short)height, (unsigned short)width);
	return r < 0 ? error_set_errno(err, ERR_INTERNAL, r, "resize terminal") : 0;
}

void streams_close_input(struct streams *streams)
{
	input_close(&streams->input);
}

void streams_process_over(struct streams *streams)
{
	streams->process_over = true;
	close_child_fds(streams);
	input_fini(&streams->input);
	update_flow(streams);
	if (all_at_end(streams))
		finish(streams);
	else
		loop_add_timer(streams->loop, &streams->grace, GRACE_MS, on_grace);
}

bool streams_exit_waits(const struct streams *streams)
{
	return streams->attach || streams->json_log || has_logger(streams);
}

bool streams_is_over(const struct streams *streams)
{
	return streams->over;
}
