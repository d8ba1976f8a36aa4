/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/json_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/quote.h"
#include "base/text.h"
#include "sys/pidfd_wait.h"

#define LINE_MAX_BYTES 16384
#define FILE_MODE 0640
#define KEEP_MAX 65536 /* an entry buffer beyond this is given back */

struct line {
	char *data; /* LINE_MAX_BYTES */
	size_t size;
	int64_t partial_time; /* of the first part of a long line; 0: none is open */
};

struct json_log {
	int fd;
	char *path;
	int64_t max_size;
	int64_t max_file;
	int64_t size;	  /* of the file */
	char *attributes; /* "\"attrs\":{...}," or "" */
	char *compressor; /* NULL: none */
	struct process packing;
	struct text pending; /* whole entries, not written yet */
	struct line lines[JSON_LOG_STREAMS];
	uint64_t lost;
	int lost_errno;
};

static const char *const stream_names[] = { "stdout", "stderr" };

static int open_file(const char *path, int flags)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, FILE_MODE);
}

int json_log_open(struct json_log **out_log, const struct json_log_options *options, struct error *err)
{
	AUTO_CLOSE int fd = open_file(options->path, 0);
	struct json_log *log;
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "open log %s", options->path);
	log = xcalloc(1, sizeof(*log));
	log->path = xstrdup(options->path);
	log->max_size = options->max_size;
	log->max_file = options->max_file < 1 ? 1 : options->max_file;
	log->compressor = xstrdup(options->compressor);
	log->attributes = options->attributes ? xasprintf("\"attrs\":%s,", options->attributes) : xstrdup("");
	log->packing.pidfd = -1;
	log->size = status.st_size;
	for (size_t i = 0; i < JSON_LOG_STREAMS; i++)
		log->lines[i].data = xmalloc(LINE_MAX_BYTES);
	log->fd = take_fd(&fd);
	*out_log = log;
	return 0;
}

void json_log_close(struct json_log *log)
{
	if (!log)
		return;
	for (size_t i = 0; i < JSON_LOG_STREAMS; i++)
		free(log->lines[i].data);
	text_fini(&log->pending);
	close(log->fd);
	/* Who still compresses goes on without us; the loop reaps it. */
	if (log->packing.pidfd >= 0)
		close(log->packing.pidfd);
	free(log->compressor);
	free(log->attributes);
	free(log->path);
	free(log);
}

/* Bytes written until it went wrong; then *out_errnum says how. */
static size_t write_most(int fd, const char *data, size_t size, int *out_errnum)
{
	size_t done = 0;

	while (done < size) {
		ssize_t wrote = write(fd, data + done, size - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0) {
			*out_errnum = errno;
			break;
		}
		done += (size_t)wrote;
	}
	return done;
}

/* Of what was written, the lines that are whole stay. */
static size_t cut_to_whole_lines(struct json_log *log, size_t written)
{
	const char *last = memrchr(log->pending.data, '\n', written);
	size_t whole = last ? (size_t)(last + 1 - log->pending.data) : 0;

	/* If even that fails, readers skip the half line as malformed. */
	if (whole < written && ftruncate(log->fd, (off_t)log->size + (off_t)whole) < 0)
		log->lost_errno = errno;
	return whole;
}

static void flush(struct json_log *log)
{
	size_t written;

	if (!log->pending.size)
		return;
	written = write_most(log->fd, log->pending.data, log->pending.size, &log->lost_errno);
	if (written < log->pending.size) {
		written = cut_to_whole_lines(log, written);
		log->lost += log->pending.size - written;
	}
	log->size += (int64_t)written;
	if (log->pending.capacity > KEEP_MAX)
		text_fini(&log->pending);
	else
		text_reset(&log->pending);
}

/* The compressed form of one of them, and no other in its place. */
static void shift_packed(const char *from, const char *to, bool exists)
{
	AUTO_FREE char *packed_from = xasprintf("%s.gz", from);
	AUTO_FREE char *packed_to = xasprintf("%s.gz", to);

	/* The plain one that was just moved there is newer than what has this name. */
	if (!exists || rename(packed_from, packed_to) < 0)
		unlink(packed_to);
}

/* 0, or -errno if the newest file could not be moved out of the way. */
static int shift_files(const struct json_log *log)
{
	int r = 0;

	for (int64_t i = log->max_file - 1; i >= 1; i--) {
		AUTO_FREE char *to = xasprintf("%s.%lld", log->path, (long long)i);
		AUTO_FREE char *from = i > 1 ? xasprintf("%s.%lld", log->path, (long long)i - 1) : xstrdup(log->path);

		r = rename(from, to) < 0 && errno != ENOENT ? -errno : 0;
		if (log->compressor)
			shift_packed(from, to, i > 1);
	}
	return r;
}

