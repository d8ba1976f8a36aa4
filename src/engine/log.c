/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: at opening, all files of the log are opened, oldest first, so
 * that a rotation meanwhile takes nothing away. Following keeps the newest one
 * open; when it has been renamed away and read to its end, the file after it
 * (path.N-1 of path.N, found by inode) is next. An inotify watch on the folder,
 * set before the first read, tells of everything.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/path.h"
#include "base/process.h"
#include "base/program.h"
#include "engine/engine_private.h"
#include "engine/log.h"
#include "engine/log_driver.h"
#include "engine/log_line.h"

#define FILES_MAX 1024
#define TRIES_MAX 3
#define READ_SIZE 65536
#define LINE_MAX_SIZE (4 * 1024 * 1024)

struct log_file {
	int fd;
	bool packed; /* gzip: kist-log expands it when it is first read */
	off_t start;
};

struct log_reader {
	char *path;
	struct log_query query;
	struct log_file *files; /* oldest first */
	size_t file_count;
	size_t current;
	char *buffer;
	size_t size; /* bytes in buffer */
	size_t used; /* of them given out */
	size_t capacity;
	bool skip_line; /* the rest of one that is too long */
	struct log_line line;
	int inotify_fd;
	int done_fd;
	bool last_pass; /* nothing more is written: read to the end */
	bool tty;
	struct container *container; /* NULL: a bare path */
	struct watcher watcher;
};

/* ---- opening ---- */

static char *rotated_name(const char *path, size_t number)
{
	return number ? xasprintf("%s.%zu", path, number) : xstrdup(path);
}

/* Renamed between two opens: what was `path` is met again as path.1. */
static bool is_open_already(const struct log_reader *reader, int fd, bool packed)
{
	struct stat newer;
	struct stat mine;

	if (!reader->file_count || fstat(reader->files[0].fd, &newer) < 0 || fstat(fd, &mine) < 0)
		return false;
	/* Compressed meanwhile: its plain form has no name any more. */
	if (packed && !reader->files[0].packed)
		return newer.st_nlink == 0;
	return newer.st_ino == mine.st_ino && newer.st_dev == mine.st_dev;
}

