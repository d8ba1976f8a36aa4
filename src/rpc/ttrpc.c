/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ttrpc.h"

#include <string.h>

#define NAMESPACE_KEY "containerd-namespace-ttrpc"

static const struct proto_field metadata_fields[] = {
	PROTO_TEXT(1, struct ttrpc_metadata, key),
	PROTO_TEXT(2, struct ttrpc_metadata, value),
	PROTO_END,
};

const struct proto_field ttrpc_request_fields[] = {
	PROTO_TEXT(1, struct ttrpc_request, service),
	PROTO_TEXT(2, struct ttrpc_request, method),
	PROTO_BYTES(3, struct ttrpc_request, payload),
	PROTO_I64(4, struct ttrpc_request, timeout_ns),
	PROTO_LIST(5, struct ttrpc_request, metadata, metadata_fields),
	PROTO_END,
};

static const struct proto_field status_fields[] = {
	PROTO_I32(1, struct ttrpc_response, code),
	PROTO_TEXT(2, struct ttrpc_response, message),
	PROTO_END,
};

const struct proto_field ttrpc_response_fields[] = {
	PROTO_INLINE(1, status_fields),
	PROTO_BYTES(2, struct ttrpc_response, payload),
	PROTO_END,
};

static uint32_t get_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 24);
	bytes[1] = (uint8_t)(value >> 16);
	bytes[2] = (uint8_t)(value >> 8);
	bytes[3] = (uint8_t)value;
}

void ttrpc_header_parse(const uint8_t bytes[TTRPC_HEADER_SIZE], struct ttrpc_header *out_header)
{
	*out_header = (struct ttrpc_header){
		.size = get_u32(bytes),
		.stream_id = get_u32(bytes + 4),
		.type = bytes[8],
		.flags = bytes[9],
	};
}

void ttrpc_header_format(uint8_t bytes[TTRPC_HEADER_SIZE], const struct ttrpc_header *header)
{
	put_u32(bytes, header->size);
	put_u32(bytes + 4, header->stream_id);
	bytes[8] = header->type;
	bytes[9] = header->flags;
}

void ttrpc_frame_add(struct text *out, enum ttrpc_type type, uint32_t stream_id, const void *message,
		     const struct proto_field *fields)
{
	struct ttrpc_header header = { .stream_id = stream_id, .type = (uint8_t)type };
	uint8_t bytes[TTRPC_HEADER_SIZE] = { 0 };
	size_t start = out->size;

	text_add_bytes(out, bytes, sizeof(bytes));
	proto_encode(out, message, fields);
	header.size = (uint32_t)(out->size - start - sizeof(bytes));
	ttrpc_header_format(bytes, &header);
	memcpy(out->data + start, bytes, sizeof(bytes));
}

void ttrpc_call_add(struct text *out, uint32_t stream_id, const char *service, const char *method,
		    const char *name_space, const void *message, const struct proto_field *fields)
{
	struct text payload = { 0 };
	struct ttrpc_metadata pair = { .key = (char *)(uintptr_t)NAMESPACE_KEY,
				       .value = (char *)(uintptr_t)name_space };
	struct ttrpc_request request = {
		.service = (char *)(uintptr_t)service,
		.method = (char *)(uintptr_t)method,
		.metadata = { .items = &pair, .count = name_space ? 1 : 0 },
	};

	proto_encode(&payload, message, fields);
	request.payload = (struct proto_bytes){ .data = (uint8_t *)payload.data, .size = payload.size };
	ttrpc_frame_add(out, TTRPC_REQUEST, stream_id, &request, ttrpc_request_fields);
	text_fini(&payload);
}

/* Row: gRPC code. A kind is sent as the first row that has it. */
static const struct {
	int32_t code;
	enum error_kind kind;
} codes[] = {
	{ 2, ERR_INTERNAL },	  /* Unknown: what Go shims send for a plain error */
	{ 1, ERR_CANCELED },	  /* Canceled */
	{ 3, ERR_INVALID },	  /* InvalidArgument */
	{ 14, ERR_UNAVAILABLE },  /* Unavailable */
	{ 4, ERR_UNAVAILABLE },	  /* DeadlineExceeded */
	{ 5, ERR_NOT_FOUND },	  /* NotFound */
	{ 9, ERR_CONFLICT },	  /* FailedPrecondition */
	{ 6, ERR_CONFLICT },	  /* AlreadyExists */
	{ 10, ERR_CONFLICT },	  /* Aborted */
	{ 7, ERR_FORBIDDEN },	  /* PermissionDenied */
	{ 16, ERR_UNAUTHORIZED }, /* Unauthenticated */
	{ 8, ERR_EXHAUSTED },	  /* ResourceExhausted */
	{ 12, ERR_UNSUPPORTED },  /* Unimplemented */
	{ 11, ERR_INVALID },	  /* OutOfRange */
};

int32_t ttrpc_code_of_kind(enum error_kind kind)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].kind == kind)
			return codes[i].code;
	return 2;
}

enum error_kind ttrpc_kind_of_code(int32_t code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].code == code)
			return codes[i].kind;
	return ERR_INTERNAL;
}
