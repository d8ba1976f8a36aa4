/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - reads what a container wrote: docker's json-file lines, oldest
 * rotated file first (path.N ... path.1, path, any but the last with .gz behind it), tail found from the end,
 * following by inotify until the container stops.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "engine/attach.h"

struct engine;
struct log_reader;
struct text_list;

struct log_query {
	bool want_stdout; /* one of both, else ERR_INVALID in docker's words */
	bool want_stderr;
	bool follow;
	int64_t tail;	  /* lines; -1: all */
	int64_t since_ns; /* wall time; 0: from the start */
	int64_t until_ns; /* 0: no end */
};

struct log_record {
	enum stream_kind stream;
	int64_t time_ns;
	const char *data; /* borrowed until the next record; with its newline, if it had one */
	size_t size;
	const struct text_list *attributes; /* borrowed likewise: "key=value", by the options of json-file */
};

/* ERR_NOT_FOUND; ERR_UNSUPPORTED when the log driver keeps nothing to read ("none"). */
int container_logs(struct log_reader **out_reader, struct engine *engine, const char *name,
		   const struct log_query *query, struct error *err);
/* Bytes on disk of a container's logs, rotated ones too; 0 for one that is not there. */
int64_t container_logs_size(struct engine *engine, const char *name);
/* Whether the container has a tty: records then go out raw. */
bool log_reader_tty(const struct log_reader *reader);
/* 1 and a record, 0 at the end, or fails (ERR_CANCELED). */
int log_reader_next(struct log_reader *reader, struct log_record *out_record, int cancel_fd, struct error *err);
/* Whether the next record is at hand: log_reader_next() will neither read nor wait. */
bool log_reader_is_ready(const struct log_reader *reader);
void log_reader_close(struct log_reader *reader);
DEFINE_AUTO(struct log_reader, log_reader_close)

/*
 * The same on a bare path. done_fd (borrowed, or -1): readable once nothing
 * will be added any more; follow ends after the rest was read.
 */
int log_reader_open(struct log_reader **out_reader, const char *path, const struct log_query *query, int done_fd,
		    struct error *err);
