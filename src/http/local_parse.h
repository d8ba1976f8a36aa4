/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_parse.h - the bytes of a response, without a socket: head and body
 * framing of RFC 9112. Pure functions of their input, so that they can be fuzzed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define LOCAL_HEAD_MAX (64 * 1024)

struct local_head {
	int status;
	struct text_map headers; /* names in lower case; repeated ones joined by ", " */
	bool keep_alive;
};

/* 1 and *out_used when the head is whole, 0 if more is needed, -1 if it is no HTTP. */
int local_head_parse(struct local_head *out_head, const char *data, size_t size, size_t *out_used, struct error *err);
void local_head_fini(struct local_head *head);

enum local_framing { LOCAL_BODY_NONE, LOCAL_BODY_LENGTH, LOCAL_BODY_CHUNKED, LOCAL_BODY_UNTIL_CLOSE };

struct local_body {
	enum local_framing framing;
	enum { LOCAL_CHUNK_SIZE, LOCAL_CHUNK_DATA, LOCAL_CHUNK_DATA_END, LOCAL_CHUNK_TRAILER } chunk;
	uint64_t left; /* of the body or of the chunk */
	bool done;
};

/* How the body behind this head is framed. */
int local_body_init(struct local_body *body, const struct local_head *head, const char *method, struct error *err);
/*
 * Takes *out_used bytes of `data`; body bytes among them are
 * out_data[0..*out_size). 0 or -1; *out_used 0 with data left: more is needed.
 */
int local_body_take(struct local_body *body, const uint8_t *data, size_t size, size_t *out_used,
		    const uint8_t **out_data, size_t *out_size, struct error *err);
