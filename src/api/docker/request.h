/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - what the handlers share: query values, bodies and answers, read
 * and written as dockerd does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"
#include "engine/filter.h"
#include "http/server.h"
#include "json/json.h"

/* API versions as numbers that compare: 1.41 is 1041. */
#define API_VERSION(major, minor) ((major)*1000 + (minor))
/* "1.41"; 0 or -EINVAL. */
int api_version_parse(int64_t *out_version, const char *text, size_t size);

/* "", 0, no, false and none are false in any case; everything else is true. */
bool docker_bool(const char *text);
bool query_bool(const struct http_request *request, const char *key);
/* Absent or empty: not set. ERR_INVALID in Go's words. */
int query_number(struct optional_i64 *out_value, const struct http_request *request, const char *key,
		 struct error *err);
/* A moment as the API gives it; absent, "" and "0": 0. */
int query_moment(int64_t *out_wall_ns, const struct http_request *request, const char *key, struct error *err);
/* h and w. */
int query_size(uint16_t *out_height, uint16_t *out_width, const struct http_request *request, struct error *err);
/* The `filters` parameter; out_filters is always good for filter_set_fini(). */
int query_filters(struct filter_set *out_filters, const struct http_request *request, const char *const *allowed,
		  struct error *err);

/* 1 and the body is JSON, 0 and there is none. ERR_INVALID for another content type. */
int body_is_json(const struct http_request *request, struct error *err);
/* Decodes the body; an absent one leaves target zero. */
int body_decode(void *target, const struct json_field *fields, const struct http_request *request, struct error *err);

/* One object, one array, or a finished text (taken), each with the newline Go's encoder writes. */
void reply_json(struct http_response *response, int status, const void *source, const struct json_field *fields);
void reply_json_array(struct http_response *response, int status, const void *array,
		      const struct json_field *item_fields, size_t item_size);
void reply_json_take(struct http_response *response, int status, char *json);
/* {"Id":"..."} */
void reply_id(struct http_response *response, int status, const char *id);

/* Octets before a piece of output on a stream without a tty: kind, 0, 0, 0, length (big endian). */
#define MUX_HEADER_BYTES 8
void mux_header(uint8_t out[MUX_HEADER_BYTES], int stream, size_t size);
