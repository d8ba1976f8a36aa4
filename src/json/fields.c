/* SPDX-License-Identifier: Apache-2.0 */
/* Freeing and copying structs by their tables. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "json/json.h"

void *json_array_add(void *array, size_t item_size)
{
	struct json_array *list = array;
	char *item;

	/* Grows at powers of two; the count tells the capacity, so the struct stays two words. */
	if ((list->count & (list->count - 1)) == 0)
		list->items = xrealloc(list->items, (list->count ? list->count * 2 : 1) * item_size);
	item = (char *)list->items + list->count++ * item_size;
	memset(item, 0, item_size);
	return item;
}

void json_free_array(void *array, const struct json_field *item_fields, size_t item_size)
{
	struct json_array *list = array;

	for (size_t i = 0; i < list->count; i++)
		json_free_fields((char *)list->items + i * item_size, item_fields);
	free(list->items);
	*list = (struct json_array){ 0 };
}

static size_t scalar_size(enum json_kind kind)
{
	switch (kind) {
	case JSON_KIND_BOOL:
		return sizeof(bool);
	case JSON_KIND_U32:
		return sizeof(uint32_t);
	case JSON_KIND_OPT_I64:
	case JSON_KIND_OPT_U64:
		return sizeof(struct optional_i64);
	case JSON_KIND_OPT_BOOL:
		return sizeof(struct optional_bool);
	default:
		return sizeof(uint64_t);
	}
}

static void free_member(void *member, const struct json_field *field)
{
	switch (field->kind) {
	case JSON_KIND_TEXT:
	case JSON_KIND_RAW:
	case JSON_KIND_KEY:
		free(*(char **)member);
		*(char **)member = NULL;
		break;
	case JSON_KIND_TEXT_LIST:
		text_list_fini(member);
		break;
	case JSON_KIND_TEXT_MAP:
		text_map_fini(member);
		break;
	case JSON_KIND_OBJECT:
		json_free_fields(member, field->fields);
		break;
	case JSON_KIND_POINTER:
		if (*(void **)member)
			json_free_fields(*(void **)member, field->fields);
		free(*(void **)member);
		*(void **)member = NULL;
		break;
	case JSON_KIND_ARRAY:
	case JSON_KIND_MAP:
		json_free_array(member, field->fields, field->size);
		break;
	default:
		memset(member, 0, scalar_size(field->kind));
	}
}

void json_free_fields(void *target, const struct json_field *fields)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		free_member((char *)target + fields->offset, fields);
}

static void copy_array(struct json_array *to, const struct json_array *from, const struct json_field *field)
{
	for (size_t i = 0; i < from->count; i++)
		json_copy_fields(json_array_add(to, field->size), (const char *)from->items + i * field->size,
				 field->fields);
}

static void copy_member(void *to, const void *from, const struct json_field *field)
{
	switch (field->kind) {
	case JSON_KIND_TEXT:
	case JSON_KIND_RAW:
	case JSON_KIND_KEY:
		*(char **)to = xstrdup(*(char *const *)from);
		break;
	case JSON_KIND_TEXT_LIST:
		text_list_add_all(to, from);
		break;
	case JSON_KIND_TEXT_MAP:
		text_map_copy(to, from);
		break;
	case JSON_KIND_OBJECT:
		json_copy_fields(to, from, field->fields);
		break;
	case JSON_KIND_POINTER:
		if (!*(void *const *)from)
			break;
		*(void **)to = xcalloc(1, field->size);
		json_copy_fields(*(void **)to, *(void *const *)from, field->fields);
		break;
	case JSON_KIND_ARRAY:
	case JSON_KIND_MAP:
		copy_array(to, from, field);
		break;
	default:
		memcpy(to, from, scalar_size(field->kind));
	}
}

void json_copy_fields(void *to, const void *from, const struct json_field *fields)
{
	for (; fields->kind != JSON_KIND_END; fields++)
		copy_member((char *)to + fields->offset, (const char *)from + fields->offset, fields);
}
