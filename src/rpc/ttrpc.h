/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc.h - containerd's small RPC over a stream socket: frames, and the
 * Request and Response inside them.
 *
 * Frame: u32 big-endian size (at most TTRPC_DATA_MAX), u32 big-endian stream
 * id (a client's are odd and only grow), u8 type, u8 flags, data. Unary calls
 * have flags 0. Replies come in any order.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "rpc/proto.h"

#define TTRPC_HEADER_SIZE 10
#define TTRPC_DATA_MAX (4 * 1024 * 1024)

enum ttrpc_type { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2, TTRPC_DATA = 3 };

struct ttrpc_header {
	uint32_t size;
	uint32_t stream_id;
	uint8_t type;
	uint8_t flags;
};

struct ttrpc_metadata {
	char *key;
	char *value;
};

struct ttrpc_request {
	char *service;
	char *method;
	struct proto_bytes payload;
	int64_t timeout_ns;
	PROTO_LIST_OF(struct ttrpc_metadata) metadata;
};

/* code is a gRPC status code, 0 is success; its text in `message`. */
struct ttrpc_response {
	int32_t code;
	char *message;
	struct proto_bytes payload;
};

extern const struct proto_field ttrpc_request_fields[];
extern const struct proto_field ttrpc_response_fields[];

void ttrpc_header_parse(const uint8_t bytes[TTRPC_HEADER_SIZE], struct ttrpc_header *out_header);
void ttrpc_header_format(uint8_t bytes[TTRPC_HEADER_SIZE], const struct ttrpc_header *header);
/* Adds a frame that holds the message. */
void ttrpc_frame_add(struct text *out, enum ttrpc_type type, uint32_t stream_id, const void *message,
		     const struct proto_field *fields);
/* The same for a whole call; namespace_ (may be NULL) becomes containerd-namespace-ttrpc metadata. */
void ttrpc_call_add(struct text *out, uint32_t stream_id, const char *service, const char *method,
		    const char *name_space, const void *message, const struct proto_field *fields);

/* gRPC status codes <-> kinds. */
int32_t ttrpc_code_of_kind(enum error_kind kind);
enum error_kind ttrpc_kind_of_code(int32_t code);
