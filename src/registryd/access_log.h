/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_log.h - one line for each request, as the log writes lines, in the combined format of web servers, or as JSON.
 */
#pragma once

#include "base/log.h"
#include "http/server.h"

enum access_format { ACCESS_LOG_TEXT, ACCESS_LOG_COMBINED, ACCESS_LOG_JSON };

/* "text", "combined", "json"; 0 or -EINVAL. */
int access_format_parse(enum access_format *out_format, const char *name);

struct access_line {
	const struct http_request *request;
	const char *user; /* NULL: anonymous */
	int status;
	uint64_t size;
	int64_t took_us;
};

void access_log_write(const struct log *log, enum access_format format, const struct access_line *line);
