/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kist-log send SETTINGS: stdout is descriptor 3, stderr 4; 5 is closed when we are ready.
 * kist-log compress FILE: FILE becomes FILE.gz.
 * kist-log expand: gzip from standard input to standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "logs/compress.h"
#include "logs/lines.h"
#include "logs/options.h"
#include "logs/queue.h"

#define STDOUT_PIPE 3
#define READY_FD 5
#define SETTINGS_MAX ((size_t)4 << 20)
#define PATIENCE_S 10 /* after the container's end */

struct program {
	struct log log;
	struct log_settings settings;
	const struct log_driver *driver;
	void *state;
	struct log_queue *queue; /* NULL: blocking */
	struct lines lines[2];
	bool problem_told;
};

static void send_message(struct program *program, const struct log_message *message)
{
	AUTO(error_clear) struct error err = { 0 };

	if (program->driver->write(program->state, message, &err) == 0) {
		program->problem_told = false;
		return;
	}
	/* Once, not for every line while a collector is away. */
	if (!program->problem_told)
		log_error(&program->log, "log messages are being lost", F("driver", program->driver->name),
			  F("error", err.message));
	program->problem_told = true;
}

static void *send_queued(void *arg)
{
	struct program *program = arg;
	struct log_message message;

	while (log_queue_next(program->queue, &message)) {
		uint64_t dropped = log_queue_take_dropped(program->queue);

		send_message(program, &message);
		if (dropped) {
			char count[24];

			snprintf(count, sizeof(count), "%llu", (unsigned long long)dropped);
			log_warn(&program->log, "log messages were dropped: the collector is slower than the container",
				 F("count", count));
		}
	}
	return NULL;
}

static void give(void *context, const struct log_message *message)
{
	struct program *program = context;

	if (program->queue)
		log_queue_add(program->queue, message);
	else
		send_message(program, message);
}

static void read_pipes(struct program *program)
{
	struct pollfd fds[2] = { { .fd = STDOUT_PIPE, .events = POLLIN }, { .fd = STDOUT_PIPE + 1, .events = POLLIN } };
	char data[LOG_MESSAGE_MAX];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		for (size_t i = 0; i < 2; i++) {
			ssize_t got = fds[i].revents ? read(fds[i].fd, data, sizeof(data)) : -1;

			if (got > 0)
				lines_add(&program->lines[i], data, (size_t)got);
			if (got != 0)
				continue;
			fds[i].fd = -1;
			/* The last line of a container may be slow to send, but not for ever. */
			if (fds[1 - i].fd < 0)
				alarm(PATIENCE_S);
			lines_end(&program->lines[i]);
		}
	}
}

static int load(struct program *program, const char *path, struct error *err)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r = file_read(&text, &size, AT_FDCWD, path, SETTINGS_MAX);

	if (r < 0)
		return error_set_errno(err, ERR_INTERNAL, r, "read %s", path);
	if (json_decode(&program->settings, log_settings_fields, text, size, err) < 0)
		return error_prefix(err, "read %s", path);
	program->driver = log_driver_find(program->settings.driver);
	if (!program->driver)
		return error_set(err, ERR_INVALID, "no log driver is named %s", program->settings.driver);
	if (program->driver->open(&program->state, &program->settings, err) < 0)
		return error_prefix(err, "failed to initialize logging driver");
	return 0;
}

static int run(struct program *program, struct error *err)
{
	uint64_t bytes = log_queue_bytes(program->settings.driver, &program->settings.options);
	pthread_t sender;

	for (size_t i = 0; i < 2; i++) {
		program->lines[i].is_error = i == 1;
		program->lines[i].give = give;
		program->lines[i].context = program;
	}
	if (bytes) {
		program->queue = log_queue_new(bytes);
		if (thread_start(&sender, "send", send_queued, program, err) < 0)
			return -1;
	}
	close(READY_FD);
	read_pipes(program);
	if (program->queue) {
		alarm(PATIENCE_S);
		log_queue_end(program->queue);
		pthread_join(sender, NULL);
	}
	return 0;
}

static int send_logs(const char *path, struct error *err)
{
	struct program program = { .log = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO } };
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = load(&program, path, err);
	if (r < 0) {
		/* Whoever started us tells the user. */
		(void)!write(READY_FD, err->message, strlen(err->message));
		close(READY_FD);
	} else {
		r = run(&program, err);
	}
	if (program.state)
		program.driver->close(program.state);
	log_queue_free(program.queue);
	json_free_fields(&program.settings, log_settings_fields);
	return r;
}

int main(int argc, char **argv)
{
	AUTO(error_clear) struct error err = { 0 };
	const char *command = argc > 1 ? argv[1] : "";
	int r;

	if (argc == 3 && text_equal(command, "send"))
		r = send_logs(argv[2], &err);
	else if (argc == 3 && text_equal(command, "compress"))
		r = compress_file(argv[2], &err);
	else if (argc == 2 && text_equal(command, "expand"))
		r = expand_file(STDIN_FILENO, STDOUT_FILENO, &err);
	else
		r = error_set(&err, ERR_INVALID, "expected send SETTINGS, compress FILE or expand");
	if (r == 0)
		return 0;
	(void)fprintf(stderr, "kist-log: %s\n", err.message);
	return 1;
}
