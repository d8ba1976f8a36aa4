/* SPDX-License-Identifier: Apache-2.0 */
#include "http/uri.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

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

static int decode(char **out, const char *text, size_t size, bool plus_is_blank)
{
	AUTO_FREE char *decoded = xmalloc(size + 1);
	size_t length = 0;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '+' && plus_is_blank) {
			c = ' ';
		} else if (c == '%') {
			int high = size - i > 2 ? hex_digit(text[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

			if (low < 0 || (high == 0 && low == 0))
				return -EINVAL;
			c = (char)(high * 16 + low);
			i += 2;
		}
		decoded[length++] = c;
	}
	decoded[length] = '\0';
	*out = take_ptr(decoded);
	return 0;
}

char *http_uri_decode(const char *text)
{
	char *decoded = NULL;

	return decode(&decoded, text, strlen(text), false) < 0 ? NULL : decoded;
}

static int add_pair(struct http_uri *uri, const char *pair, size_t size)
{
	const char *equals = memchr(pair, '=', size);
	size_t key_size = equals ? (size_t)(equals - pair) : size;
	AUTO_FREE char *key = NULL;
	char *value = NULL;

	if (decode(&key, pair, key_size, true) < 0)
		return -EINVAL;
	if (decode(&value, equals ? equals + 1 : "", equals ? size - key_size - 1 : 0, true) < 0)
		return -EINVAL;
	text_list_add_take(&uri->keys, take_ptr(key));
	text_list_add_take(&uri->values, value);
	return 0;
}

static int parse(struct http_uri *uri, const char *target)
{
	size_t path_size = strcspn(target, "?#");
	const char *at = target + path_size;

	if (decode(&uri->path, target, path_size, false) < 0)
		return -EINVAL;
	if (*at != '?')
		return 0;
	for (at++; *at && *at != '#';) {
		size_t size = strcspn(at, "&#");

		if (size > 0 && add_pair(uri, at, size) < 0)
			return -EINVAL;
		at += size;
		if (*at == '&')
			at++;
	}
	return 0;
}

int http_uri_parse(struct http_uri *uri, const char *target)
{
	if (parse(uri, target) == 0)
		return 0;
	http_uri_fini(uri);
	return -EINVAL;
}

void http_uri_fini(struct http_uri *uri)
{
	free(uri->path);
	uri->path = NULL;
	text_list_fini(&uri->keys);
	text_list_fini(&uri->values);
}

const char *http_uri_query(const struct http_uri *uri, const char *key, size_t index)
{
	for (size_t i = 0; i < uri->keys.count; i++)
		if (text_equal(uri->keys.items[i], key) && index-- == 0)
			return uri->values.items[i];
	return NULL;
}

/* Longest first, so that {name...} takes as many slashes as the rest of the pattern leaves it. */
static bool match_name(const char *pattern, const char *path, struct text_map *params)
{
	size_t name_size = strcspn(pattern, "}") - 1;
	const char *end = pattern + 1 + name_size;
	bool slashes = name_size > 3 && strncmp(end - 3, "...", 3) == 0;
	size_t longest = slashes ? strlen(path) : strcspn(path, "/");
	AUTO_FREE char *name = xstrndup(pattern + 1, slashes ? name_size - 3 : name_size);

	/* The character that must follow saves most of the tries. */
	for (size_t size = longest; size > 0; size--) {
		AUTO_FREE char *value = NULL;

		if (end[1] != '{' && path[size] != end[1])
			continue;
		if (!http_route_match(end + 1, path + size, params))
			continue;
		value = xstrndup(path, size);
		text_map_set(params, name, value);
		return true;
	}
	return false;
}

bool http_route_match(const char *pattern, const char *path, struct text_map *params)
{
	while (*pattern && *pattern != '{') {
		if (*pattern != *path)
			return false;
		pattern++;
		path++;
	}
	if (!*pattern)
		return !*path;
	return match_name(pattern, path, params);
}
