/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uri.h - the target of a request line: path and query, percent-decoded.
 *
 * A broken escape and an encoded NUL are refused, so that what is checked is
 * what is used. "+" is a blank in the query only. Repeated keys stay in order.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"

struct http_uri {
	char *path;
	struct text_list keys;
	struct text_list values; /* of the same index; "" for a key without "=" */
};

/* 0 or -EINVAL (uri stays empty). */
int http_uri_parse(struct http_uri *uri, const char *target);
/* A part of a URL with its escapes undone, yours; NULL if one is broken or a NUL. */
char *http_uri_decode(const char *text);
void http_uri_fini(struct http_uri *uri);
/* Value of the index-th use of the key; NULL if there is none. */
const char *http_uri_query(const struct http_uri *uri, const char *key, size_t index);

/* Fits path into a pattern of literals, {name} (no slash) and {name...}; fills params if it does. */
bool http_route_match(const char *pattern, const char *path, struct text_map *params);
