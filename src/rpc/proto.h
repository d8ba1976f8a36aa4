/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto.h - structs to protobuf bytes and back, through one static table per
 * message, as json.h does for JSON.
 *
 * proto3 rules: a zero member is not written; unknown fields are skipped; the
 * last of a repeated scalar wins. Strings with a NUL inside and lists of more
 * than PROTO_LIST_MAX items are refused: the bytes come from a peer.
 *
 * Shapes of members: TEXT char *, BYTES struct proto_bytes, BOOL bool, U32, U64,
 * I32 (also enums), I32_ALWAYS (proto2's presence: written even if zero), I64,
 * TIME int64_t wall nanoseconds (a Timestamp), TEXT_LIST,
 * TEXT_MAP (map<string,string>), OBJECT an embedded struct, LIST a
 * PROTO_LIST_OF(struct item), INLINE a sub-message whose fields are members of
 * the same struct.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define PROTO_LIST_MAX 4096

struct proto_bytes {
	uint8_t *data; /* owned */
	size_t size;
};

enum proto_kind {
	PROTO_KIND_TEXT,
	PROTO_KIND_BYTES,
	PROTO_KIND_BOOL,
	PROTO_KIND_U32,
	PROTO_KIND_U64,
	PROTO_KIND_I32,
	PROTO_KIND_I32_ALWAYS,
	PROTO_KIND_I64,
	PROTO_KIND_TIME,
	PROTO_KIND_TEXT_LIST,
	PROTO_KIND_TEXT_MAP,
	PROTO_KIND_OBJECT,
	PROTO_KIND_LIST,
	PROTO_KIND_INLINE
};

struct proto_field {
	uint32_t number; /* 0 ends the table */
	enum proto_kind kind;
	size_t offset;
	size_t size;			  /* of one item of a LIST */
	const struct proto_field *fields; /* of OBJECT, LIST, INLINE */
};

#define PROTO_LIST_OF(T)                                                                                               \
	struct {                                                                                                       \
		T *items;                                                                                              \
		size_t count;                                                                                          \
	}
#define PROTO_MEMBER(T, m, type)                                                                                       \
	(offsetof(T, m) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->m), type) ? 1 : -1]))
#define PROTO_SCALAR_(number, kind, T, m, type)                                                                        \
	{                                                                                                              \
		number, kind, PROTO_MEMBER(T, m, type), 0, NULL                                                        \
	}
#define PROTO_TEXT(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_TEXT, T, m, char *)
#define PROTO_BYTES(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_BYTES, T, m, struct proto_bytes)
#define PROTO_BOOL(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_BOOL, T, m, bool)
#define PROTO_U32(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_U32, T, m, uint32_t)
#define PROTO_U64(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_U64, T, m, uint64_t)
#define PROTO_I32(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_I32, T, m, int32_t)
#define PROTO_I32_ALWAYS(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_I32_ALWAYS, T, m, int32_t)
#define PROTO_I64(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_I64, T, m, int64_t)
#define PROTO_TIME(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_TIME, T, m, int64_t)
#define PROTO_TEXT_LIST(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_TEXT_LIST, T, m, struct text_list)
#define PROTO_TEXT_MAP(number, T, m) PROTO_SCALAR_(number, PROTO_KIND_TEXT_MAP, T, m, struct text_map)
#define PROTO_OBJECT(number, T, m, table)                                                                              \
	{                                                                                                              \
		number, PROTO_KIND_OBJECT, offsetof(T, m), 0, table                                                    \
	}
#define PROTO_LIST(number, T, m, table)                                                                                \
	{                                                                                                              \
		number, PROTO_KIND_LIST, offsetof(T, m.items), sizeof(*((T *)0)->m.items), table                       \
	}
#define PROTO_INLINE(number, table)                                                                                    \
	{                                                                                                              \
		number, PROTO_KIND_INLINE, 0, 0, table                                                                 \
	}
#define PROTO_END                                                                                                      \
	{                                                                                                              \
		0, PROTO_KIND_TEXT, 0, 0, NULL                                                                         \
	}

/* Adds the message's bytes (which may be none) to a text under construction. */
void proto_encode(struct text *out, const void *message, const struct proto_field *fields);
/* Decodes into a zeroed struct; on failure (ERR_INVALID) it is empty again. */
int proto_decode(void *message, const struct proto_field *fields, const void *data, size_t size, struct error *err);
/* Frees what the members own and zeroes them. */
void proto_free(void *message, const struct proto_field *fields);

/* Replaces the bytes by a copy. */
void proto_bytes_set(struct proto_bytes *bytes, const void *data, size_t size);
