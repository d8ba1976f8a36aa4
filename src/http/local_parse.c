/* SPDX-License-Identifier: Apache-2.0 */
#include "http/local_parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define CHUNK_LINE_MAX 4096

void local_head_fini(struct local_head *head)
{
	text_map_fini(&head->headers);
	*head = (struct local_head){ 0 };
}

/* Length of the line at data without its end; *out_next is behind LF. -1: no whole line. */
static ssize_t line_length(const char *data, size_t size, size_t *out_next)
{
	const char *end = memchr(data, '\n', size);
	size_t length;

	if (!end)
		return -1;
	length = (size_t)(end - data);
	*out_next = length + 1;
	if (length > 0 && data[length - 1] == '\r')
		length--;
	return (ssize_t)length;
}

static int parse_status(struct local_head *head, const char *line, struct error *err)
{
	uint64_t status;
	AUTO_FREE char *digits = NULL;

	if (!text_has_prefix(line, "HTTP/1.") || strlen(line) < 12 || line[8] != ' ' ||
	    (line[12] != ' ' && line[12] != '\0'))
		return error_set(err, ERR_INTERNAL, "the server does not speak HTTP/1.1: \"%.60s\"", line);
	digits = xstrndup(line + 9, 3);
	if (text_parse_u64(&status, digits, 999) < 0 || status < 100)
		return error_set(err, ERR_INTERNAL, "malformed HTTP status line: \"%.60s\"", line);
	head->status = (int)status;
	head->keep_alive = line[7] != '0';
	return 0;
}

static int parse_header(struct local_head *head, char *line, struct error *err)
{
	char *colon = strchr(line, ':');
	const char *value;
	const char *before;

	if (!colon || colon == line)
		return error_set(err, ERR_INTERNAL, "malformed HTTP header: \"%.60s\"", line);
	*colon = '\0';
	for (char *c = line; *c; c++) {
		if (isspace((unsigned char)*c) || !isprint((unsigned char)*c))
			return error_set(err, ERR_INTERNAL, "malformed HTTP header name: \"%.60s\"", line);
		*c = (char)tolower((unsigned char)*c);
	}
	value = text_trim(colon + 1);
	before = text_map_get(&head->headers, line);
	if (before) {
		AUTO_FREE char *joined = xasprintf("%s, %s", before, value);

		text_map_set(&head->headers, line, joined);
	} else {
		text_map_set(&head->headers, line, value);
	}
	return 0;
}

/* Lines of the head, one by one, up to the empty one. 1 whole, 0 more needed, -1. */
static int parse_lines(struct local_head *head, const char *data, size_t size, size_t *out_used, struct error *err)
{
	size_t at = 0;

	for (;;) {
		size_t next;
		ssize_t length = line_length(data + at, size - at, &next);
		AUTO_FREE char *line = NULL;

		if (length < 0)
			return 0;
		if (memchr(data + at, '\0', (size_t)length))
			return error_set(err, ERR_INTERNAL, "malformed HTTP head: a zero byte");
		line = xstrndup(data + at, (size_t)length);
		at += next;
		if (length == 0 && head->status) {
			*out_used = at;
			return 1;
		}
		if ((head->status ? parse_header(head, line, err) : parse_status(head, line, err)) < 0)
			return -1;
	}
}

int local_head_parse(struct local_head *out_head, const char *data, size_t size, size_t *out_used, struct error *err)
{
	struct local_head head = { 0 };
	const char *connection;
	int r = parse_lines(&head, data, size, out_used, err);

	if (r == 0 && size >= LOCAL_HEAD_MAX)
		r = error_set(err, ERR_INTERNAL, "HTTP head is longer than %d bytes", LOCAL_HEAD_MAX);
	if (r <= 0) {
		local_head_fini(&head);
		return r;
	}
	connection = text_map_get(&head.headers, "connection");
	if (connection && strcasestr(connection, "close"))
		head.keep_alive = false;
	else if (connection && strcasestr(connection, "keep-alive"))
		head.keep_alive = true;
	*out_head = head;
	return 1;
}

