/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - structs to JSON and back, through one static table per object.
 *
 * A table of struct json_field names each key, its kind and its member; it
 * decodes (errors name the place: "HostConfig.Memory: expected a number"),
 * encodes, frees and documents the object. jansson is used in this folder only;
 * no json_t leaves it. Keys the table does not name are ignored. null and an
 * absent key leave the member zero; an empty list of texts has items, and none
 * counts. A repeated key: the last one wins, and a key in other case counts if
 * nothing has the exact name, as in Go.
 *
 * Shapes of members:
 *   JSON_TEXT char *          JSON_TEXT_LIST struct text_list   JSON_TEXT_MAP struct text_map
 *   JSON_BOOL bool            JSON_I64 int64_t  JSON_U64 uint64_t  JSON_U32 uint32_t  JSON_DOUBLE double
 *   JSON_OPT_*  struct optional_*               JSON_RAW char * (the value's JSON text)
 *   JSON_OBJECT a struct      JSON_POINTER a struct * (NULL when absent)
 *   JSON_ARRAY / JSON_MAP     JSON_ARRAY_OF(struct item) member: { struct item *items; size_t count; }
 * An item of JSON_MAP takes its key from JSON_KEY in its own table; its value is
 * an object, or, with a field named "" (e.g. JSON_TEXT("", ...)), that field.
 * JSON_ARRAY items may have a field named "" too: arrays of numbers or arrays.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/optional.h"
#include "base/text.h"

enum json_kind {
	JSON_KIND_END,
	JSON_KIND_TEXT,
	JSON_KIND_BOOL,
	JSON_KIND_I64,
	JSON_KIND_U64,
	JSON_KIND_U32,
	JSON_KIND_DOUBLE,
	JSON_KIND_OPT_I64,
	JSON_KIND_OPT_U64,
	JSON_KIND_OPT_BOOL,
	JSON_KIND_TEXT_LIST,
	JSON_KIND_TEXT_MAP,
	JSON_KIND_RAW,
	JSON_KIND_OBJECT,
	JSON_KIND_POINTER,
	JSON_KIND_ARRAY,
	JSON_KIND_MAP,
	JSON_KIND_KEY
};

enum json_flags {
	JSON_REQUIRED = 1,    /* decode: absent or null is an error */
	JSON_OMIT_EMPTY = 2,  /* encode: no key when zero, "", empty or absent */
	JSON_EMPTY_NULL = 4,  /* encode: an empty list or map is null instead of [] or {} */
	JSON_TEXT_OR_LIST = 8 /* decode of a TEXT_LIST: "x" is accepted for ["x"] */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	size_t offset;
	unsigned flags;
	size_t size;			 /* of the struct, or of one item */
	const struct json_field *fields; /* of the struct, or of one item */
};

/* Generic form of a JSON_ARRAY_OF member. */
struct json_array {
	void *items;
	size_t count;
};
#define JSON_ARRAY_OF(T)                                                                                               \
	struct {                                                                                                       \
		T *items;                                                                                              \
		size_t count;                                                                                          \
	}

#define JSON_MEMBER(T, m, type)                                                                                        \
	(offsetof(T, m) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((T *)0)->m), type) ? 1 : -1]))
#define JSON_TEXT(name, T, m, flags)                                                                                   \
	{                                                                                                              \
		name, JSON_KIND_TEXT, JSON_MEMBER(T, m, char *), flags, 0, NULL                                        \
	}
#define JSON_RAW(name, T, m, flags)                                                                                    \
	{                                                                                                              \
		name, JSON_KIND_RAW, JSON_MEMBER(T, m, char *), flags, 0, NULL                                         \
	}
#define JSON_BOOL(name, T, m, flags)                                                                                   \
	{                                                                                                              \
		name, JSON_KIND_BOOL, JSON_MEMBER(T, m, bool), flags, 0, NULL                                          \
	}
#define JSON_I64(name, T, m, flags)                                                                                    \
	{                                                                                                              \
		name, JSON_KIND_I64, JSON_MEMBER(T, m, int64_t), flags, 0, NULL                                        \
	}
#define JSON_U64(name, T, m, flags)                                                                                    \
	{                                                                                                              \
		name, JSON_KIND_U64, JSON_MEMBER(T, m, uint64_t), flags, 0, NULL                                       \
	}
#define JSON_U32(name, T, m, flags)                                                                                    \
	{                                                                                                              \
		name, JSON_KIND_U32, JSON_MEMBER(T, m, uint32_t), flags, 0, NULL                                       \
	}
#define JSON_DOUBLE(name, T, m, flags)                                                                                 \
	{                                                                                                              \
		name, JSON_KIND_DOUBLE, JSON_MEMBER(T, m, double), flags, 0, NULL                                      \
	}
