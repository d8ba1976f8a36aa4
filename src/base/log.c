/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/quote.h"
#include "base/text.h"

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static bool is_plain(const char *value)
{
	return *value && strcspn(value, " \"=\\\t\n\r") == strlen(value);
}

static void add_text_field(struct text *line, const char *key, const char *value)
{
	if (line->size)
		text_add_char(line, ' ');
	text_add(line, key);
	text_add_char(line, '=');
	if (is_plain(value))
		text_add(line, value);
	else
		quote_json(line, value, strlen(value));
}

static void add_json_field(struct text *line, const char *key, const char *value)
{
	text_add_char(line, line->size ? ',' : '{');
	quote_json(line, key, strlen(key));
	text_add_char(line, ':');
	quote_json(line, value, strlen(value));
}

/* The first three parts of a line. */
static void add_head(struct text *line, const struct log *log, const char *level, const char *message)
{
	char now[CLOCK_TEXT_MAX];

	clock_format_fixed(now, clock_wall_ns());
	if (!log->json && !log->logfmt) {
		text_addf(line, "%s %-5s %s", now, level, message);
		return;
	}
	(log->json ? add_json_field : add_text_field)(line, "time", now);
	(log->json ? add_json_field : add_text_field)(line, "level", level);
	(log->json ? add_json_field : add_text_field)(line, "msg", message);
}

/* RFC 3164: "<facility * 8 + severity>tag: "; the facility is "user". A datagram is a message: no line ends. */
static void put_before(struct text *line, const struct log *log, enum log_level level)
{
	static const int severities[] = { 7, 6, 4, 3 };
	AUTO_FREE char *rest = text_take(line);

	text_addf(line, "<%d>%s: %s", 8 + severities[level], log->syslog, rest);
}

void log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields)
{
	struct text line = { 0 };

	if (level < __atomic_load_n(&log->level, __ATOMIC_RELAXED))
		return;
	add_head(&line, log, level_names[level], message);
	if (log->syslog)
		put_before(&line, log, level);
	for (; fields->key; fields++) {
		const char *value = text_or_empty(fields->value);

		if (log->json)
			add_json_field(&line, fields->key, value);
		else
			add_text_field(&line, fields->key, value);
	}
	text_add(&line, log->json ? "}" : "");
	if (!log->syslog)
		text_add_char(&line, '\n');
	write_full(log->fd, line.data, line.size);
	text_fini(&line);
}

void log_set_level(struct log *log, enum log_level level)
{
	__atomic_store_n(&log->level, level, __ATOMIC_RELAXED);
}

int log_level_parse(enum log_level *out_level, const char *name)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (text_equal(name, level_names[i])) {
			*out_level = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}
