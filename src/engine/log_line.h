/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line.h - one line of docker's json-file logs:
 * {"log":"text\n","stream":"stdout","time":"2024-01-01T00:00:00.123456789Z"}.
 * "attrs":{"key":"value"} may stand in it. Its own little parser: texts may hold NUL, and there may be millions.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "engine/attach.h"

struct log_line {
	enum stream_kind stream;
	int64_t time_ns;
	/* Reused from line to line; log_line_fini() at the end. */
	struct text log;
	struct text key; /* of the member that is read */
	struct text value;
	struct text_list attributes; /* "key=value", escaped for a URL, sorted */
};

/* 0, or -EINVAL for a line that is not whole: what a crash left. */
int log_line_parse(struct log_line *line, const char *data, size_t size);
void log_line_fini(struct log_line *line);
