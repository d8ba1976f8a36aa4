/* SPDX-License-Identifier: Apache-2.0 */
#include "registryd/access_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "json/json.h"

static const char *const names[] = { "text", "combined", "json" };

int access_format_parse(enum access_format *out_format, const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_equal(names[i], name)) {
			*out_format = (enum access_format)i;
			return 0;
		}
	return -EINVAL;
}

static void write_text(const struct log *log, const struct access_line *line)
{
	char client[HTTP_CLIENT_MAX];
	char numbers[3][24];

	snprintf(numbers[0], sizeof(numbers[0]), "%d", line->status);
	snprintf(numbers[1], sizeof(numbers[1]), "%llu", (unsigned long long)line->size);
	snprintf(numbers[2], sizeof(numbers[2]), "%lld", (long long)line->took_us);
	log_info(log, "access", F("method", http_method(line->request)), F("path", http_path(line->request)),
		 F("status", numbers[0]), F("bytes", numbers[1]), F("us", numbers[2]),
		 F("user", line->user ? line->user : "-"), F("client", http_client(client, line->request)),
		 F("agent", text_or_empty(http_header(line->request, "User-Agent"))));
}

/* What a client sends must neither end the field nor the line. */
static void add_quoted(struct text *out, const char *value)
{
	text_add(out, "\"");
	for (const char *at = text_empty(value) ? "-" : value; *at; at++) {
		unsigned char byte = (unsigned char)*at;

		if (byte < ' ' || byte == '"' || byte == '\\' || byte >= 0x7f)
			text_addf(out, "\\x%02x", byte);
		else
			text_addf(out, "%c", byte);
	}
	text_add(out, "\"");
}

static void write_combined(const struct log *log, const struct access_line *line)
{
	AUTO_FREE char *first = xasprintf("%s %s HTTP/1.1", http_method(line->request), http_path(line->request));
	char client[HTTP_CLIENT_MAX];
	struct text out = { 0 };
	time_t now = time(NULL);
	struct tm parts;
	char date[64];

	gmtime_r(&now, &parts);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S +0000", &parts);
	text_addf(&out, "%s - %s [%s] ", http_client(client, line->request), line->user ? line->user : "-", date);
	add_quoted(&out, first);
	text_addf(&out, " %d %llu ", line->status, (unsigned long long)line->size);
	add_quoted(&out, http_header(line->request, "Referer"));
	text_add(&out, " ");
	add_quoted(&out, http_header(line->request, "User-Agent"));
	text_add(&out, "\n");
	write_full(log->fd, out.data, out.size);
	text_fini(&out);
}

struct json_line {
	char *time;
	char *client;
	char *user;
	char *method;
	char *path;
	int64_t status;
	int64_t bytes;
	int64_t us;
	char *agent;
	char *referer;
};

static const struct json_field line_fields[] = {
	JSON_TEXT("time", struct json_line, time, 0),
	JSON_TEXT("client", struct json_line, client, 0),
	JSON_TEXT("user", struct json_line, user, JSON_OMIT_EMPTY),
	JSON_TEXT("method", struct json_line, method, 0),
	JSON_TEXT("path", struct json_line, path, 0),
	JSON_I64("status", struct json_line, status, 0),
	JSON_I64("bytes", struct json_line, bytes, 0),
	JSON_I64("us", struct json_line, us, 0),
	JSON_TEXT("agent", struct json_line, agent, 0),
	JSON_TEXT("referer", struct json_line, referer, JSON_OMIT_EMPTY),
	JSON_END,
};

static char *plain(const char *text)
{
	return (char *)(uintptr_t)text_or_empty(text);
}

static void write_json(const struct log *log, const struct access_line *line)
{
	char client[HTTP_CLIENT_MAX];
	char now[CLOCK_TEXT_MAX];
	const struct json_line out = {
		.time = plain(clock_format(now, clock_wall_ns())),
		.client = plain(http_client(client, line->request)),
		.user = plain(line->user),
		.method = plain(http_method(line->request)),
		.path = plain(http_path(line->request)),
		.status = line->status,
		.bytes = (int64_t)line->size,
		.us = line->took_us,
		.agent = plain(http_header(line->request, "User-Agent")),
		.referer = plain(http_header(line->request, "Referer")),
	};
	AUTO_FREE char *text = json_encode(&out, line_fields);
	AUTO_FREE char *whole = xasprintf("%s\n", text);

	write_full(log->fd, whole, strlen(whole));
}

void access_log_write(const struct log *log, enum access_format format, const struct access_line *line)
{
	if (format == ACCESS_LOG_COMBINED)
		write_combined(log, line);
	else if (format == ACCESS_LOG_JSON)
		write_json(log, line);
	else
		write_text(log, line);
}
