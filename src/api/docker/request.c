/* SPDX-License-Identifier: Apache-2.0 */
#include "api/docker/request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quote.h"
#include "base/text.h"

int api_version_parse(int64_t *out_version, const char *text, size_t size)
{
	AUTO_FREE char *copy = xstrndup(text, size);
	char *dot = strchr(copy, '.');
	uint64_t major;
	uint64_t minor = 0;

	if (dot)
		*dot = '\0';
	if (text_parse_u64(&major, copy, 99) < 0 || (dot && text_parse_u64(&minor, dot + 1, 999) < 0))
		return -EINVAL;
	*out_version = API_VERSION((int64_t)major, (int64_t)minor);
	return 0;
}

bool docker_bool(const char *text)
{
	static const char *const no[] = { "", "0", "no", "false", "none" };
	AUTO_FREE char *copy = xstrdup(text_or_empty(text));
	const char *word = text_trim(copy);

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strcasecmp(word, no[i]) == 0)
			return false;
	return true;
}

bool query_bool(const struct http_request *request, const char *key)
{
	return docker_bool(http_query(request, key));
}

int query_number(struct optional_i64 *out_value, const struct http_request *request, const char *key, struct error *err)
{
	const char *text = http_query(request, key);

	*out_value = (struct optional_i64){ 0 };
	if (text_empty(text))
		return 0;
	if (text_parse_i64(&out_value->value, text, INT64_MIN, INT64_MAX) < 0)
		return error_set(err, ERR_INVALID, "%s: strconv.Atoi: parsing \"%s\": invalid syntax", key, text);
	out_value->set = true;
	return 0;
}

int query_moment(int64_t *out_wall_ns, const struct http_request *request, const char *key, struct error *err)
{
	const char *text = http_query(request, key);

	*out_wall_ns = 0;
	if (text_empty(text) || text_equal(text, "0"))
		return 0;
	if (clock_parse_moment(out_wall_ns, text) < 0)
		return error_set(err, ERR_INVALID, "invalid value for \"%s\": \"%s\" is not a time", key, text);
	return 0;
}

static int query_cells(uint16_t *out_cells, const struct http_request *request, const char *key, struct error *err)
{
	struct optional_i64 value;

	if (query_number(&value, request, key, err) < 0)
		return -1;
	if (!value.set || value.value < 0 || value.value > UINT16_MAX)
		return error_set(err, ERR_INVALID, "invalid resize %s: \"%s\"", key,
				 text_or_empty(http_query(request, key)));
	*out_cells = (uint16_t)value.value;
	return 0;
}

int query_size(uint16_t *out_height, uint16_t *out_width, const struct http_request *request, struct error *err)
{
	if (query_cells(out_height, request, "h", err) < 0)
		return -1;
	return query_cells(out_width, request, "w", err);
}

int query_filters(struct filter_set *out_filters, const struct http_request *request, const char *const *allowed,
		  struct error *err)
{
	filter_set_init(out_filters);
	if (filter_set_parse(out_filters, http_query(request, "filters"), allowed, err) == 0)
		return 0;
	filter_set_init(out_filters);
	return -1;
}

int body_is_json(const struct http_request *request, struct error *err)
{
	const char *type = text_or_empty(http_header(request, "Content-Type"));
	size_t length = strcspn(type, "; \t");
	size_t size;

	http_body(request, &size);
	if (size == 0)
		return 0;
	if (length == strlen("application/json") && strncasecmp(type, "application/json", length) == 0)
		return 1;
	return error_set(err, ERR_INVALID, "unsupported Content-Type header (%s): must be 'application/json'", type);
}

int body_decode(void *target, const struct json_field *fields, const struct http_request *request, struct error *err)
{
	int is_json = body_is_json(request, err);
	const char *body;
	size_t size;

	if (is_json <= 0)
		return is_json;
	body = http_body(request, &size);
	/* As in Go: null leaves everything as it is. docker CLI 20.10 commits with it. */
	if (size >= 4 && strncmp(body, "null", 4) == 0 && strspn(body + 4, " \t\r\n") == size - 4)
		return 0;
	return json_decode(target, fields, body, size, err);
}

void reply_json_take(struct http_response *response, int status, char *json)
{
	size_t size = strlen(json);
	char *text = xrealloc(json, size + 2);

	memcpy(text + size, "\n", 2);
	http_reply_take(response, status, "application/json", text);
}

void reply_json(struct http_response *response, int status, const void *source, const struct json_field *fields)
{
	reply_json_take(response, status, json_encode(source, fields));
}

void reply_json_array(struct http_response *response, int status, const void *array,
		      const struct json_field *item_fields, size_t item_size)
{
	reply_json_take(response, status, json_encode_array(array, item_fields, item_size));
}

void reply_id(struct http_response *response, int status, const char *id)
{
	reply_json_take(response, status, xasprintf("{\"Id\":\"%s\"}", id));
}

void mux_header(uint8_t out[MUX_HEADER_BYTES], int stream, size_t size)
{
	out[0] = (uint8_t)stream;
	out[1] = 0;
	out[2] = 0;
	out[3] = 0;
	out[4] = (uint8_t)(size >> 24);
	out[5] = (uint8_t)(size >> 16);
	out[6] = (uint8_t)(size >> 8);
	out[7] = (uint8_t)size;
}
