/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/proto.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct reader {
	const uint8_t *data;
	size_t size;
	size_t at;
};

struct generic_list {
	uint8_t *items;
	size_t count;
};

struct timestamp {
	int64_t seconds;
	int32_t nanos;
};

struct pair {
	char *key;
	char *value;
};

static const struct proto_field timestamp_fields[] = {
	PROTO_I64(1, struct timestamp, seconds),
	PROTO_I32(2, struct timestamp, nanos),
	PROTO_END,
};

static const struct proto_field pair_fields[] = {
	PROTO_TEXT(1, struct pair, key),
	PROTO_TEXT(2, struct pair, value),
	PROTO_END,
};

static void *member_of(void *message, const struct proto_field *field)
{
	return (char *)message + field->offset;
}

static const void *const_member_of(const void *message, const struct proto_field *field)
{
	return (const char *)message + field->offset;
}

/* ---- encode ---- */

static void add_varint(struct text *out, uint64_t value)
{
	while (value >= 0x80) {
		text_add_char(out, (char)(uint8_t)(value | 0x80));
		value >>= 7;
	}
	text_add_char(out, (char)(uint8_t)value);
}

static void add_number(struct text *out, uint32_t number, uint64_t value)
{
	if (value == 0)
		return;
	add_varint(out, (uint64_t)number << 3 | WIRE_VARINT);
	add_varint(out, value);
}

static void add_even_zero(struct text *out, uint32_t number, int32_t value)
{
	add_varint(out, (uint64_t)number << 3 | WIRE_VARINT);
	add_varint(out, (uint64_t)(int64_t)value);
}

static void add_bytes(struct text *out, uint32_t number, const void *data, size_t size)
{
	add_varint(out, (uint64_t)number << 3 | WIRE_BYTES);
	add_varint(out, size);
	if (size)
		text_add_bytes(out, data, size);
}

static void add_message(struct text *out, uint32_t number, const void *message, const struct proto_field *fields,
			bool even_empty)
{
	AUTO(text_fini) struct text inner = { 0 };

	proto_encode(&inner, message, fields);
	if (inner.size || even_empty)
		add_bytes(out, number, inner.data, inner.size);
}

static void add_time(struct text *out, uint32_t number, int64_t wall_ns)
{
	struct timestamp stamp = { .seconds = wall_ns / CLOCK_SECOND, .nanos = (int32_t)(wall_ns % CLOCK_SECOND) };

	if (stamp.nanos < 0) {
		stamp.seconds--;
		stamp.nanos += (int32_t)CLOCK_SECOND;
	}
	add_message(out, number, &stamp, timestamp_fields, false);
}

static void add_list(struct text *out, const struct proto_field *field, const struct generic_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		add_message(out, field->number, list->items + i * field->size, field->fields, true);
}

static void add_text_list(struct text *out, uint32_t number, const struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		add_bytes(out, number, list->items[i], strlen(list->items[i]));
}

static void add_text_map(struct text *out, uint32_t number, const struct text_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		struct pair pair = { .key = map->items[i].key, .value = map->items[i].value };

		add_message(out, number, &pair, pair_fields, true);
	}
}

static void add_text(struct text *out, uint32_t number, const char *text)
{
	if (!text_empty(text))
		add_bytes(out, number, text, strlen(text));
}

static void encode_field(struct text *out, const void *message, const struct proto_field *field)
{
	const void *member = const_member_of(message, field);
	const struct proto_bytes *bytes = member;

	switch (field->kind) {
	case PROTO_KIND_TEXT:
		add_text(out, field->number, *(char *const *)member);
		break;
	case PROTO_KIND_BYTES:
		if (bytes->size)
			add_bytes(out, field->number, bytes->data, bytes->size);
		break;
	case PROTO_KIND_BOOL:
		add_number(out, field->number, *(const bool *)member);
		break;
	case PROTO_KIND_U32:
		add_number(out, field->number, *(const uint32_t *)member);
		break;
	case PROTO_KIND_U64:
		add_number(out, field->number, *(const uint64_t *)member);
		break;
	case PROTO_KIND_I32: /* negative numbers are sign-extended to 64 bits on the wire */
		add_number(out, field->number, (uint64_t)(int64_t) * (const int32_t *)member);
		break;
	case PROTO_KIND_I32_ALWAYS:
		add_even_zero(out, field->number, *(const int32_t *)member);
		break;
	case PROTO_KIND_I64:
		add_number(out, field->number, (uint64_t) * (const int64_t *)member);
		break;
	case PROTO_KIND_TIME:
		if (*(const int64_t *)member != 0)
			add_time(out, field->number, *(const int64_t *)member);
		break;
	case PROTO_KIND_TEXT_LIST:
		add_text_list(out, field->number, member);
		break;
	case PROTO_KIND_TEXT_MAP:
		add_text_map(out, field->number, member);
		break;
	case PROTO_KIND_OBJECT:
	case PROTO_KIND_INLINE:
		add_message(out, field->number, member, field->fields, false);
		break;
	case PROTO_KIND_LIST:
		add_list(out, field, member);
		break;
	}
}

