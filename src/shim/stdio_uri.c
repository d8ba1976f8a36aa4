/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stdio_uri.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text.h"

#define MAX_FILES 10000

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent escapes of one part of a URI; NULL if one is malformed or a NUL. */
static char *decode(const char *text, size_t size)
{
	char *decoded = xmalloc(size + 1);
	size_t length = 0;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '%') {
			int high = size - i > 2 ? hex_digit(text[i + 1]) : -1;
			int low = size - i > 2 ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0 || high + low == 0) {
				free(decoded);
				return NULL;
			}
			c = (char)(high * 16 + low);
			i += 2;
		}
		decoded[length++] = c;
	}
	decoded[length] = '\0';
	return decoded;
}

static int set_number(struct stdio_uri *uri, const char *key, const char *value, const char *option, struct error *err)
{
	bool json = uri->kind == STDIO_JSON_FILE;
	uint64_t number = 0;
	int r = text_parse_u64(&number, value, INT64_MAX);

	if (json && text_equal(key, "max-size"))
		uri->max_size = (int64_t)number;
	else if (json && text_equal(key, "max-file"))
		uri->max_file = (int64_t)number;
	else if (json && text_equal(key, "compress"))
		uri->compress = number != 0;
	else if ((json || uri->kind == STDIO_NONE) && text_equal(key, "send"))
		uri->send = number != 0;
	else if (uri->kind == STDIO_ATTACH && text_equal(key, "once"))
		uri->once = number != 0;
	else
		return error_set(err, ERR_INVALID, "unknown option %s", option);
	if (r < 0)
		return error_set(err, ERR_INVALID, "option %s: not a number", option);
	if (uri->max_file < 1 || uri->max_file > MAX_FILES)
		return error_set(err, ERR_INVALID, "option %s: from 1 to %d", option, MAX_FILES);
	return 0;
}

static void replace(char **place, char *value)
{
	free(*place);
	*place = value;
}

static int set_option(struct stdio_uri *uri, const char *option, struct error *err)
{
	const char *equals = strchr(option, '=');
	size_t length = equals ? (size_t)(equals - option) : strlen(option);
	const char *rest = equals ? equals + 1 : "";
	AUTO_FREE char *key = decode(option, length);
	AUTO_FREE char *value = decode(rest, strlen(rest));

	if (!key || !value)
		return error_set(err, ERR_INVALID, "option %s: malformed percent escape", option);
	if (uri->kind == STDIO_BINARY) {
		text_list_add(&uri->arguments, key);
		if (*value)
			text_list_add(&uri->arguments, value);
		return 0;
	}
	if ((uri->kind == STDIO_JSON_FILE || uri->kind == STDIO_NONE) && text_equal(key, "helper") && *value == '/')
		replace(&uri->helper, take_ptr(value));
	else if (uri->kind == STDIO_JSON_FILE && text_equal(key, "attrs") && *value == '{')
		replace(&uri->attributes, take_ptr(value));
	else
		return set_number(uri, key, value, option, err);
	return 0;
}

static int set_options(struct stdio_uri *uri, const char *query, struct error *err)
{
	struct text_list options = { 0 };
	int r = 0;

	text_list_split(&options, query, '&');
	for (size_t i = 0; r == 0 && i < options.count; i++)
		r = set_option(uri, options.items[i], err);
	text_list_fini(&options);
	return r;
}

/* rest: what stands behind the scheme. */
static int parse_rest(struct stdio_uri *uri, const char *rest, struct error *err)
{
	const char *query = strchr(rest, '?');
	size_t length = query ? (size_t)(query - rest) : strlen(rest);

	uri->path = decode(rest, length);
	if (!uri->path)
		return error_set(err, ERR_INVALID, "malformed percent escape");
	if (uri->kind == STDIO_ATTACH || uri->kind == STDIO_NONE ? *uri->path != '\0' : *uri->path != '/')
		return error_set(err, ERR_INVALID, "not an absolute path");
	if (query && set_options(uri, query + 1, err) < 0)
		return -1;
	if ((uri->compress || uri->send) && !uri->helper)
		return error_set(err, ERR_INVALID, "no helper is named");
	return 0;
}

struct scheme {
	const char *prefix;
	enum stdio_kind kind;
};

static int parse(struct stdio_uri *out_uri, const char *text, const struct scheme *schemes, struct error *err)
{
	struct stdio_uri uri = { .max_file = 1 };
	const char *rest = NULL;

	if (text_empty(text)) {
		*out_uri = uri;
		return 0;
	}
	for (; schemes->prefix && !rest; schemes++) {
		rest = text_after(text, schemes->prefix);
		if (rest)
			uri.kind = schemes->kind;
	}
	if (*text == '/') {
		uri.kind = STDIO_PATH;
		uri.path = xstrdup(text);
	} else if (!rest) {
		return error_set(err, ERR_UNSUPPORTED, "stdio %s: unknown scheme", text);
	} else if (parse_rest(&uri, rest, err) < 0) {
		stdio_uri_fini(&uri);
		return error_prefix(err, "stdio %s", text);
	}
	*out_uri = uri;
	return 0;
}

int stdio_uri_parse_output(struct stdio_uri *out_uri, const char *uri, struct error *err)
{
	static const struct scheme schemes[] = {
		{ "none:", STDIO_NONE },   { "file://", STDIO_FILE },	  { "json-file://", STDIO_JSON_FILE },
		{ "fifo://", STDIO_PATH }, { "binary://", STDIO_BINARY }, { NULL, STDIO_NONE },
	};

	return parse(out_uri, uri, schemes, err);
}

int stdio_uri_parse_input(struct stdio_uri *out_uri, const char *uri, struct error *err)
{
	static const struct scheme schemes[] = {
		{ "none:", STDIO_NONE },
		{ "attach:", STDIO_ATTACH },
		{ "fifo://", STDIO_PATH },
		{ NULL, STDIO_NONE },
	};

	return parse(out_uri, uri, schemes, err);
}

void stdio_uri_fini(struct stdio_uri *uri)
{
	free(uri->path);
	free(uri->helper);
	free(uri->attributes);
	text_list_fini(&uri->arguments);
	*uri = (struct stdio_uri){ 0 };
}