#define JSON_OPT_I64(name, T, m, flags)                                                                                \
	{                                                                                                              \
		name, JSON_KIND_OPT_I64, JSON_MEMBER(T, m, struct optional_i64), flags, 0, NULL                        \
	}
#define JSON_OPT_U64(name, T, m, flags)                                                                                \
	{                                                                                                              \
		name, JSON_KIND_OPT_U64, JSON_MEMBER(T, m, struct optional_u64), flags, 0, NULL                        \
	}
#define JSON_OPT_BOOL(name, T, m, flags)                                                                               \
	{                                                                                                              \
		name, JSON_KIND_OPT_BOOL, JSON_MEMBER(T, m, struct optional_bool), flags, 0, NULL                      \
	}
#define JSON_TEXT_LIST(name, T, m, flags)                                                                              \
	{                                                                                                              \
		name, JSON_KIND_TEXT_LIST, JSON_MEMBER(T, m, struct text_list), flags, 0, NULL                         \
	}
#define JSON_TEXT_MAP(name, T, m, flags)                                                                               \
	{                                                                                                              \
		name, JSON_KIND_TEXT_MAP, JSON_MEMBER(T, m, struct text_map), flags, 0, NULL                           \
	}
#define JSON_OBJECT(name, T, m, table, flags)                                                                          \
	{                                                                                                              \
		name, JSON_KIND_OBJECT, offsetof(T, m), flags, sizeof(((T *)0)->m), table                              \
	}
#define JSON_POINTER(name, T, m, table, flags)                                                                         \
	{                                                                                                              \
		name, JSON_KIND_POINTER, offsetof(T, m), flags, sizeof(*((T *)0)->m), table                            \
	}
#define JSON_ARRAY(name, T, m, table, flags)                                                                           \
	{                                                                                                              \
		name, JSON_KIND_ARRAY, offsetof(T, m.items), flags, sizeof(*((T *)0)->m.items), table                  \
	}
#define JSON_MAP(name, T, m, table, flags)                                                                             \
	{                                                                                                              \
		name, JSON_KIND_MAP, offsetof(T, m.items), flags, sizeof(*((T *)0)->m.items), table                    \
	}
#define JSON_KEY(T, m)                                                                                                 \
	{                                                                                                              \
		NULL, JSON_KIND_KEY, JSON_MEMBER(T, m, char *), 0, 0, NULL                                             \
	}
#define JSON_END                                                                                                       \
	{                                                                                                              \
		NULL, JSON_KIND_END, 0, 0, 0, NULL                                                                     \
	}

/*
 * Decodes one JSON object into a zeroed struct. On failure (ERR_INVALID) the
 * struct is empty again; on success it is freed with json_free_fields().
 * The text must hold one value and nothing behind it.
 */
int json_decode(void *target, const struct json_field *fields, const char *text, size_t size, struct error *err);
enum json_problem {
	JSON_PROBLEM_WRONG,   /* json_decode() refuses it */
	JSON_PROBLEM_UNKNOWN, /* a key the table does not name */
};
typedef void json_check_fn(void *context, const char *pointer, enum json_problem problem, const char *message);
/* Tells all that is wrong with a document, each with its JSON pointer; fails only if the text is no JSON. */
int json_check(const struct json_field *fields, const char *text, size_t size, json_check_fn *report, void *context,
	       struct error *err);

/* The same for a top-level JSON array; `array` is a JSON_ARRAY_OF struct, freed by json_free_array(). */
int json_decode_array(void *array, const struct json_field *item_fields, size_t item_size, const char *text,
		      size_t size, struct error *err);

/* Compact JSON, yours; json_encode_pretty() indents by tabs ("\t") or spaces as Go's MarshalIndent("", indent). */
char *json_encode(const void *source, const struct json_field *fields);
char *json_encode_pretty(const void *source, const struct json_field *fields, const char *indent);
/* Without all that is zero, "", empty or absent: for our own files and rows; json_decode() makes the same struct of it. */
char *json_encode_sparse(const void *source, const struct json_field *fields);
/* Adds the object to a text under construction. */
void json_encode_to(struct text *out, const void *source, const struct json_field *fields);
char *json_encode_array(const void *array, const struct json_field *item_fields, size_t item_size);

/* Frees what the members own and zeroes them. */
void json_free_fields(void *target, const struct json_field *fields);
void json_free_array(void *array, const struct json_field *item_fields, size_t item_size);
/* Deep copy into a zeroed struct. */
void json_copy_fields(void *to, const void *from, const struct json_field *fields);

/* Grows a JSON_ARRAY_OF by one zeroed item and returns it: json_array_add(&spec->mounts, sizeof(struct mount)). */
void *json_array_add(void *array, size_t item_size);
