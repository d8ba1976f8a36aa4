/* SPDX-License-Identifier: Apache-2.0 */
/*
 * websocket.h - RFC 6455 on a connection that http_hijack() took over: the
 * answer to the handshake, frames out (binary, whole, not masked), frames in
 * (masked, any size, in any pieces). Messages are one stream of bytes here:
 * where one ends and the next begins means nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/server.h"

enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10
};

/* Checks the handshake and sets the headers of its answer; ERR_INVALID if it is none. */
int websocket_accept(struct http_request *request, struct http_response *response, struct error *err);

#define WEBSOCKET_HEADER_MAX 10
/* The header of one whole frame; returns its size. */
size_t websocket_header(uint8_t out[WEBSOCKET_HEADER_MAX], enum websocket_opcode opcode, size_t size);

/* Starts as {0}. */
struct websocket_reader {
	uint8_t head[14];
	size_t head_size;
	uint64_t left; /* of the payload */
	uint64_t done;
	bool in_payload;
};

/*
 * Takes some of the bytes: returns how many, or -1 for what is no frame. Payload is unmasked in place:
 * *out_payload and *out_size (may be 0) are part of `data`; *out_opcode is the frame's. *out_end: its last byte came.
 */
ssize_t websocket_read(struct websocket_reader *reader, uint8_t *data, size_t size, enum websocket_opcode *out_opcode,
		       uint8_t **out_payload, size_t *out_size, bool *out_end);