int local_body_init(struct local_body *body, const struct local_head *head, const char *method, struct error *err)
{
	const char *length = text_map_get(&head->headers, "content-length");
	const char *encoding = text_map_get(&head->headers, "transfer-encoding");

	*body = (struct local_body){ 0 };
	if (text_equal(method, "HEAD") || head->status == 204 || head->status == 304 || head->status < 200) {
		body->done = true;
		return 0;
	}
	if (encoding && !text_equal_ignoring_case(encoding, "identity")) {
		if (!text_equal_ignoring_case(encoding, "chunked"))
			return error_set(err, ERR_UNSUPPORTED, "transfer encoding \"%s\"", encoding);
		body->framing = LOCAL_BODY_CHUNKED;
		return 0;
	}
	if (!length) {
		body->framing = LOCAL_BODY_UNTIL_CLOSE;
		return 0;
	}
	if (text_parse_u64(&body->left, length, INT64_MAX) < 0)
		return error_set(err, ERR_INTERNAL, "malformed Content-Length: \"%.40s\"", length);
	body->framing = LOCAL_BODY_LENGTH;
	body->done = body->left == 0;
	return 0;
}

static int parse_chunk_size(uint64_t *out_size, const char *line, size_t length, struct error *err)
{
	uint64_t size = 0;
	size_t at = 0;

	for (; at < length && isxdigit((unsigned char)line[at]); at++) {
		int digit = tolower((unsigned char)line[at]);

		if (size >> 59)
			return error_set(err, ERR_INTERNAL, "chunk size is too large");
		size = size * 16 + (uint64_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
	}
	if (at == 0 || (at < length && line[at] != ';' && line[at] != ' ' && line[at] != '\t'))
		return error_set(err, ERR_INTERNAL, "malformed chunk size");
	*out_size = size;
	return 0;
}

/* A line of the chunked coding: size, the empty one behind data, or a trailer. */
static int take_chunk_line(struct local_body *body, const char *data, size_t size, size_t *out_used, struct error *err)
{
	size_t next = 0;
	ssize_t length = line_length(data, size, &next);

	if (length < 0) {
		if (size > CHUNK_LINE_MAX)
			return error_set(err, ERR_INTERNAL, "chunk header is too long");
		return 0;
	}
	*out_used = next;
	if (body->chunk == LOCAL_CHUNK_DATA_END) {
		if (length != 0)
			return error_set(err, ERR_INTERNAL, "chunk is longer than its size");
		body->chunk = LOCAL_CHUNK_SIZE;
		return 0;
	}
	if (body->chunk == LOCAL_CHUNK_TRAILER) {
		body->done = length == 0;
		return 0;
	}
	if (parse_chunk_size(&body->left, data, (size_t)length, err) < 0)
		return -1;
	body->chunk = body->left ? LOCAL_CHUNK_DATA : LOCAL_CHUNK_TRAILER;
	return 0;
}

int local_body_take(struct local_body *body, const uint8_t *data, size_t size, size_t *out_used,
		    const uint8_t **out_data, size_t *out_size, struct error *err)
{
	*out_used = 0;
	*out_size = 0;
	*out_data = data;
	if (body->done || size == 0)
		return 0;
	if (body->framing == LOCAL_BODY_CHUNKED && body->chunk != LOCAL_CHUNK_DATA)
		return take_chunk_line(body, (const char *)data, size, out_used, err);
	if (body->framing != LOCAL_BODY_UNTIL_CLOSE && size > body->left)
		size = (size_t)body->left;
	*out_used = size;
	*out_size = size;
	if (body->framing == LOCAL_BODY_UNTIL_CLOSE)
		return 0;
	body->left -= size;
	if (body->left == 0 && body->framing == LOCAL_BODY_LENGTH)
		body->done = true;
	else if (body->left == 0)
		body->chunk = LOCAL_CHUNK_DATA_END;
	return 0;
}