void proto_encode(struct text *out, const void *message, const struct proto_field *fields)
{
	for (const struct proto_field *field = fields; field->number; field++)
		encode_field(out, message, field);
}

/* ---- decode ---- */

static int read_varint(struct reader *reader, uint64_t *out_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (reader->at >= reader->size)
			return -1;
		byte = reader->data[reader->at++];
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*out_value = value;
			return 0;
		}
	}
	return -1;
}

static int read_bytes(struct reader *reader, struct reader *out_inner)
{
	uint64_t size;

	if (read_varint(reader, &size) < 0 || size > reader->size - reader->at)
		return -1;
	*out_inner = (struct reader){ .data = reader->data + reader->at, .size = size };
	reader->at += size;
	return 0;
}

static int skip_field(struct reader *reader, unsigned wire_type)
{
	struct reader inner;
	uint64_t ignored;
	size_t size = wire_type == WIRE_FIXED64 ? 8 : 4;

	switch (wire_type) {
	case WIRE_VARINT:
		return read_varint(reader, &ignored);
	case WIRE_BYTES:
		return read_bytes(reader, &inner);
	case WIRE_FIXED32:
	case WIRE_FIXED64:
		if (reader->size - reader->at < size)
			return -1;
		reader->at += size;
		return 0;
	default:
		return -1;
	}
}

static int decode_message(void *message, const struct proto_field *fields, struct reader *reader);

static int decode_text(char **out_text, const struct reader *inner)
{
	if (memchr(inner->data, 0, inner->size))
		return -1;
	free(*out_text);
	*out_text = xstrndup((const char *)inner->data, inner->size);
	return 0;
}

static int decode_time(int64_t *out_wall_ns, struct reader *inner)
{
	struct timestamp stamp = { 0 };

	if (decode_message(&stamp, timestamp_fields, inner) < 0)
		return -1;
	if (__builtin_mul_overflow(stamp.seconds, CLOCK_SECOND, out_wall_ns) ||
	    __builtin_add_overflow(*out_wall_ns, (int64_t)stamp.nanos, out_wall_ns))
		*out_wall_ns = 0; /* outside 1677..2262: Go's zero time, "never" */
	return 0;
}

static int decode_list_item(struct generic_list *list, const struct proto_field *field, struct reader *inner)
{
	uint8_t *item;

	if (list->count >= PROTO_LIST_MAX)
		return -1;
	/* Grown by doubling: a power of two is full. */
	if ((list->count & (list->count - 1)) == 0)
		list->items = xrealloc(list->items, (list->count ? list->count * 2 : 1) * field->size);
	item = list->items + list->count++ * field->size;
	memset(item, 0, field->size);
	return decode_message(item, field->fields, inner);
}

static int decode_text_item(struct text_list *list, const struct reader *inner)
{
	char *item = NULL;

	if (list->count >= PROTO_LIST_MAX || decode_text(&item, inner) < 0)
		return -1;
	text_list_add_take(list, item);
	return 0;
}

static int decode_pair(struct text_map *map, struct reader *inner)
{
	struct pair pair = { 0 };
	int r = map->count >= PROTO_LIST_MAX ? -1 : decode_message(&pair, pair_fields, inner);

	if (r == 0)
		text_map_set(map, text_or_empty(pair.key), text_or_empty(pair.value));
	proto_free(&pair, pair_fields);
	return r;
}

