/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what a program did, one line at a time. Libraries return errors;
 * programs log. log_info(log, "container started", F("id", id), F("image", image));
 *
 * Text form: time level message key=value..., or logfmt; JSON form: {"time","level","msg",...}.
 * One write(2) per line, so lines of several threads and processes do not mix.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log {
	int fd; /* borrowed */
	enum log_level level;
	bool json;
	const char *syslog; /* borrowed, not NULL: fd is a syslog socket, this the name before each message */
	bool logfmt;	    /* text form time=... level=... msg=... key=value, as logrus writes it for runc */
};

struct log_field {
	const char *key; /* NULL ends the list */
	const char *value;
};

#define F(key, value) ((struct log_field){ (key), (value) })
#define LOG_FIELDS(...) ((const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })
#define log_debug(log, message, ...) log_write(log, LOG_LEVEL_DEBUG, message, LOG_FIELDS(__VA_ARGS__))
#define log_info(log, message, ...) log_write(log, LOG_LEVEL_INFO, message, LOG_FIELDS(__VA_ARGS__))
#define log_warn(log, message, ...) log_write(log, LOG_LEVEL_WARN, message, LOG_FIELDS(__VA_ARGS__))
#define log_error(log, message, ...) log_write(log, LOG_LEVEL_ERROR, message, LOG_FIELDS(__VA_ARGS__))

void log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields);
/* May be called while other threads log. */
void log_set_level(struct log *log, enum log_level level);
/* "debug", "info", "warn", "error"; 0 or -EINVAL. */
int log_level_parse(enum log_level *out_level, const char *name);