/* The plain form, or the compressed one; -errno. */
static int open_either(const struct log_reader *reader, size_t number, bool *out_packed)
{
	AUTO_FREE char *name = rotated_name(reader->path, number);
	AUTO_FREE char *packed = xasprintf("%s.gz", name);
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	*out_packed = fd < 0 && errno == ENOENT && number > 0;
	if (*out_packed)
		fd = open(packed, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int expand(int in_fd, int out_fd, struct error *err)
{
	AUTO_FREE char *program = program_find("kist-log", err);
	AUTO(process_fini) struct process process = { .pidfd = -1 };
	char *const argv[] = { program, (char *)(uintptr_t) "expand", NULL };
	const struct process_options options = {
		.path = program, .argv = argv, .stdin_fd = in_fd, .stdout_fd = out_fd
	};
	struct process_end end;

	if (!program || process_spawn(&process, &options, err) < 0 || process_wait(&process, &end, -1, -1, err) < 0)
		return -1;
	if (end.signaled || end.code != 0)
		return error_set(err, ERR_INTERNAL, "expand a compressed log: kist-log ended with %d", end.code);
	return 0;
}

/* Its text in a file without a name, on the disk where the log is. */
static int unpack(const struct log_reader *reader, struct log_file *file, struct error *err)
{
	AUTO_FREE char *folder = path_parent(reader->path);
	AUTO_CLOSE int fd = -1;

	if (!file->packed)
		return 0;
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "expand a compressed log: %s", folder);
	if (expand(file->fd, fd, err) < 0)
		return -1;
	close(file->fd);
	file->fd = take_fd(&fd);
	file->packed = false;
	return 0;
}

static int open_files(struct log_reader *reader, struct error *err)
{
	size_t count = 0;

	for (; count < FILES_MAX; count++) {
		bool packed;
		int fd = open_either(reader, count, &packed);

		/* path itself is missing for a moment while it is rotated, and before the first start. */
		if (fd == -ENOENT && count > 0)
			break;
		if (fd < 0 && fd != -ENOENT)
			return error_set_errno(err, ERR_INTERNAL, fd, "open log %s.%zu", reader->path, count);
		if (fd >= 0 && is_open_already(reader, fd, packed))
			close(take_fd(&fd));
		if (fd < 0)
			continue;
		reader->files = xrealloc(reader->files, (reader->file_count + 1) * sizeof(*reader->files));
		memmove(reader->files + 1, reader->files, reader->file_count * sizeof(*reader->files));
		reader->files[0] = (struct log_file){ .fd = fd, .packed = packed };
		reader->file_count++;
	}
	return 0;
}

/* Where the last `lines` lines begin in a file; *lines is what is left for older files. */
static int find_tail(struct log_file *file, int64_t *lines, struct error *err)
{
	char piece[8192];
	off_t end = lseek(file->fd, 0, SEEK_END);
	off_t at = end;

	if (end < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "seek in log");
	while (at > 0) {
		size_t size = at < (off_t)sizeof(piece) ? (size_t)at : sizeof(piece);
		ssize_t got = pread(file->fd, piece, size, at - (off_t)size);

		if (got != (ssize_t)size)
			return error_set_errno(err, ERR_INTERNAL, got < 0 ? errno : EIO, "read log");
		for (size_t i = size; i > 0; i--) {
			/* The newline at the very end closes the last line, it does not begin one. */
			if (piece[i - 1] != '\n' || at - (off_t)size + (off_t)i == end)
				continue;
			if (--*lines == 0) {
				file->start = at - (off_t)size + (off_t)i;
				return 0;
			}
		}
		at -= (off_t)size;
	}
	if (end > 0)
		--*lines;
	file->start = 0;
	return 0;
}

static int position(struct log_reader *reader, struct error *err)
{
	int64_t lines = reader->query.tail;

	if (lines < 0)
		return 0;
	for (size_t i = reader->file_count; i > 0; i--) {
		struct log_file *file = &reader->files[i - 1];

		reader->current = i - 1;
		if (lines == 0) {
			file->start = lseek(file->fd, 0, SEEK_END);
			return 0;
		}
		if (unpack(reader, file, err) < 0 || find_tail(file, &lines, err) < 0)
			return -1;
		if (lines == 0)
			return 0;
	}
	return 0;
}

static int start_watch(struct log_reader *reader, struct error *err)
{
	AUTO_FREE char *folder = path_parent(reader->path);

	reader->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (reader->inotify_fd < 0 ||
	    inotify_add_watch(reader->inotify_fd, folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
		return error_set_errno(err, ERR_INTERNAL, errno, "watch log folder %s", folder);
	return 0;
}

static int check_query(const struct log_query *query, struct error *err)
{
	if (!query->want_stdout && !query->want_stderr)
		return error_set(err, ERR_INVALID, "Bad parameters: you must choose at least one stream");
	return 0;
}

int log_reader_open(struct log_reader **out_reader, const char *path, const struct log_query *query, int done_fd,
		    struct error *err)
{
	AUTO(log_reader_closep) struct log_reader *reader = NULL;

	if (check_query(query, err) < 0)
		return -1;
	reader = xcalloc(1, sizeof(*reader));
	reader->path = xstrdup(path);
	reader->query = *query;
	reader->inotify_fd = -1;
	reader->done_fd = done_fd;
	reader->watcher.fd = -1;
	if ((query->follow && start_watch(reader, err) < 0) || open_files(reader, err) < 0 || position(reader, err) < 0)
		return -1;
	*out_reader = take_ptr(reader);
	return 0;
}

int container_logs(struct log_reader **out_reader, struct engine *engine, const char *name,
		   const struct log_query *query, struct error *err)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO(log_reader_closep) struct log_reader *reader = NULL;
	AUTO_FREE char *path = NULL;
	struct log_query own = *query;

	if (check_query(query, err) < 0 || container_find(&container, engine, name, err) < 0)
		return -1;
	if (!log_config_is_kept(&container->document.host.log_config))
		return error_set(err, ERR_UNSUPPORTED, "configured logging driver does not support reading");
	path = container_log_path(container);
	own.follow = query->follow && container_is_running(container);
	if (log_reader_open(&reader, path, &own, -1, err) < 0)
		return -1;
	reader->tty = container->document.config.tty;
	if (own.follow) {
		if (watcher_open(&reader->watcher, err) < 0)
			return -1;
		mutex_lock(&container->mutex);
		watch_add(&container->changes, &reader->watcher);
		reader->container = container_ref(container);
		reader->last_pass = !container->document.state.running;
		mutex_unlock(&container->mutex);
	}
	*out_reader = take_ptr(reader);
	return 0;
}

int64_t container_logs_size(struct engine *engine, const char *name)
{
	AUTO(container_unrefp) struct container *container = NULL;
	AUTO(error_clear) struct error missing = { 0 };
	AUTO_FREE char *folder_path = NULL;
	AUTO_FREE char *log_path = NULL;
	AUTO_CLOSEDIR DIR *folder = NULL;
	const struct dirent *entry;
	int64_t bytes = 0;
	struct stat status;

	if (container_find(&container, engine, name, &missing) < 0)
		return 0;
	folder_path = container_path(container, NULL);
	log_path = container_log_path(container);
	folder = dir_open(AT_FDCWD, folder_path);
	while (folder && (entry = readdir(folder)))
		if (text_has_prefix(entry->d_name, path_base(log_path)) &&
		    fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (int64_t)status.st_blocks * 512;
	return bytes;
}

bool log_reader_tty(const struct log_reader *reader)
{
	return reader->tty;
}

void log_reader_close(struct log_reader *reader)
{
	if (!reader)
		return;
	if (reader->container) {
		mutex_lock(&reader->container->mutex);
		watch_remove(&reader->watcher);
		mutex_unlock(&reader->container->mutex);
		container_unref(reader->container);
	}
	watcher_close(&reader->watcher);
	for (size_t i = 0; i < reader->file_count; i++)
		if (reader->files[i].fd >= 0)
			close(reader->files[i].fd);
	if (reader->inotify_fd >= 0)
		close(reader->inotify_fd);
	log_line_fini(&reader->line);
	free(reader->files);
	free(reader->buffer);
	free(reader->path);
	free(reader);
}

/* ---- reading ---- */

/* The next whole line in the buffer, without its newline. */
static bool next_line(struct log_reader *reader, const char **out_data, size_t *out_size)
{
	const char *start;
	const char *newline;

	if (reader->size == reader->used)
		return false;
	start = reader->buffer + reader->used;
	newline = memchr(start, '\n', reader->size - reader->used);
	if (!newline)
		return false;
	*out_data = start;
	*out_size = (size_t)(newline - start);
	reader->used += *out_size + 1;
	return true;
}

bool log_reader_is_ready(const struct log_reader *reader)
{
	return reader->size > reader->used &&
	       memchr(reader->buffer + reader->used, '\n', reader->size - reader->used) != NULL;
}

/* Emptied under our feet, as with truncate(1): it begins anew. */
static bool was_truncated(struct log_reader *reader)
{
	struct log_file *file = &reader->files[reader->current];
	struct stat status;

	if (fstat(file->fd, &status) < 0 || status.st_size >= file->start)
		return false;
	file->start = 0;
	reader->size = 0;
	reader->used = 0;
	reader->skip_line = false;
	return true;
}

/* Bytes read, 0 at the end of this file. */
static ssize_t fill(struct log_reader *reader)
{
	struct log_file *file = &reader->files[reader->current];
	ssize_t got;

	if (reader->used) {
		memmove(reader->buffer, reader->buffer + reader->used, reader->size - reader->used);
		reader->size -= reader->used;
		reader->used = 0;
	}
	if (reader->size > LINE_MAX_SIZE) {
		reader->size = 0;
		reader->skip_line = true;
	}
	reader->buffer = xgrow(reader->buffer, &reader->capacity, reader->size + READ_SIZE, 1);
	do {
		got = pread(file->fd, reader->buffer + reader->size, READ_SIZE, file->start);
	} while ((got < 0 && errno == EINTR) || (got == 0 && was_truncated(reader)));
	if (got > 0) {
		reader->size += (size_t)got;
		file->start += got;
	}
	return got < 0 ? -errno : got;
}

/* Whether name `number` is there; with `wanted`, whether it is that file. */
static bool is_there(const struct log_reader *reader, size_t number, const struct stat *wanted)
{
	AUTO_FREE char *name = rotated_name(reader->path, number);
	struct stat status;

	return stat(name, &status) == 0 &&
	       (!wanted || (status.st_ino == wanted->st_ino && status.st_dev == wanted->st_dev));
}

/*
 * The number of the file `mine`, whose successors have lower ones. Renames go upwards only, as the search does: it
 * cannot miss it. One that was rotated out of existence stands behind the oldest that is left.
 */
static size_t find_number(const struct log_reader *reader, const struct stat *mine)
{
	size_t number = mine->st_nlink ? 0 : FILES_MAX;

	if (mine->st_nlink)
		while (number < FILES_MAX && !is_there(reader, number, mine))
			number++;
	else
		while (number > 0 && !is_there(reader, number - 1, NULL))
			number--;
	return number;
}

/* Opens the nearest file below `number`, where there may be a hole while names move up. */
static int open_below(const struct log_reader *reader, size_t number, size_t *out_number, bool *out_packed)
{
	int fd = -ENOENT;

	while (fd == -ENOENT && number-- > 0)
		fd = open_either(reader, number, out_packed);
	*out_number = number;
	return fd;
}

/* That between these two numbers nothing is, still. */
static bool is_hole(const struct log_reader *reader, size_t low, size_t high)
{
	bool packed;

	while (++low < high) {
		AUTO_CLOSE int fd = open_either(reader, low, &packed);

		if (fd >= 0)
			return false;
	}
	return true;
}

/* The file written after the newest one we have; -ENOENT: there is none. */
static int open_next(const struct log_reader *reader, bool *out_packed)
{
	for (int tries = 1;; tries++) {
		AUTO_CLOSE int fd = -1;
		struct stat mine;
		size_t number;
		size_t found;

		if (fstat(reader->files[reader->file_count - 1].fd, &mine) < 0)
			return -errno;
		number = find_number(reader, &mine);
		if (number == 0)
			return -ENOENT;
		/* It lost its name while we looked; or somebody moved it to a name that is none of ours. */
		if (number == FILES_MAX && mine.st_nlink) {
			if (tries < TRIES_MAX)
				continue;
			return open_either(reader, 0, out_packed);
		}
		fd = open_below(reader, number, &found, out_packed);
		if (fd < 0)
			return fd;
		/* Unless a rotation came in between: then this may be a later one. */
		if (find_number(reader, &mine) == number && is_hole(reader, found, number))
			return take_fd(&fd);
	}
}

/* Opens the file written after the newest one we have, if there is one. */
static bool open_successor(struct log_reader *reader)
{
	bool packed;
	int fd;

	/* Followed before its first line: by now there may be more than one file. */
	if (reader->file_count == 0) {
		AUTO(error_clear) struct error ignored = { 0 };

		return open_files(reader, &ignored) == 0 && reader->file_count > 0;
	}
	fd = open_next(reader, &packed);
	if (fd < 0)
		return false;
	reader->files = xrealloc(reader->files, (reader->file_count + 1) * sizeof(*reader->files));
	reader->files[reader->file_count++] = (struct log_file){ .fd = fd, .packed = packed };
	return true;
}

/* On to the next file; false if the newest one was read to its end. */
static bool advance(struct log_reader *reader)
{
	/* A line may have come between our last read and the rotation: the old file is read once more. */
	if (reader->current + 1 >= reader->file_count)
		return reader->query.follow && open_successor(reader);
	close(reader->files[reader->current].fd);
	reader->files[reader->current].fd = -1;
	reader->current++;
	reader->size = 0;
	reader->used = 0;
	return true;
}

/* 1 something may have come, or ERR_CANCELED. */
static int wait_for_more(struct log_reader *reader, int cancel_fd, struct error *err)
{
	struct pollfd fds[] = {
		{ .fd = reader->inotify_fd, .events = POLLIN },
		{ .fd = reader->watcher.fd, .events = POLLIN },
		{ .fd = reader->done_fd, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
		{ .fd = reader->container ? reader->container->engine->closing_fd : -1, .events = POLLIN },
	};
	char drained[4096] __attribute__((aligned(8)));

	if (poll(fds, 5, -1) < 0 && errno != EINTR)
		return error_set_errno(err, ERR_INTERNAL, errno, "follow log: poll");
	if (fds[3].revents || fds[4].revents)
		return error_set(err, ERR_CANCELED, "the client went away");
	if (fds[0].revents && read(reader->inotify_fd, drained, sizeof(drained)) < 0 && errno != EAGAIN)
		return error_set_errno(err, ERR_INTERNAL, errno, "follow log: inotify");
	if (fds[1].revents) {
		uint64_t count;

		if (read(reader->watcher.fd, &count, sizeof(count)) > 0)
			reader->last_pass = !container_is_running(reader->container);
	}
	if (fds[2].revents)
		reader->last_pass = true;
	return 1;
}

/* 1 there is more in the buffer, 0 the end. */
static int read_more(struct log_reader *reader, int cancel_fd, struct error *err)
{
	for (;;) {
		bool last = reader->last_pass;
		ssize_t got;

		if (reader->file_count && unpack(reader, &reader->files[reader->current], err) < 0)
			return -1;
		got = reader->file_count ? fill(reader) : 0;
		if (got < 0)
			return error_set_errno(err, ERR_INTERNAL, (int)got, "read log %s", reader->path);
		if (got > 0)
			return 1;
		if (advance(reader))
			continue;
		if (!reader->query.follow || last)
			return 0;
		if (reader->last_pass)
			continue;
		if (wait_for_more(reader, cancel_fd, err) < 0)
			return -1;
	}
}

/* 1 wanted, 0 not, -1 the end by `until`. */
static int judge(const struct log_reader *reader)
{
	const struct log_query *query = &reader->query;

	if (query->until_ns && reader->line.time_ns > query->until_ns)
		return -1;
	if (query->since_ns && reader->line.time_ns < query->since_ns)
		return 0;
	return reader->line.stream == STREAM_STDERR ? query->want_stderr : query->want_stdout;
}

int log_reader_next(struct log_reader *reader, struct log_record *out_record, int cancel_fd, struct error *err)
{
	for (;;) {
		const char *data;
		size_t size;
		int r;

		if (!next_line(reader, &data, &size)) {
			r = read_more(reader, cancel_fd, err);
			if (r <= 0)
				return r;
			continue;
		}
		if (reader->skip_line) {
			reader->skip_line = false;
			continue;
		}
		if (log_line_parse(&reader->line, data, size) < 0)
			continue;
		r = judge(reader);
		if (r < 0)
			return 0;
		if (r == 0)
			continue;
		*out_record = (struct log_record){
			.stream = reader->line.stream,
			.time_ns = reader->line.time_ns,
			.data = text_or_empty(reader->line.log.data),
			.size = reader->line.log.size,
			.attributes = &reader->line.attributes,
		};
		return 1;
	}
}