static int decode_bytes_field(void *member, const struct proto_field *field, struct reader *inner)
{
	switch (field->kind) {
	case PROTO_KIND_TEXT:
		return decode_text(member, inner);
	case PROTO_KIND_BYTES:
		proto_bytes_set(member, inner->data, inner->size);
		return 0;
	case PROTO_KIND_TIME:
		return decode_time(member, inner);
	case PROTO_KIND_TEXT_LIST:
		return decode_text_item(member, inner);
	case PROTO_KIND_TEXT_MAP:
		return decode_pair(member, inner);
	case PROTO_KIND_LIST:
		return decode_list_item(member, field, inner);
	default:
		return decode_message(member, field->fields, inner);
	}
}

static int decode_number_field(void *member, enum proto_kind kind, uint64_t value)
{
	if (kind == PROTO_KIND_BOOL)
		*(bool *)member = value != 0;
	else if (kind == PROTO_KIND_U32)
		*(uint32_t *)member = (uint32_t)value;
	else if (kind == PROTO_KIND_I32 || kind == PROTO_KIND_I32_ALWAYS)
		*(int32_t *)member = (int32_t)(uint32_t)value;
	else if (kind == PROTO_KIND_U64)
		*(uint64_t *)member = value;
	else
		*(int64_t *)member = (int64_t)value;
	return 0;
}

static bool kind_is_number(enum proto_kind kind)
{
	return kind >= PROTO_KIND_BOOL && kind <= PROTO_KIND_I64;
}

static int decode_field(void *message, const struct proto_field *field, unsigned wire_type, struct reader *reader)
{
	struct reader inner;
	uint64_t value;

	if (kind_is_number(field->kind) && wire_type == WIRE_VARINT) {
		if (read_varint(reader, &value) < 0)
			return -1;
		return decode_number_field(member_of(message, field), field->kind, value);
	}
	if (kind_is_number(field->kind) || wire_type != WIRE_BYTES)
		return skip_field(reader, wire_type);
	if (read_bytes(reader, &inner) < 0)
		return -1;
	return decode_bytes_field(member_of(message, field), field, &inner);
}

static int decode_message(void *message, const struct proto_field *fields, struct reader *reader)
{
	while (reader->at < reader->size) {
		const struct proto_field *field = fields;
		uint64_t tag;
		int r;

		if (read_varint(reader, &tag) < 0 || tag >> 3 == 0)
			return -1;
		while (field->number && field->number != tag >> 3)
			field++;
		r = field->number ? decode_field(message, field, tag & 7, reader) : skip_field(reader, tag & 7);
		if (r < 0)
			return -1;
	}
	return 0;
}

int proto_decode(void *message, const struct proto_field *fields, const void *data, size_t size, struct error *err)
{
	/* An empty message may come with no memory at all. */
	struct reader reader = { .data = data ? data : (const uint8_t *)"", .size = size };

	if (decode_message(message, fields, &reader) == 0)
		return 0;
	proto_free(message, fields);
	return error_set(err, ERR_INVALID, "malformed protobuf message at byte %zu of %zu", reader.at, size);
}

/* ---- memory ---- */

static void free_list(struct generic_list *list, const struct proto_field *field)
{
	for (size_t i = 0; i < list->count; i++)
		proto_free(list->items + i * field->size, field->fields);
	free(list->items);
	*list = (struct generic_list){ 0 };
}

static void free_field(void *member, const struct proto_field *field)
{
	switch (field->kind) {
	case PROTO_KIND_TEXT:
		free(*(char **)member);
		*(char **)member = NULL;
		break;
	case PROTO_KIND_BYTES:
		free(((struct proto_bytes *)member)->data);
		*(struct proto_bytes *)member = (struct proto_bytes){ 0 };
		break;
	case PROTO_KIND_TEXT_LIST:
		text_list_fini(member);
		break;
	case PROTO_KIND_TEXT_MAP:
		text_map_fini(member);
		break;
	case PROTO_KIND_LIST:
		free_list(member, field);
		break;
	case PROTO_KIND_OBJECT:
	case PROTO_KIND_INLINE:
		proto_free(member, field->fields);
		break;
	case PROTO_KIND_TIME:
		decode_number_field(member, PROTO_KIND_I64, 0);
		break;
	default:
		decode_number_field(member, field->kind, 0);
	}
}

void proto_free(void *message, const struct proto_field *fields)
{
	for (const struct proto_field *field = fields; field->number; field++)
		free_field(member_of(message, field), field);
}

void proto_bytes_set(struct proto_bytes *bytes, const void *data, size_t size)
{
	free(bytes->data);
	bytes->data = size ? xmemdup(data, size) : NULL;
	bytes->size = size;
}