/* true while path.1 must stay where it is. */
static bool is_packing(struct json_log *log)
{
	if (log->packing.pidfd < 0 || pidfd_ended(log->packing.pidfd, 0) == 0)
		return log->packing.pidfd >= 0;
	close(log->packing.pidfd);
	log->packing.pidfd = -1;
	return false;
}

/* A file that could not be compressed is a whole one, too. */
static void start_packing(struct json_log *log)
{
	AUTO(error_clear) struct error err = { 0 };
	AUTO_FREE char *rotated = xasprintf("%s.1", log->path);
	char *const argv[] = { log->compressor, (char *)(uintptr_t) "compress", rotated, NULL };
	const struct process_options options = {
		.path = log->compressor, .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1
	};

	if (process_spawn(&log->packing, &options, &err) < 0) {
		log->packing = (struct process){ .pidfd = -1 };
		log->lost_errno = err.errnum;
	}
}

/* A new file in place of the old one. Truncating that instead would take from its readers what they have not read. */
static int replace_file(const struct json_log *log)
{
	AUTO_FREE char *fresh = xasprintf("%s.new", log->path);
	int fd = open_file(fresh, O_TRUNC);

	if (fd >= 0 && rename(fresh, log->path) < 0) {
		int failed = -errno;

		close(fd);
		unlink(fresh);
		return failed;
	}
	return fd < 0 ? -errno : fd;
}

/* Any failure leaves the log as it is, only longer. */
static void rotate(struct json_log *log)
{
	int fd = shift_files(log);

	if (fd == 0)
		fd = replace_file(log);
	if (fd < 0) {
		log->lost_errno = -fd;
		return;
	}
	close(log->fd);
	log->fd = fd;
	log->size = 0;
	if (log->compressor && log->max_file > 1)
		start_packing(log);
}

static void add_entry(struct json_log *log, enum json_log_stream stream, const char *data, size_t size,
		      bool end_of_line, int64_t wall_ns)
{
	char time[CLOCK_TEXT_MAX];

	if (log->max_size && log->size + (int64_t)log->pending.size >= log->max_size) {
		flush(log);
		if (log->size >= log->max_size && !is_packing(log))
			rotate(log);
	}
	text_add(&log->pending, "{\"log\":\"");
	quote_json_inner(&log->pending, data, size);
	text_addf(&log->pending, "%s\",\"stream\":\"%s\",%s\"time\":\"%s\"}\n", end_of_line ? "\\n" : "",
		  stream_names[stream], log->attributes, clock_format(time, wall_ns));
}

/* How much of a full buffer to write, so that no character is cut. */
static size_t whole_characters(const char *data, size_t size)
{
	size_t back = 1;

	while (back < 4 && back < size && ((uint8_t)data[size - back] & 0xc0) == 0x80)
		back++;
	/* data[size - back] starts the last sequence: incomplete if its lead byte promises more. */
	if (((uint8_t)data[size - back] >= 0xc2 && utf8_sequence(data + size - back, back) == 0))
		return size - back;
	return size;
}

static void write_line(struct json_log *log, enum json_log_stream stream)
{
	struct line *line = &log->lines[stream];

	add_entry(log, stream, line->data, line->size, true, line->partial_time ? line->partial_time : clock_wall_ns());
	line->partial_time = 0;
	line->size = 0;
}

static void write_part(struct json_log *log, enum json_log_stream stream, size_t size)
{
	struct line *line = &log->lines[stream];

	if (!line->partial_time)
		line->partial_time = clock_wall_ns();
	add_entry(log, stream, line->data, size, false, line->partial_time);
	line->size -= size;
	memmove(line->data, line->data + size, line->size);
}

static void add_to_line(struct json_log *log, enum json_log_stream stream, const char *data, size_t size)
{
	struct line *line = &log->lines[stream];

	while (size > 0) {
		size_t part = LINE_MAX_BYTES - line->size;

		if (part == 0) {
			write_part(log, stream, whole_characters(line->data, line->size));
			continue;
		}
		if (part > size)
			part = size;
		memcpy(line->data + line->size, data, part);
		line->size += part;
		data += part;
		size -= part;
	}
}

void json_log_write(struct json_log *log, enum json_log_stream stream, const char *data, size_t size)
{
	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t length = end ? (size_t)(end - data) : size;

		add_to_line(log, stream, data, length);
		if (end) {
			write_line(log, stream);
			length++;
		}
		data += length;
		size -= length;
	}
	/* A full buffer is shown now, as docker does, not when its next byte comes. */
	if (log->lines[stream].size == LINE_MAX_BYTES)
		write_part(log, stream, whole_characters(log->lines[stream].data, LINE_MAX_BYTES));
	flush(log);
}

void json_log_end(struct json_log *log, enum json_log_stream stream)
{
	struct line *line = &log->lines[stream];

	if (line->size > 0)
		write_part(log, stream, line->size);
	line->partial_time = 0;
	flush(log);
}

uint64_t json_log_lost(const struct json_log *log, int *out_errnum)
{
	*out_errnum = log->lost_errno;
	return log->lost;
}
