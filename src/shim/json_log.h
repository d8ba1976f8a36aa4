/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_log.h - docker's json-file log: {"log":"text\n","stream":"stdout","time":"..."} per line.
 *
 * Lines are cut at 16 KiB (never inside a UTF-8 character): the parts have no
 * "\n" but the last, and one time. What is left at the end of a stream is
 * written without "\n". Before a line that would start at or past max_size the
 * file is rotated: path -> path.1 -> ... -> path.(max_file - 1); with one file
 * it starts anew. With a compressor old ones end in .gz, and the next rotation
 * waits for the last one. A full disk loses lines, whole ones, never the process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct json_log;

enum json_log_stream { JSON_LOG_STDOUT, JSON_LOG_STDERR, JSON_LOG_STREAMS };

struct json_log_options {
	const char *path;
	int64_t max_size; /* 0: no rotation */
	int64_t max_file;
	const char *compressor; /* NULL, or the program that makes path.1.gz of path.1: kist-log */
	const char *attributes; /* NULL, or a JSON object: "attrs" of every line */
};

/* The file is made with mode 0640, or appended to. All is copied. */
int json_log_open(struct json_log **out_log, const struct json_log_options *options, struct error *err);
void json_log_close(struct json_log *log);
DEFINE_AUTO(struct json_log, json_log_close)

/* Bytes as they came from the process. */
void json_log_write(struct json_log *log, enum json_log_stream stream, const char *data, size_t size);
/* The stream is over: writes what has no end of line. */
void json_log_end(struct json_log *log, enum json_log_stream stream);
/* Bytes of lines that could not be written, and the last errno of that. */
uint64_t json_log_lost(const struct json_log *log, int *out_errnum);
